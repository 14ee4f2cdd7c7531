"""Training sentences: WordNet's glosses, Jane Austen's novels, the fortunes, ChatterBot's dialogues, and generated ones."""

from __future__ import annotations

import random
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

from . import settings
from .templates import Templates

_WORDNET = Path("/usr/share/wordnet")
_FORTUNES = Path("/usr/share/games/fortunes")
_NOVELS = Path("/usr/lib/R/site-library/janeaustenr/data/Rdata.rdb")
_MEASURED = Path(__file__).parents[1] / "benchmarks"  # its sentences are not learned from
_PLAIN = re.compile(r"[A-Za-z](?:[A-Za-z' ,;:-]|(?<=Mr)\.|(?<=Mrs)\.|(?<=Dr)\.)*[.?!]?")
_TITLE = re.compile(r"\b(Mrs?|Dr)\. ")
_SENTENCE_END = re.compile(r"(?<=[.?!])['\"]?\s+(?=['\"]?[A-Z])")
_MAX_CHARACTERS, _MAX_WORDS, _MIN_WORDS, _MAX_WORD = 190, 36, 3, 16
_MAX_PASSAGE = 230  # characters
_COMMON_WORDS = 8_000  # a sentence of these alone is plain
_NAMED = {15: "places", 18: "people"}  # WordNet's lexicographer files of proper nouns that are used


def tidy(sentence: str) -> str | None:
    """The sentence with one kind of dash and one capital, or None if it is not plain words."""
    sentence = re.sub(r"\s+", " ", re.sub(r'["_]', "", sentence).strip())
    sentence = re.sub(r" ?(--+| - ) ?", ", ", sentence)
    sentence = re.sub(r" ?([,;:])[,;: -]*", r"\1 ", sentence).strip()
    words = sentence.split()
    if not _PLAIN.fullmatch(sentence) or not _MIN_WORDS <= len(words) <= _MAX_WORDS or len(sentence) > _MAX_CHARACTERS:
        return None
    if any(len(word) > _MAX_WORD or re.search(r"[^-][A-Z]|^['.?!-]|['-]$", word) for word in words):
        return None
    sentence = sentence[0].upper() + sentence[1:]
    return sentence if sentence[-1] in ".?!" else sentence.rstrip(",;:") + "."


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
                yield from _SENTENCE_END.split(quotation)


def _paragraphs() -> Iterator[list[str]]:
    """The paragraphs of the novels as sentences, as they stand there."""
    lines = (line.strip() for line in _lines_of_rdb(_NOVELS.read_bytes()))
    paragraph: list[str] = []
    for line in lines:
        if line:
            paragraph.append(line)
        elif paragraph:
            text = _TITLE.sub(r"\1&", " ".join(paragraph))  # no sentence ends behind a title
            yield [sentence.replace("&", ". ") for sentence in _SENTENCE_END.split(text)]
            paragraph = []


def _lines_of_rdb(data: bytes) -> Iterator[str]:
    """The strings in a file of objects of R: each object has four bytes of length and is compressed by zlib.

    A string in R's serialised form has the type and flags 0x00040009, four bytes of length, and its characters.
    """
    while data:
        inflater = zlib.decompressobj()
        one = inflater.decompress(data[4:])
        data = inflater.unused_data
        for match in re.finditer(rb"\x00\x04\x00\x09\x00\x00(?=(..))", one, re.S):
            length = int.from_bytes(match[1], "big")
            yield one[match.end() + 2 : match.end() + 2 + length].decode("latin-1")


def _dialogues() -> Iterator[list[str]]:
    """ChatterBot's dialogues, a turn each."""
    import yaml
    from chatterbot_corpus import corpus

    folder = Path(corpus.DATA_DIRECTORY, "english")
    for path in sorted(folder.glob("*.yml")):
        for dialogue in yaml.safe_load(path.read_text(encoding="utf-8"))["conversations"]:
            yield [str(turn) for turn in dialogue]


@cache
def _measured() -> frozenset[str]:
    """The sentences that benchmarks are made with, without capitals and punctuation."""
    return frozenset(_bare(line) for path in _MEASURED.glob("*.txt") for line in path.read_text().splitlines())


