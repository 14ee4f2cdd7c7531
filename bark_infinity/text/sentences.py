"""Finds the ends of sentences in Bark's 13 languages: en de es fr hi it ja ko pl pt ru tr zh.

Whether a mark (. ! ? … 。 ।) ends a sentence is decided by the text around it: abbreviations, initials and ordinals,
capitals, quotations followed by "he said", list items. The word lists are in `abbreviations.py`.
"""

from __future__ import annotations

import re
from itertools import pairwise

from ..constants import SPEAKER_NAMES
from .abbreviations import (
    ABBREVIATIONS,
    AFTER_ORDINALS,
    ARTICLES,
    BEFORE_NUMBERS,
    BEFORE_SUBJECTS,
    MAY_END_BEFORE_TITLES,
    NAME_ENDINGS,
    STARTERS,
    TITLES,
    UNITS,
    has_no_vowel,
    is_announcing,
)
from .lists import inline_items

SPACELESS = "々〇〻\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaffぁ-ゖァ-ヺー\U00020000-\U0003ffff"
"""Characters of scripts written without spaces, for use inside the brackets of a regular expression."""

_CLOSERS = "\"'”’»›)\\]}*_♪"
_WIDE_CLOSERS = "」』）】》〉］｝"
_NOTES = r"(?:\[[^][.\n]{1,24}\] | [⁰¹²³⁴-⁹]+)*"  # references directly after the mark: "today.[15]", "today.¹²"
_TAGS = rf"""(?: (?:\ |(?<=[।॥。！？｡]))
                 (?: \[ (?!(?:[^][\n]{{1,30}}\ )?(?:{SPEAKER_NAMES})(?:\ \d+)?\]) [^][\n]{{1,40}} \]
                   | \( (?![A-ZÀ-ÞА-ЯЁ]) [^().!?…\n]{{1,40}} \) | （[^（）。！？\n]{{1,20}}）
                   | \* [^\W\d_A-ZÀ-ÞА-ЯЁ] [^*.!?…\n]{{1,40}} \* )
                 (?=\s|$|[{SPACELESS}“「『]) )*"""
_END = re.compile(
    rf"""(?P<mark> (?<![.!?…])(?<![.!?…]\ )             # only from the first of several marks on
                   [.!?…]+ (?:\ [.!?…]+)* )             # also "Quoi ? !" and ". . ."
         [{_CLOSERS}“‘«‹]* (?:\ »(?!\S))?               # “ and « close German quotations: „…“ »…«
         {_NOTES}
         (?=\s|$|(?<=[{SPACELESS}][.!?])(?![.!?…]))      # Chinese typed with ASCII marks has no space after them
         {_TAGS}
      |  (?P<danda> [।॥]+ ) [{_CLOSERS}]* {_NOTES} {_TAGS}
      |  (?P<wide> (?:[。！？｡]|．(?!\d)) [。！？｡!?…]* )
         (?P<wide_closer> [{_CLOSERS}{_WIDE_CLOSERS}]* ) {_NOTES} {_TAGS}
      |  (?:(?<=[^\W\d_]{{2}})|(?<=\d)) (?P<glued> [.!?] )
         (?= (?:[^\W\d_]{{2,20}}|[IA](?=[\ '’])) (?:[\s,;:!?]|['’][^\W\d_]|\.(?!\S|$)|\.(?=[^\W\d_])|\.?$) )
    """,
    re.VERBOSE,
)
_WORD = re.compile("[\\w\u0900-\u097f]+")
_LETTER = re.compile(r"[^\W\d_]")
_SPOKEN = re.compile(r"[^\W_]")
_ENUMERATOR = re.compile(  # "1." or "b." at the head of a list item
    r"\W*(?:\d+|[A-Za-zА-я]|[가나다라마바사]|[ivxIVX]+)[.．]\)?\W*"
)
_REACH = 80  # characters examined before and after a mark; enough for a word with its punctuation
_QUOTATION_REACH = 300  # characters searched backwards for the beginning of a quotation

