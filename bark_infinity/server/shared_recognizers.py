"""Recognisers that all jobs share: each is loaded once, and listens to one take at a time."""

from __future__ import annotations

import threading
from collections.abc import Container, Sequence

import numpy as np

from ..checkpoints.hub import Hub
from ..options.table import Options
from ..run.prompts import Notify
from ..run.recognition import HeardWord, Recognizer
from ..run.recognizers import load_recognizer


class SharedRecognizers:
    """Loads recognisers for jobs. May be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: dict[tuple[str, str], Recognizer] = {}

    def load(self, options: Options, hub: Hub, tell: Notify) -> Recognizer | None:
        """As `run.recognizers.load_recognizer`; one that could not be had is tried again by the next job."""
        key = (options.recognizer, options.device)
        with self._lock:
            if key not in self._loaded and (loaded := load_recognizer(options, hub, tell)) is not None:
                self._loaded[key] = _InTurn(loaded)
            return self._loaded.get(key)


class _InTurn:
    """A recogniser that listens for one job at a time."""

    def __init__(self, recognizer: Recognizer):
        self._recognizer = recognizer
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self._recognizer.name

    @property
    def languages(self) -> Container[str]:
        return self._recognizer.languages

    def hear(self, audio: np.ndarray, language: str) -> Sequence[HeardWord]:
        with self._lock:
            return self._recognizer.hear(audio, language)
