"""Finds when each word of an English text is spoken in a recording, by pocketsphinx's forced alignment (extra `check`)."""

from __future__ import annotations

import functools
import importlib.util
import re
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .. import constants as c
from .reading import resample

if TYPE_CHECKING:
    from pocketsphinx import Decoder

Times = tuple[float, float]
"""When a word begins and ends, in seconds from the beginning of the recording."""

_RATE = 16_000  # samples per second of pocketsphinx's model
_FRAMES_PER_S = 100
_SILENCE_S = 0.25  # put before and behind the recording: the recogniser adapts to the room first
_PEAK, _NOISE = 0.6, 1e-4  # level of the recording, and of noise in it: digital silence confuses the recogniser
_MOST_SECONDS = 60.0  # of a recording; longer ones are not of one segment
_KNOWN_SHARE = 0.85  # least share of known words in an English text; long ones in other languages have at most 0.75
_MOST_WORDS_LOOKED_UP = 2_000
_BEAMS = {
    "beam": 1e-100,
    "pbeam": 1e-100,
    "wbeam": 1e-80,
}  # wider than pocketsphinx's own, which loses synthetic speech

_LONGEST_NUMBER = 15  # characters; longer ones are no quantities

_TAG = re.compile(r"\[[^][\n]*\]")
_PART = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*['’]?|\d+(?:,\d{3})*(?:\.\d+)?")

# A pronunciation good enough to find a word that no dictionary has. Longer spellings come first.
_SOUNDS = {
    "tch": "CH", "igh": "AY", "ch": "CH", "sh": "SH", "th": "TH", "ph": "F", "ck": "K", "ng": "NG", "wh": "W", "qu": "K W",
    "ee": "IY", "ea": "IY", "oo": "UW", "ou": "AW", "ow": "OW", "ai": "EY", "ay": "EY", "oa": "OW", "oi": "OY", "oy": "OY",
    "au": "AO", "aw": "AO", "er": "ER", "ar": "AA R", "or": "AO R", "a": "AE", "b": "B", "c": "K", "d": "D", "e": "EH",
    "f": "F", "g": "G", "h": "HH", "i": "IH", "j": "JH", "k": "K", "l": "L", "m": "M", "n": "N", "o": "AA", "p": "P",
    "r": "R", "s": "S", "t": "T", "u": "AH", "v": "V", "w": "W", "x": "K S", "y": "IY", "z": "Z",
}  # fmt: skip
_SPELLING = re.compile("|".join(sorted(_SOUNDS, key=len, reverse=True)))


def aligner_is_there() -> bool:
    """Whether the libraries of the extra `check` that an Aligner needs are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("pocketsphinx", "num2words"))


@functools.cache
def the_aligner() -> Aligner:
    """The process's only Aligner: loading one takes as long as aligning a minute of speech."""
    return Aligner()


class Aligner:
    """Aligns English texts with their recordings, for one thread at a time."""

    def __init__(self) -> None:
        from pocketsphinx import Decoder

        self._lock = threading.Lock()
        self._learned: set[str] = set()  # words that the dictionary does not have
        self._decoder: Decoder = Decoder(samprate=_RATE, lm=None, loglevel="FATAL", **_BEAMS)

    def knows(self, text: str) -> bool:
        """Whether a text is English, which is judged by the share of its words that are in the dictionary."""
        parts = [part for word in text.split()[:_MOST_WORDS_LOOKED_UP] for part in _spoken_parts(word)]
        with self._lock:
            known = sum(part not in self._learned and self._decoder.lookup_word(part) is not None for part in parts)
        return known >= _KNOWN_SHARE * len(parts) > 0

    def align(self, words: Sequence[str], samples: np.ndarray) -> list[Times | None] | None:
        """When each word is spoken in samples (n,) at 24 kHz; None for words that are not spoken, such as [laughs].

        Returns None where the text cannot be found in the recording.
        """
        parts = [list(_spoken_parts(word)) for word in words]
        text = " ".join(part for own in parts for part in own)
        if not text or not 0 < len(samples) <= _MOST_SECONDS * c.SAMPLE_RATE:
            return None
        with self._lock:
            for part in text.split():
                self._learn(part)
            found = self._find(text, samples)
        if found is None or len(found) != sum(map(len, parts)):
            return None
        times: list[Times | None] = []
        for own in parts:
            heard, found = found[: len(own)], found[len(own) :]
            times.append((heard[0][0], heard[-1][1]) if heard else None)
        return times

    def _learn(self, word: str) -> None:
        if self._decoder.lookup_word(word) is None:
            sounds = " ".join(_SOUNDS[match.group()] for match in _SPELLING.finditer(word)) or "AH"
            self._decoder.add_word(word, sounds, True)
            self._learned.add(word)

    def _find(self, text: str, samples: np.ndarray) -> list[Times] | None:
        """The times of the words of a text that is written as the dictionary has it."""
        seconds = len(samples) / c.SAMPLE_RATE
        sound = resample(samples, c.SAMPLE_RATE, _RATE)
        silence = np.zeros(round(_SILENCE_S * _RATE), np.float32)
        sound = np.concatenate([silence, _PEAK / (np.abs(sound).max(initial=0) + 1e-9) * sound, silence])
        sound += np.random.default_rng(0).normal(0, _NOISE, len(sound)).astype(np.float32)
        decoder = self._decoder
        try:
            decoder.set_align_text(text)
            decoder.reinit_feat()  # forgets the recording before
            decoder.start_utt()
            decoder.process_raw((sound * 32_767).astype(np.int16).tobytes(), full_utt=True)
            decoder.end_utt()
        except RuntimeError:
            return None
        if decoder.hyp() is None:
            return None
        return [
            (
                min(max(part.start_frame / _FRAMES_PER_S - _SILENCE_S, 0.0), seconds),
                min(max((part.end_frame + 1) / _FRAMES_PER_S - _SILENCE_S, 0.0), seconds),
            )
            for part in decoder.seg() or ()
            if not part.word.startswith(("<", "[", "("))  # silence and noise
        ]


def _spoken_parts(word: str) -> Iterator[str]:
    """Yield the words of the dictionary that a word of a text is read as; none for a tag or punctuation."""
    for match in _PART.finditer(_TAG.sub(" ", word)):
        part = match.group().lower().replace("’", "'")
        if part[0].isdecimal():
            yield from _number_in_words(part)
        else:
            yield part.strip("'")


def _number_in_words(number: str) -> Iterator[str]:
    """Yield the words of a number such as 1,234.5; of a long one, those of its digits."""
    from num2words import num2words

    for part in [number.replace(",", "")] if len(number) <= _LONGEST_NUMBER else filter(str.isdecimal, number):
        yield from re.findall(r"[a-z]+", num2words(part))