_INITIALS = re.compile(r"[^\W\d_](?:[.\-]{1,2}[^\W\d_])*")
_HINDI_INITIALS = re.compile(r"[\u0900-\u097f]{1,4}(?:\.[\u0900-\u097f]{1,4})+")
_ROMAN = re.compile(r"[VX]|[IVXLC]{2,}")
_NUMBER = re.compile(r"\d{1,4}")
_NEXT_OF_DATE = re.compile(r"\s*\d{1,2}\.|\s*\d{1,2} [가-힣]")
_IN_DATE = re.compile(r"\d\. ?\d{1,2}\Z")
_NUMBER_AT_END = re.compile(r"\d\Z|(?<!\w)[IVX]+\Z")
_PLAIN_NUMBER = re.compile(r"\W*\d+(?:[.,:]\d+)*")
_FEW_WORDS = 3  # most words of a sentence that has just begun: "In the year 1905"
_EXAMPLES = ("ej", "ex", "es")  # p. ej., p. ex., p. es.: for example
_STREET = re.compile(r"\w{3,}str")
_QUOTE_AT_END = re.compile(r"[\"'”’»›“‘«」』]")
_CASELESS = re.compile("[\u0900-\u097f가-힣]")
_KOREAN_ENDING = re.compile("[다요죠까]")
_OPENERS = "“「『‘«\"'"
_INTRODUCED = re.compile(r"[：:]\s*[“「『‘«\"]")

# Words that name the speaker after a quotation that ends with its own mark: "Stop!" Anna cried.
_SAID = (
    "said asked cried shouted replied answered whispered yelled called thought told added exclaimed muttered murmured "
    "demanded repeated began continued snapped sighed laughed"
)
_WHO_SAID = re.compile(
    rf"\s*(?!No(?:body|ne| one)\b)(?:I|(?:[A-Z][\w.'’-]*\ ){{0,2}}[A-Z][\w'’-]*)\ (?:{_SAID.replace(' ', '|')})\b"
)
_SAID_CASELESS = re.compile(
    "कहा|कहती|कहते|पूछा|बोला|बोली|बोले|चिल्लाया|चिल्लाई|फुसफुसा|जवाब दिया|उत्तर दिया|पुकार|सोचा"
    "|말했|말한|물었|대답했|답했|외쳤|소리쳤|소리 질렀|속삭였|중얼거|덧붙였|생각했|라고|하고 "
)
_SAID_WIDE = re.compile(
    "^(?:と|って|、|，|,)|[说說问問道喊叫答嚷骂罵笑想]|言[いっう]|聞い|尋ね|答え|叫|呼[んび]|囁|思っ|つぶや"
)
_NOBODY_SAID = re.compile("नहीं|않|^ ?아무도|^[没沒无無不]|ない|なかった|ません")
_CLAUSES = re.compile(r"[^।॥。！？.!?\n]*")


# ---- public ----------------------------------------------------------------------------------------------------------


def begins_sentences_small(text: str) -> bool:
    """Whether most sentences of a text, and at least two, begin with a lower-case letter."""
    small = capital = 0
    for match in _SENTENCE_START.finditer(text):
        if not match["next"].islower():
            capital += 1
        elif not _may_be_abbreviation(match["word"]):
            small += 1
    return small >= 2 and small > capital


_SENTENCE_START = re.compile(r"(?<!\S)(?P<word>[^\W\d_]{2,30})[.!?]+ +(?P<next>[^\W\d_])")


