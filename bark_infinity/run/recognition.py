"""Recognisers listen to takes: their interface, what they hear, and the thread in which they work beside the engine."""

from __future__ import annotations

import contextlib
import logging
import math
from bisect import bisect_right
from collections import deque
from collections.abc import Container, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_MOST_WORDS = 10_000  # of one take, that are read from a file
_WAITING_S = 0.2  # between looks at a signal: on Windows a longer wait would not notice Ctrl-C


class HeardWord(NamedTuple):
    """A word with the space before it, if it has one, and when it begins and ends, in seconds."""

    text: str
    start: float
    end: float


class Recognizer(Protocol):
    """Turns speech into words."""

    @property
    def name(self) -> str:
        """Its name, with that of its model, as a manifest tells it. Equal names hear the same."""

    @property
    def languages(self) -> Container[str]:
        """The codes of the languages that it understands."""

    def hear(self, audio: np.ndarray, language: str) -> Sequence[HeardWord]:
        """The words in samples (n,) at 24 kHz, in order. Equal samples give equal words. May raise anything."""


@dataclass(frozen=True)
class Heard:
    """What a recogniser heard in a take."""

    words: tuple[HeardWord, ...]
    recognizer: str
    language: str

    @cached_property
    def text(self) -> str:
        """All words."""
        return "".join(word.text for word in self.words)

    def word_at(self, offset: int) -> HeardWord:
        """The word at an offset in `text`."""
        starts = [0, *accumulate(len(word.text) for word in self.words[:-1])]
        return self.words[bisect_right(starts, offset) - 1]

    def content(self) -> dict[str, object]:
        """As a JSON object."""
        return {"recognizer": self.recognizer, "language": self.language, "words": [list(word) for word in self.words]}

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Heard:
        """The inverse of `content`. Raises KeyError, TypeError or ValueError for anything else."""
        words = tuple(HeardWord(str(text), float(start), float(end)) for text, start, end in content["words"])
        if len(words) > _MOST_WORDS or not all(math.isfinite(time) for word in words for time in word[1:]):
            raise ValueError("no words of a take")
        return cls(words, str(content["recognizer"]), str(content["language"]))


class Listener(Generic[_T]):
    """Has a recogniser listen to takes, one after the other, in a thread of its own, while the engine goes on.

    If the recogniser fails, that is logged once, and nothing is heard from then on.
    """

    def __init__(self, recognizer: Recognizer):
        self._recognizer = recognizer
        self._thread = ThreadPoolExecutor(1, "listener")
        self._waiting: deque[tuple[_T, Future[Heard | None]]] = deque()
        self._broken = False

    def __len__(self) -> int:
        """The number of takes whose results have not been collected."""
        return len(self._waiting)

    @property
    def has_result(self) -> bool:
        """Whether `results` would yield something without waiting."""
        return bool(self._waiting) and self._waiting[0][1].done()

    def submit(self, take: _T, audio: np.ndarray, language: str) -> None:
        """Listen to samples (n,) at 24 kHz; `results` gives `take` back with what was heard."""
        self._waiting.append((take, self._thread.submit(self._hear, audio, language)))

    def results(self, wait_for_one: bool) -> Iterator[tuple[_T, Heard | None]]:
        """Yield each take whose result is there with what was heard in it, in order; None if the recogniser has failed."""
        while self._waiting:
            take, future = self._waiting[0]
            while wait_for_one and not future.done():
                wait([future], _WAITING_S)
            if not future.done():
                return
            wait_for_one = False
            self._waiting.popleft()
            yield take, future.result()

    def close(self) -> None:
        """Drop what is not heard yet."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _hear(self, audio: np.ndarray, language: str) -> Heard | None:
        if self._broken:
            return None
        try:
            finite = np.clip(
                np.nan_to_num(audio, posinf=0.0, neginf=0.0), -1.0, 1.0
            )  # faults are for the checks to tell
            words = self._recognizer.hear(finite, language) if len(audio) else ()
            return Heard(tuple(words), self._recognizer.name, language)
        except Exception as error:  # a recogniser may raise anything, and a run does not end because of it
            self._broken = True
            with contextlib.suppress(Exception):  # nor because of a closed stream
                reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
                _log.warning(
                    "the recognizer %s failed (%s); the run goes on, and takes are chosen by the checks alone",
                    self._recognizer.name,
                    reason,
                )
            return None
