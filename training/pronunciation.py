"""Text to phones, and which word of the text each belongs to: one pronunciation for the teachers of both voices.

The phones are those of `hibari-tts`' grapheme-to-phoneme converter for American English: IPA, with one letter for each
diphthong (A, I, O, W, Y), affricate (ʤ, ʧ) and the flap (T). A stressed vowel is a phone of its own: ˈA, ˌA, A.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

SILENCE = "pau"  # before the first word
PAUSES = (",", ".", "!", "?")  # behind a word: they carry the melody of what comes before
SENTENCE_ENDS = PAUSES[1:]
STRESSES = "ˈˌ"
_STRESSED = "AIOWYæiuɑɔɛɜɪʊʌ"
_UNSTRESSED = "əɐᵊᵻ"
VOWELS = frozenset(_STRESSED + _UNSTRESSED)
_CONSONANTS = "bdfhjklmnpstvwzðŋɡɹʃʒʤʧθT"
PHONES = (
    SILENCE,
    *PAUSES,
    *_CONSONANTS,
    *_STRESSED,
    *_UNSTRESSED,
    *(stress + vowel for stress in STRESSES for vowel in _STRESSED),
)
_KNOWN = frozenset(PHONES)
_DASH = re.compile(r"(?<=\s)(?:--?|–)(?=\s)")  # hyphens that stand alone
_PAUSE_OF = {",": ",", ";": ",", ":": ",", "—": ",", ".": ".", "…": ".", "?": "?", "!": "!"}


@dataclass(frozen=True)
class Phone:
    name: str  # one of `PHONES`
    end: float  # seconds from the beginning; 0 without audio
    word: int  # index among the words that are spoken, -1 in a pause
    token: int  # index of the text's token (between white space) that the word was read from, -1 in a pause


class Pronouncer:
    """hibari's converter. Needs `hibari-tts`."""

    def __init__(self) -> None:
        from hibari import Hibari
        from hibari.g2p import G2P
        from hibari.g2p.normalize import normalize

        self._g2p, self._normalize, self._sentences = G2P(), normalize, Hibari.split_sentences

    def __call__(self, text: str) -> list[Phone]:
        """The phones without times: a silence, and sentences that each end in a pause."""
        phones = [Phone(SILENCE, 0.0, -1, -1)]
        first_token = n_words = 0
        for sentence in self._sentences(text):
            spoken = _Sentence(first_token, n_words)
            for token, symbols in self._tokens(sentence):
                spoken.add(token, symbols)
            phones += spoken.ended()
            first_token, n_words = first_token + len(sentence.split()), spoken.n_words
        return phones

    def _tokens(self, sentence: str) -> Iterator[tuple[int, str]]:
        """The index of a token in the sentence, and hibari's symbols for it or for a part of it."""
        read = self._normalize(_DASH.sub("—", sentence))  # times, dates and abbreviations in words
        origins = origins_of(sentence.split(), read.split())
        at = 0
        for part in self._g2p.phonemize_tokens(self._g2p.tokenize(read)):
            symbols = part.phonemes or ""
            yield origins[min(at, len(origins) - 1)], symbols.replace("—", " ") if "-" in part.text else symbols
            at += bool(part.whitespace)


class _Sentence:
    """Phones of a sentence, collected from hibari's symbols."""

    def __init__(self, first_token: int, n_words: int):
        self.n_words = n_words  # that begin before what is added next
        self._first_token = first_token
        self._phones: list[Phone] = []
        self._inside: int | None = None  # the token whose word goes on

    def add(self, token: int, symbols: str) -> None:
        stress = ""
        for symbol in symbols:
            if symbol in STRESSES:
                stress = symbol
            elif symbol == " ":
                self._inside = None
            elif symbol in _PAUSE_OF:
                self._pause(_PAUSE_OF[symbol])
            elif symbol in _KNOWN:
                self._phone(stress + symbol if stress + symbol in _KNOWN else symbol, token)
                stress = stress if symbol in _CONSONANTS else ""

    def _phone(self, name: str, token: int) -> None:
        if self._inside != token:
            self._inside, self.n_words = token, self.n_words + 1
        self._phones.append(Phone(name, 0.0, self.n_words - 1, self._first_token + token))

    def _pause(self, name: str) -> None:
        """Of several marks in a row the last in the order of `PAUSES` counts."""
        self._inside = None
        if self._phones and self._phones[-1].word < 0:
            name = max(name, self._phones.pop().name, key=PAUSES.index)
        if self._phones:
            self._phones.append(Phone(name, 0.0, -1, -1))

    def ended(self) -> list[Phone]:
        """All phones, the last of them the pause behind the sentence."""
        if self._phones and self._phones[-1].name not in SENTENCE_ENDS:
            self._pause(".")
        return self._phones


def origins_of(written: Sequence[str], read: Sequence[str]) -> list[int]:
    """For each word that is read, the index of the written one it comes from: both words of "10:00" are read from it."""
    origins: list[int] = []
    for kind, first, last, start, end in SequenceMatcher(None, written, read, autojunk=False).get_opcodes():
        if kind == "equal":
            origins += range(first, last)
        elif first == last:  # "$3 billion": the dollars are read behind the billion
            origins += [max(0, first - 1)] * (end - start)
        else:
            origins += _spread(written[first:last], first, end - start)
    return origins


def _spread(written: Sequence[str], first: int, count: int) -> list[int]:
    """Origins of `count` words that are read from some written ones: a written number takes the additional ones."""
    more = count - len(written)
    if more < 0:
        return list(range(first, first + count))
    longer = next((i for i, word in enumerate(written) if any(c.isdigit() for c in word)), len(written) - 1)
    return [first + i for i in range(len(written)) for _ in range(1 + more * (i == longer))]