def sentence_ends(text: str, small_letters: bool | None = None) -> list[int]:
    """Offsets of the ends of sentences, after closing quotes and brackets; without the end of the text.

    A line end counts as a space. Every sentence has at least one letter or digit. `small_letters`: the result of
    `begins_sentences_small` for the whole text of which `text` is a part; None: for `text`.
    """
    if small_letters is None:
        small_letters = begins_sentences_small(text)
    ends: list[int] = []
    start = looked_at = 0
    spoken = False
    for chunk_start, chunk_end in pairwise([0, *inline_items(text), len(text)]):
        if spoken or _SPOKEN.search(text, looked_at, chunk_start):
            ends.append(chunk_start)
            start, looked_at, spoken = chunk_start, chunk_start, False
        for match in _END.finditer(text, chunk_start, chunk_end):
            end = match.end()
            spoken = spoken or _SPOKEN.search(text, looked_at, end) is not None
            looked_at = end
            if spoken and not _ENUMERATOR.fullmatch(text, start, end) and _is_end(match, start, small_letters):
                ends.append(end)
                start = end
                spoken = False
    if ends and not _SPOKEN.search(text, ends[-1]):
        ends.pop()  # only punctuation is left: it belongs to the last sentence
    return ends


# ---- marks -----------------------------------------------------------------------------------------------------------


def _is_end(match: re.Match[str], start: int, small_letters: bool) -> bool:
    """Whether the sentence that began at `start` ends at this match."""
    text, end, mark = match.string, match.end(), match["mark"]
    if match["glued"]:
        return _ends_without_space(text, start, match.start(), end)
    if match["wide"]:
        return not (match["wide_closer"] and _SPOKEN.match(text, end) and _wide_quotation_goes_on(text, start, end))
    closed = _QUOTE_AT_END.search(text, match.start(), end) is not None
    following = _WORD.search(text, end, min(match.endpos, end + _REACH))
    if following is not None and closed and _quotation_goes_on(text, end):
        return False
    if match["danda"]:
        return True
    if following is None:
        return mark != "."
    word = following.group()
    if text[match.start() - 1 : match.start()] in ("[", "(") and not mark.strip("."):
        return False  # [...]
    if "…" in mark or mark.count(".") > 1:
        return _ends_at_ellipsis(text, match.start(), mark, word)
    if word[0].islower() and not small_letters and (closed or _begins_with_capital(text, start)):
        return False  # in a text with capitals, no sentence ends before a lower-case letter: "What?" he asked.
    if mark != "." or not text[end].isspace():
        return not (word[0].islower() and closed)
    return _ends_at_period(text, start, match.start(), following)


def _ends_at_ellipsis(text: str, place: int, mark: str, word: str) -> bool:
    """Whether a sentence ends at the ellipsis at `place`, before `word`."""
    if _CASELESS.match(word):  # scripts without capitals: decided by the form of the word before
        return _KOREAN_ENDING.match(text, place - 1) is not None if place else False
    if mark.count(".") == 4:
        return not word[0].islower()
    return not word[0].islower() and word != "I"


def _ends_without_space(text: str, start: int, place: int, end: int) -> bool:
    """Whether a sentence ends at a mark without a space, as in "tomorrow.Today", and it is not an address or a file name."""
    words = text[max(start, place - _REACH) : place].split()
    last = words[-1] if words else ""
    following = _WORD.match(text, end, end + _REACH)
    assert following is not None  # `_END` has matched it
    after = following.group()
    if not after.istitle() or after.lower() in NAME_ENDINGS:
        return False
    begins = after.lower() in STARTERS or after in TITLES
    if last[-1:].isdigit():
        return begins and _PLAIN_NUMBER.fullmatch(last) is not None  # no "v2.Beta", and no "3.Oktober"
    before = re.split("[.!?]", last)[-1]
    if not before.islower() and not (begins and before.istitle()):
        return False
    return before.isalpha() and not _may_be_abbreviation(before)


def _begins_with_capital(text: str, start: int) -> bool:
    first = _LETTER.search(text, start, start + _REACH)
    return first is not None and first.group().isupper()


# ---- quotations ------------------------------------------------------------------------------------------------------


def _quotation_goes_on(text: str, end: int) -> bool:
    """Whether the quotation that ends at `end` is followed by its speaker: "Stop!" Anna cried."""
    if _WHO_SAID.match(text, end, end + _REACH):
        return True
    following = _LETTER.search(text, end, end + _REACH)
    if (
        following is None
        or not _CASELESS.match(following.group())
        or _QUOTE_AT_END.search(text, end, following.start())
    ):
        return False
    clause = _next_clause(text, end)
    return _SAID_CASELESS.search(clause) is not None and not _NOBODY_SAID.search(clause)