def _bare(sentence: str) -> str:
    return " ".join(re.findall(r"[a-z']+", sentence.lower()))


@cache
def sentences() -> tuple[str, ...]:
    """Plain sentences, each once, in an order that the seed decides."""
    paragraphs = [*_paragraphs(), *_dialogues()]
    raw = [*_from_wordnet(), *_from_fortunes(), *(sentence for paragraph in paragraphs for sentence in paragraph)]
    found = sorted({s for one in raw if (s := tidy(one)) and _bare(s) not in _measured()})
    random.Random(settings.SEED).shuffle(found)
    return tuple(found)


def passages(found: Iterable[str]) -> list[str]:
    """Two to four sentences that follow each other in a novel or a dialogue, all of them in `found`."""
    rng = random.Random(settings.SEED + 5)
    known: set[str | None] = set(found)
    texts = set()
    for paragraph in [*_paragraphs(), *_dialogues()]:
        tidied = [tidy(sentence) for sentence in paragraph]
        for first in range(len(tidied) - 1):
            passage = tidied[first : first + rng.choices((2, 3, 4), (5, 3, 2))[0]]
            if known.issuperset(passage) and len(" ".join(passage)) <= _MAX_PASSAGE:
                texts.add(" ".join(passage))
    return rng.sample(sorted(texts), len(texts))


def plain(found: Sequence[str]) -> list[str]:
    """Those of the commonest words alone, in the same order."""
    words = Counter(word for sentence in found for word in re.findall(r"[a-z']+", sentence.lower()))
    common = {word for word, _ in words.most_common(_COMMON_WORDS)}
    return [s for s in found if common.issuperset(re.findall(r"[a-z']+", s.lower()))]


@cache
def _lemmas() -> dict[str, list[str]]:
    """WordNet's words: "words" in small letters, and the names of "people" and "places", each sorted."""
    kinds: dict[str, set[str]] = {"words": set(), "people": set(), "places": set()}
    for path in sorted(_WORDNET.glob("data.*")):
        for line in path.read_text(errors="ignore").splitlines():
            if not line.startswith("  "):
                fields = line.split()
                for word in fields[4 : 4 + 2 * int(fields[3], 16) : 2]:
                    if re.fullmatch(r"[a-z]{3,16}", word):
                        kinds["words"].add(word)
                    elif re.fullmatch(r"[A-Z][a-z]{2,15}", word) and int(fields[1]) in _NAMED:
                        kinds[_NAMED[int(fields[1])]].add(word)
    return {kind: sorted(words) for kind, words in kinds.items()}


def salads(found: Sequence[str], count: int) -> list[str]:
    """Words in no order, each of the corpus and of WordNet as likely as any other: rare ones are read too."""
    rng = random.Random(settings.SEED + 2)
    of_corpus = {word for sentence in found for word in re.findall(r"[a-z']{2,}", sentence.lower())}
    words = sorted(of_corpus.union(_lemmas()["words"]))
    drawn = (" ".join(rng.choices(words, k=rng.randrange(3, 8))) for _ in range(count))
    return [s for raw in drawn if (s := tidy(raw))]


def _templates(seed: int) -> Templates:
    return Templates(random.Random(seed), _lemmas()["people"], _lemmas()["places"])


def numbered(count: int) -> list[str]:
    """Sentences with digits: counts, years, times, dates and sums of money."""
    templates = _templates(settings.SEED + 1)
    return [templates.numbered() for _ in range(count)]


def said(count: int) -> list[str]:
    """Questions, exclamations, answers and dialogue of common words, with names."""
    templates = _templates(settings.SEED + 6)
    return [templates.said() for _ in range(count)]


_SAID_ALONE = (
    "Hello", "Hi", "Hey", "Yes", "No", "Well", "Oh", "Ah", "Okay", "Please", "Thanks", "Thank you", "Sorry", "Welcome",
    "Good morning", "Good evening", "Good night", "Goodbye", "Bye", "Wait", "Stop", "Listen", "Look", "Now", "Right",
    "Of course", "Not yet", "Come on", "See you", "My friend", "One moment", "Never mind", "Then", "So", "However",
)  # fmt: skip


def short(found: Sequence[str], count: int) -> list[str]:
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
