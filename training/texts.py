"""Training sentences: WordNet's glosses and examples and the fortunes, both from Debian, and generated ones with digits."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from . import settings

_WORDNET = Path("/usr/share/wordnet")
_FORTUNES = Path("/usr/share/games/fortunes")
_PLAIN = re.compile(r"[A-Za-z][A-Za-z' ,]*[.?!]?")
_MAX_CHARACTERS, _MAX_WORDS, _MIN_WORDS, _MAX_WORD = 84, 16, 3, 16
_COMMON_WORDS = 8_000  # a sentence of these alone is plain


def tidy(sentence: str) -> str | None:
    """The sentence with one kind of comma and one capital, or None if it is not plain words."""
    sentence = re.sub(r"\s+", " ", sentence.strip()).replace(" -- ", ", ").replace("--", ", ")
    sentence = re.sub(r" ?[,;:]+", ",", sentence.replace("-", " "))
    words = sentence.split()
    if not _PLAIN.fullmatch(sentence) or not _MIN_WORDS <= len(words) <= _MAX_WORDS or len(sentence) > _MAX_CHARACTERS:
        return None
    if any(len(word) > _MAX_WORD or re.search(r".[A-Z]|^'|'$", word) for word in words):
        return None
    sentence = sentence[0].upper() + sentence[1:]
    return sentence if sentence[-1] in ".?!" else sentence.rstrip(",") + "."


def _from_wordnet() -> Iterator[str]:
    for path in sorted(_WORDNET.glob("data.*")):
        for line in path.read_text(errors="ignore").splitlines():
            if line.startswith("  ") or "|" not in line:  # the licence stands in indented lines
                continue
            gloss = line.split("|", 1)[1]
            yield from re.findall(r'"([^"]+)"', gloss)
            for definition in re.sub(r'"[^"]*"', "", gloss).split(";"):
                yield re.sub(r"\([^)]*\)", "", definition)


def _from_fortunes() -> Iterator[str]:
    for path in sorted(_FORTUNES.iterdir()):
        if path.is_file() and not path.suffix:
            for fortune in path.read_text(errors="ignore").split("%"):
                quotation = re.sub(r"\n\s+--.*", "", fortune, flags=re.S).replace("\n", " ")
                yield from re.split(r"(?<=[.?!])\s+", quotation)


def sentences() -> list[str]:
    """Plain sentences, each once, in an order that the seed decides."""
    found = sorted({s for text in (_from_wordnet(), _from_fortunes()) for raw in text if (s := tidy(raw))})
    random.Random(settings.SEED).shuffle(found)
    return found


def plain(found: list[str]) -> list[str]:
    """Those of the commonest words alone, in the same order."""
    words = Counter(word for sentence in found for word in re.findall(r"[a-z']+", sentence.lower()))
    common = {word for word, _ in words.most_common(_COMMON_WORDS)}
    return [s for s in found if common.issuperset(re.findall(r"[a-z']+", s.lower()))]


def salads(found: list[str], count: int) -> list[str]:
    """Words in no order, each of the corpus as likely as any other: rare ones are read too."""
    rng = random.Random(settings.SEED + 2)
    words = sorted({word for sentence in found for word in re.findall(r"[a-z']{2,}", sentence.lower())})
    drawn = (" ".join(rng.choices(words, k=rng.randrange(3, 8))) for _ in range(count))
    return [s for raw in drawn if (s := tidy(raw))]


_NUMBERED = (
    "There are {n} {things} in the box.",
    "She paid {n} dollars for it.",
    "He was born in {y}.",
    "In {y} the town had only {n} people.",
    "It is {h}:{m} in the morning.",
    "We counted {n} {things} and {n} {things}.",
    "Chapter {s}.",
    "The answer is {n}.",
    "Turn to page {n}.",
    "They lived here from {y} to {y}.",
    "Call me at {h} o'clock.",
    "My number is {s} {s} {s} {s}.",
    "About {s} percent of the {things} were lost.",
    "The bus number {n} leaves at {h}.",
    "On May {d}, {y}, it rained.",
    "{n}",
    "{s}, {s}, {s}.",
    "I bought {s} {things} for ${s}.",
)
_THINGS = (
    "apples",
    "books",
    "houses",
    "people",
    "ships",
    "letters",
    "days",
    "trees",
    "stones",
    "dogs",
    "cars",
    "birds",
)


def numbered(count: int) -> list[str]:
    """Sentences with digits: counts, years, times, dates and sums of money."""
    rng = random.Random(settings.SEED + 1)

    def filled(match: re.Match) -> str:
        return {
            "n": lambda: str(rng.choice((rng.randrange(100), rng.randrange(1_000), rng.randrange(10_000)))),
            "s": lambda: str(rng.randrange(1, rng.choice((11, 100)))),
            "y": lambda: str(rng.randrange(1_700, 2_030)),
            "h": lambda: str(rng.randrange(1, 13)),
            "m": lambda: str(rng.randrange(10, 60)),
            "d": lambda: str(rng.randrange(1, 32)),
            "things": lambda: rng.choice(_THINGS),
        }[match[1]]()

    return [re.sub(r"\{(\w+)\}", filled, rng.choice(_NUMBERED)) for _ in range(count)]


_SAID_ALONE = (
    "Hello", "Hi", "Hey", "Yes", "No", "Well", "Oh", "Ah", "Okay", "Please", "Thanks", "Thank you", "Sorry", "Welcome",
    "Good morning", "Good evening", "Good night", "Goodbye", "Bye", "Wait", "Stop", "Listen", "Look", "Now", "Right",
    "Of course", "Not yet", "Come on", "See you", "My friend", "One moment", "Never mind", "Then", "So", "However",
)  # fmt: skip


def short(found: list[str], count: int) -> list[str]:
    """One to three words alone, or something people say before a short sentence: "Hello, it is cold."."""
    rng = random.Random(settings.SEED + 4)
    everyday = plain(found)
    common = Counter(word for sentence in everyday for word in re.findall(r"[a-z']{2,}", sentence.lower()))
    words = [word for word, _ in common.most_common(_COMMON_WORDS)]
    brief = [sentence for sentence in everyday if len(sentence.split()) <= 6]

    def one() -> str:
        kind = rng.random()
        if kind < 0.4:
            return " ".join(rng.choices(words, k=rng.randrange(1, 4))).capitalize() + rng.choice("..!?")
        phrase = rng.choice(_SAID_ALONE)
        if kind < 0.55:
            return phrase + rng.choice("..!?")
        following = rng.choice(brief)
        return (
            phrase
            + rng.choice((", ", ", ", ". ", "! "))
            + (following if kind < 0.8 else following[0].lower() + following[1:])
        )

    return [one() for _ in range(count)]
