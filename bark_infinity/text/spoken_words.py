"""Words of a text as they are compared with what is heard: small, without punctuation, numbers written out."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import regex

_SIGNS = {  # signs that are read as words
    "&": {"en": "and", "de": "und", "es": "y", "fr": "et", "it": "e", "pl": "i", "pt": "e", "ru": "и", "tr": "ve"},
    "%": {
        "en": "percent", "de": "prozent", "es": "por ciento", "fr": "pour cent", "it": "per cento", "pl": "procent",
        "pt": "por cento", "ru": "процентов", "tr": "yüzde", "ja": "パーセント", "ko": "퍼센트", "hi": "प्रतिशत",
    },
}  # fmt: skip
_SHORT = {  # English abbreviations and other spellings; sounds of hesitation are not compared
    "mr": "mister", "mrs": "missus", "dr": "doctor", "vs": "versus", "etc": "et cetera", "ok": "okay", "cannot": "cant",
    "alright": "all right", **dict.fromkeys(("uh", "um", "uhm", "hm", "hmm", "mm", "mmm", "er", "erm"), ""),
}  # fmt: skip
_AMERICAN = (  # also in words where it means nothing: both sides are treated the same
    (regex.compile(r"(?<=\w{3})our(?=(s|ed|ing|ites?|ful|able|ably|less)?$)"), "or"),
    (regex.compile(r"(?<=\w{2}[iy])s(?=(e|ed|es|er|ers|ing|ation|ations)$)"), "z"),
    (regex.compile(r"(?<=\w{2})tre(?=s?$)"), "ter"),
    (regex.compile(r"(?<=\w{3}l)l(?=(ed|ing|er|ers)$)"), ""),
    (regex.compile(r"(?<=\w{2}og)ue(?=s?$)"), ""),
)
_CURRENCIES = {"$": "USD", "£": "GBP", "€": "EUR"}
_YEARS = range(1100, 2100)  # of four digits without a separator, read as years
_LANGUAGES_WITH_YEARS = ("en", "de")  # in which a year is read otherwise than the same number
_POINT_IS_COMMA = ("de", "es", "fr", "it", "pl", "pt", "ru", "tr")  # languages that write 1.000,5
_MOST_DIGITS = 15  # longer numbers are read digit by digit
_CUE = regex.compile(r"\[[^][\n]*\]|♪|\b(?:WO)?MAN:")  # not spoken as words
_NUMBER = r"\d+(?:[.,\u00a0\u202f]\d{3})*(?:[.,]\d+)?"
_CHARACTER = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]"
_TOKEN = regex.compile(
    rf"(?P<money>[$£€]\s?(?P<before>{_NUMBER})|(?P<behind>{_NUMBER})\s?[$£€](?!\s?\d))"
    r"|(?P<time>\d{1,2}:\d\d\b)"
    r"|(?P<ordinal>\d+)(?:st|nd|rd|th)\b"
    rf"|(?P<number>{_NUMBER})"
    r"|(?P<sign>[&%])"
    r"|(?P<initials>(?:\p{L}\.){2,})"
    rf"|(?P<character>{_CHARACTER})"
    rf"|(?P<word>(?:(?!{_CHARACTER})[\p{{L}}\p{{M}}])(?:(?!{_CHARACTER})[\p{{L}}\p{{M}}]|['’](?=\p{{L}}))*)"
)
_MONTHS = frozenset(
    [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ]
)
_GROUPS = ("hundred", "thousand", "million")  # behind which English may say "and"
_SPACES = regex.compile(r"\s")  # between groups of digits
_WRITTEN = regex.compile(r"[\p{L}\p{M}]+")


class Word(NamedTuple):
    """A word, or a character of Chinese, Japanese or Korean, and where it begins in the text."""

    text: str
    start: int


def spoken_words(text: str, language: str) -> list[Word]:
    """The words that are said of a text, in order. Cues in brackets, ♪ and Bark's speaker tags are not among them.

    Numbers, amounts of money and times are written out where the package num2words is installed and knows the language.
    """
    text = _CUE.sub(lambda match: " " * len(match[0]), text)
    words: list[Word] = []
    for match in _TOKEN.finditer(text):
        for part in _readings(match, text, language):
            for written in _parts(part, language):
                if written == "and" and words and words[-1].text in _GROUPS and language == "en":
                    continue  # one hundred (and) five
                words.append(Word(written, match.start()))
    return words


def _readings(match: regex.Match[str], text: str, language: str) -> Iterator[str]:
    """The words of one token, separated by anything but letters."""
    kind = match.lastgroup if match.lastgroup not in ("before", "behind") else "money"
    found = match[0]
    if kind in ("word", "character"):
        yield found
    elif kind == "initials":
        yield found.replace(".", "")
    elif kind == "sign":
        yield _SIGNS[found].get(language, "")
    elif kind == "money":
        sign = next(character for character in found if character in _CURRENCIES)
        yield _money(match["before"] or match["behind"], _CURRENCIES[sign], language)
    elif kind == "time":
        hours, minutes = found.split(":")
        yield _number(hours, language)
        if int(minutes):
            yield f"{'oh ' if minutes[0] == '0' and language == 'en' else ''}{_number(str(int(minutes)), language)}"
    elif kind == "ordinal":
        yield _in_words(int(match["ordinal"]), "ordinal", language) or found
    elif language == "en" and _is_day(match, text):
        yield _in_words(int(found), "ordinal", language) or found
    else:
        yield _number(found, language)


def _parts(reading: str, language: str) -> Iterator[str]:
    """The words of a reading as they are compared."""
    for word in _TOKEN.finditer(plain(reading)):
        short = _SHORT.get(word[0], word[0]) if language == "en" else word[0]
        yield from short.split()


def plain(text: str) -> str:
    """A text in small letters without accents, apostrophes and compatibility forms."""
    small = unicodedata.normalize("NFKC", text).casefold()
    decomposed = unicodedata.normalize("NFD", small)
    kept = (character for character in decomposed if not 0x300 <= ord(character) <= 0x36F and character not in "'’")
    return unicodedata.normalize("NFC", "".join(kept))


def american_spelling(word: str) -> str:
    """A word as Americans would spell it, or at least always the same: also where the British ending means nothing."""
    for british, ending in _AMERICAN:
        word = british.sub(ending, word)
    return word


def _is_day(match: regex.Match[str], text: str) -> bool:
    """Whether a number is the day of a month: beside the month's name."""
    if not (match[0].isdecimal() and 1 <= int(match[0]) <= 31):
        return False
    before, behind = _WRITTEN.findall(text[: match.start()][-20:]), _WRITTEN.match(text, match.end() + 1)
    return bool(before and before[-1].lower() in _MONTHS) or bool(behind and behind[0].lower() in _MONTHS)


