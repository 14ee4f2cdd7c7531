"""Words as they are compared: numbers written out, and what sounds alike made the same, however it is spelled."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import jiwer
import pronouncing

from bark_infinity.text.spoken_words import american_spelling

_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_GROUPS = ((1_000_000_000, "billion"), (1_000_000, "million"), (1_000, "thousand"), (100, "hundred"))
_IRREGULAR_ORDINALS = dict(
    one="first", two="second", three="third", five="fifth", eight="eighth", nine="ninth", twelve="twelfth"
)
_MONEY = {"$": ("dollar", "dollars"), "£": ("pound", "pounds"), "€": ("euro", "euros")}
_SIGNS = {"%": " percent", "&": " and ", "+": " plus ", "=": " equals ", "°": " degrees", "’": "'", "‘": "'"}
_SHORT = {
    "mr": "mister", "mrs": "missus", "dr": "doctor", "st": "saint", "vs": "versus", "etc": "et cetera", "ok": "okay",
    "gray": "grey", "tire": "tyre", "cheque": "check", "programme": "program", "jewellery": "jewelry",
    "aluminium": "aluminum", "plough": "plow", "kerb": "curb", "mum": "mom",
}  # fmt: skip


def spoken(text: str) -> list[str]:
    """The words of a text, small, without punctuation, with its numbers written out."""
    for sign, words in _SIGNS.items():
        text = text.replace(sign, words)
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text.lower())
    text = re.sub(r"([$£€])\s?(\d+)(?:\.(\d\d))?", _money, text)
    text = re.sub(r"(\d{1,2}):(\d\d)", _time, text)
    text = re.sub(r"(\d+)(st|nd|rd|th)\b", lambda match: ordinal(int(match[1])), text)
    text = re.sub(r"(\d+)\.(\d+)", lambda match: f"{cardinal(int(match[1]))} point {_digits(match[2])}", text)
    text = re.sub(r"\d+", _number, text)
    words = re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*", re.sub(r"\b([ap])\.?m\b\.?", r"\1 m", text))
    return [word for i, word in enumerate(words) if not (word == "and" and i and words[i - 1] == "hundred")]


def cardinal(number: int) -> str:
    """The number in words: 1,234 is "one thousand two hundred thirty four"."""
    for size, name in _GROUPS:
        if number >= size:
            rest = f" {cardinal(number % size)}" if number % size else ""
            return f"{cardinal(number // size)} {name}{rest}"
    if number < len(_ONES):
        return _ONES[number]
    return f"{_TENS[number // 10]} {_ONES[number % 10]}" if number % 10 else _TENS[number // 10]


def ordinal(number: int) -> str:
    """21 is "twenty first"."""
    *before, last = cardinal(number).split()
    regular = last[:-1] + "ieth" if last.endswith("y") else last + "th"
    return " ".join([*before, _IRREGULAR_ORDINALS.get(last, regular)])


def year(number: int) -> str:
    """1905 is "nineteen oh five", 2000 a cardinal."""
    century, rest = divmod(number, 100)
    if rest == 0:
        return f"{cardinal(century)} hundred" if century % 10 else cardinal(number)
    return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"


def _number(match: re.Match[str]) -> str:
    digits = match[0]
    number = int(digits)
    if 1_100 <= number < 2_000 or 2_010 <= number < 2_100:
        return year(number)
    return _digits(digits) if len(digits) > 9 or len(digits) > 1 and digits[0] == "0" else cardinal(number)


def _digits(digits: str) -> str:
    return " ".join(_ONES[int(digit)] for digit in digits)


def _money(match: re.Match[str]) -> str:
    sign, whole, cents = match.groups()
    words = f"{cardinal(int(whole))} {_MONEY[sign][int(whole) != 1]}"
    return f"{words} {cardinal(int(cents))}" if cents and int(cents) else words


def _time(match: re.Match[str]) -> str:
    hour, minute = int(match[1]), int(match[2])
    if minute == 0:
        return cardinal(hour)
    return f"{cardinal(hour)} {'oh ' if minute < 10 else ''}{cardinal(minute)}"


@cache
def sound_of(word: str) -> str:
    """The same for all words that sound alike: a pronunciation where one is known, else the American spelling."""
    word = _SHORT.get(word, word)
    american = american_spelling(word)
    for spelling in (word, american):
        if known := pronouncing.phones_for_word(spelling):
            return re.sub(r"\d| #.*", "", known[0]).replace(" ", "-")  # without stress and remarks
    return american


def word_errors(texts: Sequence[str], transcripts: Sequence[str]) -> float:
    """The word error rate of transcripts: insertions, deletions and substitutions by the texts' words."""
    said, heard = ([" ".join(map(sound_of, spoken(text))) for text in side] for side in (texts, transcripts))
    return jiwer.wer(said, heard)