def _wide_quotation_goes_on(text: str, start: int, end: int) -> bool:
    """Whether a Chinese or Japanese sentence continues after the quotation that ends at `end`: 「行くぞ！」と彼は言った。"""
    clause = _next_clause(text, end)
    if _SAID_WIDE.search(clause) and (clause[0] in "とっ、，," or not _NOBODY_SAID.search(clause)):
        return True
    if text[start:end].lstrip()[:1] in _OPENERS:
        return False
    return _INTRODUCED.search(text, max(start, end - _QUOTATION_REACH), end) is None


def _next_clause(text: str, start: int) -> str:
    """The text from `start` to the next mark."""
    match = _CLAUSES.match(text, start, start + _REACH)
    assert match is not None  # it may be empty
    return match.group()


# ---- periods ---------------------------------------------------------------------------------------------------------


def _ends_at_period(text: str, start: int, place: int, following: re.Match[str]) -> bool:
    """Whether the sentence that began at `start` ends at the period at `place`, before the word that follows."""
    words = text[max(start, place - _REACH) : place].split()
    before = words[-1].lstrip("\"'“‘„«»¿¡([{*_-—–•") if words else ""
    earlier = words[-2] if len(words) > 1 else ""
    after = following.group()
    if _NUMBER.fullmatch(before):
        return _ends_at_number(text, place, before, following)
    article, _, elided = before.rpartition("’" if "’" in before else "'")
    if elided and len(article) <= 4:
        before = elided  # l'Avv. Verdi
    if earlier.lower() == "p." and before in _EXAMPLES:
        return False
    if is_announcing(before) or _HINDI_INITIALS.fullmatch(before):
        return False
    if before.lower() in UNITS and _NUMBER_AT_END.search(earlier) and after[0].isupper():
        return len(text[max(start, place - _REACH) : place].split()) > _FEW_WORDS or after.lower() in STARTERS
    starts = after[0].isupper() and after.lower() in STARTERS
    if after in TITLES and before.lower() in MAY_END_BEFORE_TITLES:
        starts = len(words) > _FEW_WORDS and _has_subject(text, start)
    if _INITIALS.fullmatch(before) and not _CASELESS.match(before):
        if before == "I" and not earlier[:1].isupper():
            return True  # "you and I."
        if before.lower() in ABBREVIATIONS:
            return starts or (after[0].isupper() and after.lower() in ARTICLES)
        return starts and len(after) > 1
    if before.lower() in ABBREVIATIONS or has_no_vowel(before):
        return starts or (after[0].isupper() and after.lower() in ARTICLES)
    if before.lower() in BEFORE_NUMBERS or _STREET.fullmatch(before):
        return not (after[0].isdigit() or _ROMAN.fullmatch(after))
    return True


def _has_subject(text: str, start: int) -> bool:
    """Whether an English sentence does not begin with words that go before its subject, such as "at 5 a.m."."""
    first = _WORD.search(text, start, start + _REACH)
    return first is not None and first.group().lower() not in BEFORE_SUBJECTS


def _ends_at_number(text: str, place: int, before: str, following: re.Match[str]) -> bool:
    """Whether a sentence ends at a period after a number: not inside a date, not after German and Turkish ordinals."""
    after = following.group()
    if after.lower() in AFTER_ORDINALS:
        return False
    if after[0].islower() and len(before) <= 2:
        return False
    in_date = _IN_DATE.search(text, max(0, place - 10), place) is not None
    if in_date and (after[0].isdigit() or "가" <= after[0] <= "힣"):
        return False
    return _NEXT_OF_DATE.match(text, place + 1) is None


def _may_be_abbreviation(word: str) -> bool:
    """Whether a word before a period may be an abbreviation."""
    small = word.lower()
    known = is_announcing(word) or small in ABBREVIATIONS or small in BEFORE_NUMBERS
    return known or has_no_vowel(word)
