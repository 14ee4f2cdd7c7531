"""The teacher: Debian's flite and its voices, with the phones of its speech and the words they belong to."""

from __future__ import annotations

import ctypes
import math
from ctypes import POINTER, c_char_p, c_float, c_int, c_short, c_void_p
from dataclasses import dataclass

import numpy as np

RATE = 16_000  # samples per second of every voice used here


@dataclass(frozen=True)
class Phone:
    name: str
    end: float  # seconds from the beginning; 0 without audio
    word: int  # index among the words that are spoken, -1 for a pause
    token: int  # index of the text's token (between white space) that the word was read from, -1 for a pause


class _Wave(ctypes.Structure):
    _fields_ = [
        ("type", c_char_p),
        ("rate", c_int),
        ("n_samples", c_int),
        ("n_channels", c_int),
        ("samples", POINTER(c_short)),
    ]


class _Voice(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("features", c_void_p)]


_FUNCTIONS = {
    "flite_init": (c_int, []),
    "new_utterance": (c_void_p, []),
    "utt_set_input_text": (c_int, [c_void_p, c_char_p]),
    "flite_do_synth": (c_void_p, [c_void_p, c_void_p, c_void_p]),
    "utt_wave": (POINTER(_Wave), [c_void_p]),
    "utt_relation": (c_void_p, [c_void_p, c_char_p]),
    "relation_head": (c_void_p, [c_void_p]),
    "item_next": (c_void_p, [c_void_p]),
    "item_parent": (c_void_p, [c_void_p]),
    "item_as": (c_void_p, [c_void_p, c_char_p]),
    "flite_ffeature_string": (c_char_p, [c_void_p, c_char_p]),
    "flite_ffeature_float": (c_float, [c_void_p, c_char_p]),
    "flite_feat_set_float": (None, [c_void_p, c_char_p, c_float]),
    "delete_utterance": (None, [c_void_p]),
}


class Teacher:
    """One voice of flite. Needs Debian's `libflite1`; raises OSError without it."""

    def __init__(self, voice: str):
        self._flite = ctypes.CDLL("libflite.so.1", mode=ctypes.RTLD_GLOBAL)
        for library in ("cmulex", "usenglish"):
            ctypes.CDLL(f"libflite_{library}.so.1", mode=ctypes.RTLD_GLOBAL)
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(self._flite, name)
            function.restype, function.argtypes = result, arguments
        self._flite.flite_init()
        register = getattr(
            ctypes.CDLL(f"libflite_cmu_us_{voice}.so.1", mode=ctypes.RTLD_GLOBAL), f"register_cmu_us_{voice}"
        )
        register.restype, register.argtypes = c_void_p, [c_char_p]
        self._voice = register(None)

    def set(self, feature: str, value: float) -> None:
        """Change a feature of the voice, such as `duration_stretch` or `int_f0_target_mean`."""
        features = ctypes.cast(self._voice, POINTER(_Voice)).contents.features
        self._flite.flite_feat_set_float(features, feature.encode(), value)

    def speak(self, text: str) -> tuple[np.ndarray, list[Phone]]:
        """int16 samples [n] at `RATE` and the phones with their ends."""
        utterance = self._run(text, self._flite.utt_synth)
        try:
            wave = self._flite.utt_wave(utterance).contents
            assert wave.rate == RATE, wave.rate
            samples = np.ctypeslib.as_array(wave.samples, (wave.n_samples,)).copy()
            return samples, self._phones(utterance)
        finally:
            self._flite.delete_utterance(utterance)

    def pronounce(self, text: str) -> list[Phone]:
        """The phones alone: a hundred times faster than speech."""
        utterance = self._run(text, self._flite.utt_synth_text2segs)
        try:
            return self._phones(utterance)
        finally:
            self._flite.delete_utterance(utterance)

    def _run(self, text: str, synthesis) -> int:
        utterance = self._flite.new_utterance()
        self._flite.utt_set_input_text(utterance, text.encode())
        return self._flite.flite_do_synth(utterance, self._voice, ctypes.cast(synthesis, c_void_p))

    def _phones(self, utterance: int) -> list[Phone]:
        flite = self._flite
        tokens = self._token_of_words(utterance)
        phones, words = [], {}
        item = flite.relation_head(flite.utt_relation(utterance, b"Segment"))
        while item:
            word = self._word_of(item)
            index = words.setdefault(word, len(words)) if word else -1
            name = flite.flite_ffeature_string(item, b"name").decode()
            end = flite.flite_ffeature_float(item, b"end")
            phones.append(Phone(name, end if math.isfinite(end) else 0.0, index, tokens.get(word, -1)))
            item = flite.item_next(item)
        return phones

    def _word_of(self, segment: int) -> int | None:
        """The word's item in the relation of words: a segment hangs under a syllable, a syllable under its word."""
        flite = self._flite
        item = flite.item_as(segment, b"SylStructure")
        for _ in range(2):
            item = flite.item_parent(item) if item else None
        return flite.item_as(item, b"Word") if item else None

    def _token_of_words(self, utterance: int) -> dict[int, int]:
        """From each word's item to the index of the token that it was read from."""
        flite = self._flite
        tokens: dict[int, int] = {}
        of_words: dict[int, int] = {}
        item = flite.relation_head(flite.utt_relation(utterance, b"Word"))
        while item:
            parent = flite.item_parent(flite.item_as(item, b"Token"))
            of_words[item] = tokens.setdefault(parent, len(tokens))
            item = flite.item_next(item)
        return of_words
