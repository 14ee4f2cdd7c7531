"""Recognises lines that begin a chapter of a book without markup, such as "Chapter 12" or "Erstes Kapitel: Der Wald"."""

from __future__ import annotations

import re
from typing import NamedTuple

from ..text.blocks import PART_WORDS, PROLOGUE_WORDS

MAX_LENGTH = 100  # characters of a heading
MAX_WORDS = 12  # of the title that follows "Chapter 12:"

_SMALLER = "section abschnitt scene szene scène escena scena cena сцена"  # than a chapter
_LARGER = frozenset(
    [
        "part",
        "book",
        "volume",
        "teil",
        "buch",
        "band",
        "partie",
        "livre",
        "tome",
        "parte",
        "libro",
        "tomo",
        "livro",
        "część",
        "księga",
        "tom",
        "часть",
        "книга",
        "том",
        "kısım",
        "kitap",
        "भाग",
        "खंड",
    ]
)
_FURTHER_WORDS = "gesang chant canto песнь действие"  # that are no headings of their own in other texts
_CHAPTER = "|".join(word for word in f"{PART_WORDS} {_FURTHER_WORDS}".split() if word not in _SMALLER.split())
_ROMAN = r"(?=[ivxlc])c{0,3}(?:xc|xl|l?x{0,4})(?:ix|iv|v?i{0,4})"
_ENGLISH = (
    "(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)(?:[- ](?:one|two|three|four|five|six|seven|eight|nine))?"
    "|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen"
)
_CARDINALS = (
    "eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf un deux trois quatre cinq six sept huit neuf dix onze "
    "douze uno una dos tres cuatro cinco seis siete ocho nueve diez once doce due tre quattro cinque sei sette otto nove "
    "dieci undici dodici um dois três quatro sete oito dez jeden dwa trzy cztery pięć sześć siedem osiem dziewięć dziesięć "
    "один два три четыре пять шесть семь восемь девять десять bir iki üç dört beş altı yedi sekiz dokuz on एक दो तीन चार "
    "पाँच पांच छह सात आठ नौ दस"
)
_ORDINALS = (
    r"(?:the )?(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth|last)"
    r"|(?:erst|zweit|dritt|viert|fünft|sechst|sieb(?:en)?t|acht|neunt|zehnt|elft|zwölft|\w+zehnt|\w+zigst|letzt)e[rs]?"
    r"|premi(?:er|ère)|seconde?|derni(?:er|ère)|\w+ième"
    r"|(?:prim|segund|tercer|cuart|quint|sext|séptim|octav|noven|décim|undécim|duodécim|últim)[oa]|(?:primer|tercer)[oa]?"
    r"|(?:second|terz|quart|sest|settim|ottav|non|decim|ultim|\w+esim)[oa]"
    r"|(?:primeir|terceir|sétim|oitav)[oa]"
    r"|(?:pierwsz|drug|trzec|czwart|piąt|szóst|siódm|ósm|dziewiąt|dziesiąt|\w+nast)(?:y|i|a|ia|e|ie)"
    r"|(?:перв|втор|трет|четв[её]рт|пят|шест|седьм|восьм|девят|десят|\w+надцат|двадцат|последн)(?:ая|яя|ья|ый|ой|ий|ое|ье)"
    r"|(?:bir|ik|üç|dörd|beş|altı|yed|sekiz|dokuz|on)(?:inci|nci|üncü|uncu|ıncı)|son"
    r"|पहल[ाी]|दूसर[ाी]|तीसर[ाी]|चौथ[ाी]|पाँचव[ाी]ँ?"
)
_NUMBER = rf"(?:\d{{1,4}}|{_ENGLISH}|{'|'.join(_CARDINALS.split())}|{_ORDINALS}|{_ROMAN})"
_EASTERN_NUMBER = "[\\d〇零一二三四五六七八九十百千]{1,9}"
_KOREAN_NUMBER = r"(?:\d{1,4}|[일이삼사오육칠팔구십]{1,4})"
_EASTERN = rf"第 ?{_EASTERN_NUMBER} ?[章回卷話话部幕編篇]|제 ?{_KOREAN_NUMBER} ?[장부화막]"
_LABEL = re.compile(
    rf"(?:(?:{_CHAPTER}) {_NUMBER}|(?:{_ORDINALS}|\d{{1,4}}\.) (?:{_CHAPTER}))(?![\w'’])"
    rf"|(?P<eastern>{_EASTERN})(?!\w)|(?:{'|'.join(PROLOGUE_WORDS.split())})(?![\w'’])",
    re.IGNORECASE,
)
_SEPARATED = re.compile(r"(?:\s?[:：.–—-]+\s?|\s{2,})(?P<title>[^\s:.–—-].*)")
_TENS = ("", "X", "XX", "XXX", "XL", "L", "LX", "LXX", "LXXX", "XC")
_ONES = ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")
_STOP = re.compile(r"[.,;]$")


class ChapterHeading(NamedTuple):
    """A line that begins a chapter. `label`: the part of it that names the chapter, such as "Chapter 12"."""

    text: str
    label: str
    has_title: bool  # whether it has more than the label, as "Chapter 12: The Door" has


def chapter_heading(line: str) -> ChapterHeading | None:
    """The heading in a paragraph of one line; None if it does not begin a chapter.

    Sentences that merely begin like one, as "Chapter 12 was long." does, are none.
    """
    line = line.strip()
    label = _LABEL.match(line) if len(line) <= MAX_LENGTH and "\n" not in line else None
    if label is None:
        return None
    rest = line[label.end() :]
    if rest in ("", ".", ":"):
        return ChapterHeading(line, label.group(), has_title=False)
    separated = _SEPARATED.fullmatch(rest)
    title = separated["title"] if separated is not None else rest.strip()
    may_follow = separated is not None or (rest[0].isspace() and (label["eastern"] is not None or line.isupper()))
    return ChapterHeading(line, label.group(), has_title=True) if may_follow and _is_title(title) else None


def is_roman_number(line: str, number: int) -> bool:
    """Whether a line is this number, below 100, in Roman capitals, as chapters without titles have."""
    return line.strip().rstrip(".") == roman(number)


def roman(number: int) -> str:
    """A number below 100 in Roman capitals; "" for 0."""
    tens, ones = divmod(number, 10)
    return _TENS[tens] + _ONES[ones]


def is_part_heading(line: str) -> bool:
    """Whether a heading names a part that has chapters, such as "Part One" or "2. Buch: Der Wald"."""
    heading = chapter_heading(line)
    return heading is not None and not _LARGER.isdisjoint(heading.label.casefold().split())


def _is_title(title: str) -> bool:
    """Whether words may be a title: they do not begin small, are few, and no sentence with a full stop."""
    words = title.split()
    if not words or len(words) > MAX_WORDS or title[0].islower():
        return False
    has_capitals = title.isupper() or all(word[0].isupper() for word in words if len(word) > 4 and word[0].isalpha())
    return not _STOP.search(title) or (has_capitals and title[-1] == "." and len(words) > 1)
