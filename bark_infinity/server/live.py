"""Speech while it is made: a text goes to the shared engine, and its sound comes back segment by segment."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .. import constants as c
from ..errors import EngineClosedError, UsageError
from ..narration import ClipSource, Narration, recipe_of
from ..options.layers import layered
from ..options.resolve import resolve
from ..options.table import Options
from ..run.program_options import COMMAND_LINE, IN_A_FOLDER, as_loaded, check_program_options, check_text
from ..text.events import Script
from .engine_client import EngineClient
from .silence_bound import check_silence

if TYPE_CHECKING:
    from .services import Services

_LONGEST_URGENT = 1_000  # characters; of a longer text only the first segment goes before others' work


@dataclass(frozen=True, eq=False)
class LiveSegment:
    """A finished segment. The `audio` of all segments, joined, is the sound of the whole speech.

    `audio`: float32 samples (n,) at 24 kHz, with the gap before the segment; `start`: of the segment itself, in seconds.
    """

    index: int
    text: str
    audio: np.ndarray
    start: float


class LiveSpeech:
    """A text that is being spoken, made by `speak_live`: an iterator of its segments, in order, each as soon as it is there.

    One thread at a time iterates; `close` may be called from any.
    """

    def __init__(self, narration: Narration, client: EngineClient):
        self._narration, self._client = narration, client
        self._iterator = iter(narration)
        self._lock = threading.Lock()  # held by whoever works with the narration
        self._closed = threading.Event()
        texts = [segment.text for segment in narration.plan.segments]
        self.n_segments = len(texts)
        self.n_characters = sum(map(len, texts))
        self.n_ids = sum(len(client.encode(text)) for text in texts if text)
        """WordPiece ids, which the model reads."""
        self.n_samples = 0
        """Samples of sound so far."""

    @property
    def seconds(self) -> float:
        """Seconds of sound so far."""
        return self.n_samples / c.SAMPLE_RATE

    def __iter__(self) -> Iterator[LiveSegment]:
        return self

    def __next__(self) -> LiveSegment:
        """The next segment, which may take a while. Raises BarkError if it cannot be made."""
        try:
            with self._lock:
                return self._next()
        finally:
            self._release()

    def close(self) -> None:
        """End the speech: segments that are being generated leave the engine within a step, and others never begin.

        It does not wait for a thread that iterates, whose iteration ends.
        """
        self._closed.set()
        self._client.close()
        self._release()

    def __enter__(self) -> LiveSpeech:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _next(self) -> LiveSegment:
        if self._closed.is_set():
            raise StopIteration
        try:
            segment = next(self._iterator)
        except BaseException as error:
            was_closed = self._closed.is_set()
            self._closed.set()
            if was_closed and isinstance(error, EngineClosedError):
                raise StopIteration from None
            raise
        self._narration.segments.clear()  # they are the caller's now
        self.n_samples += len(segment.sound)
        if self.n_characters > _LONGEST_URGENT:
            self._client.urgent = False
        return LiveSegment(segment.index, segment.text, segment.sound, segment.start)

    def _release(self) -> None:
        """Once it is closed, free what it holds; if another thread is at work with it, that one does so."""
        if self._closed.is_set() and self._lock.acquire(blocking=False):
            try:
                self._client.close()
                self._narration.close()
            finally:
                self._lock.release()


def speak_live(
    services: Services,
    text: str | Path | Script,
    options: Mapping[str, object] | None = None,
    voice: str | Path | None = None,
) -> LiveSpeech:
    """Speak a text or script with the server's engine, before the work of jobs; nothing is kept in a folder.

    `text`: what `narrate` takes. `options`: values of flags by name, above those that the server was started with. `voice`:
    a path or a name, above both. Raises TextError, VoiceError, UsageError before anything is generated,
    EngineClosedError if the server ends.
    """
    resolved = resolve(_asked(services, text, options or {}, voice))
    source = ClipSource(resolved, script=text if isinstance(text, Script) else None, names=services.names)
    client = services.engine.client(urgent=True)
    try:
        recipe = recipe_of(source, services.bark, engine=client)
        narration = Narration(source, recipe, in_memory=True)
        check_silence([narration.plan], source.options)
        return LiveSpeech(narration, client)
    except BaseException:
        client.close()
        raise


def _asked(
    services: Services, text: str | Path | Script, options: Mapping[str, object], voice: str | Path | None
) -> Options:
    """The options of a speech, not resolved. Raises UsageError, TextError."""
    asked = dict(options)
    if voice is not None:
        if asked.get("history_prompt") is not None:
            raise UsageError("history_prompt is given beside the voice; leave one of them out")
        asked["history_prompt"] = str(voice)
    defaults = services.defaults.changed()
    server = {name: value for name, value in defaults.items() if name not in COMMAND_LINE and name not in IN_A_FOLDER}
    given = Options.from_settings(layered(asked, server))
    check_program_options(given, services.bark, in_memory=True)
    check_text(text, given)
    spoken: dict[str, object] = {"output_dir": services.defaults.output_dir}  # where voices are found by name
    if isinstance(text, Path):
        spoken["prompt_file"] = str(text)
    elif isinstance(text, str):
        spoken["text_prompt"] = text
    loaded = as_loaded(given.with_settings(spoken), services.bark)
    return dataclasses.replace(loaded, given=frozenset(asked))  # what a script sets is above the server's settings