def _number(written: str, language: str) -> str:
    digits = _SPACES.sub("", written)
    if digits.isdecimal():
        if len(digits) > _MOST_DIGITS or (len(digits) > 1 and digits[0] == "0"):
            return " ".join(_in_words(int(digit), "cardinal", language) or digit for digit in digits)
        is_year = len(written) == 4 and int(digits) in _YEARS and language in _LANGUAGES_WITH_YEARS
        return _in_words(int(digits), "year" if is_year else "cardinal", language) or digits
    return _in_words(_value(digits, language), "cardinal", language) or written


def _value(written: str, language: str) -> float:
    """The value of a number with separators: 1,234.5, or 1.234,5 where the language writes it so."""
    group, point = (".", ",") if language in _POINT_IS_COMMA else (",", ".")
    whole = (
        written.replace(group, "") if regex.fullmatch(rf"\d+(?:\{group}\d{{3}})*(?:\{point}\d+)?", written) else written
    )
    value = float(regex.sub(r"[.,](?=.*[.,])", "", whole).replace(",", "."))
    return int(value) if value.is_integer() else value


def _money(amount: str, currency: str, language: str) -> str:
    value = _value(_SPACES.sub("", amount), language)
    words = _in_words(float(value), "currency", language, currency) or f"{amount} {currency}"
    whole, _, cents = words.replace(" sterling", "").partition("|")
    return f"{whole} {cents}" if value != int(value) else whole


@cache
def _in_words(number: float, kind: str, language: str, currency: str | None = None) -> str:
    """A number in words; empty where num2words is not installed, or lacks the language or the kind of number.

    An amount of money has a `|` before its cents.
    """
    try:
        from num2words import num2words

        details = {} if currency is None else {"currency": currency, "separator": "|"}
        return str(num2words(number, lang=language, to=kind, **details))
    except (ImportError, NotImplementedError, TypeError, ValueError, OverflowError, KeyError, IndexError):
        return ""
