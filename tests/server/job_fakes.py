"""An engine for jobs without a model, which works only when it is let, and a store of jobs over it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fakes import EngineStream, Hashing

from bark_infinity.bark import Bark, Segment, Settings, StageProgress
from bark_infinity.errors import EngineClosedError, UnknownUploadError, VoiceError
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.server.job_views import JobRequest, JobState, JobView
from bark_infinity.server.jobs import JobStore

FOLDER = Path("out")
TEXT = "One is here. Two is here. Three is here. Four is here."
LINES: dict[str, object] = {
    "split_each_text_prompt_by": "sentence",
    "split_each_text_prompt_by_value": "1",
    "semantic_max_gen_duration_s": 0.3,
    "history_prompt": "voice.npz",
}


class Gate:
    """Lets segments through, a number of them or all."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._n_let = 0
        self.spoken: list[str] = []
        self.is_open = False

    def let(self, n: int) -> None:
        """Let so many more segments through."""
        with self._changed:
            self._n_let += n
            self._changed.notify_all()

    def open(self) -> None:
        """Let all through."""
        with self._changed:
            self.is_open = True
            self._changed.notify_all()

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def pass_one(self, text: str, is_closed: Callable[[], bool]) -> None:
        """Wait until a segment is let through. Raises EngineClosedError."""
        with self._changed:
            self._changed.wait_for(lambda: self.is_open or self._n_let > 0 or is_closed())
            if is_closed():
                raise EngineClosedError("closed")
            self._n_let -= not self.is_open
            self.spoken.append(text)


class GatedClient(Hashing):
    """A job's access: it speaks hashes, when the gate lets it."""

    name = "demo"
    precedence: float | None = None  # what is no job has none

    def __init__(self, gate: Gate):
        super().__init__()
        self._gate, self._closed = gate, False

    def stream(
        self, segments: Sequence[Segment], settings: Settings, progress: StageProgress, rows: int | None
    ) -> EngineStream:
        for place, segment in enumerate(segments):
            self._gate.pass_one(segment.text or "", lambda: self._closed)
            yield from ((place, generation) for _, generation in super().stream([segment], settings, progress, rows))

    def close(self) -> None:
        self._closed = True
        self._gate.wake()


class OneVoice:
    """Finds a script's voice.npz, and no other file."""

    def voice(self, name: str) -> str:
        if name != "voice.npz":
            raise VoiceError(f"there is no voice {name}")
        return name

    def sound(self, name: str) -> str:
        raise UnknownUploadError(f"there is no uploaded recording {name}")

    def cover(self, name: str) -> str:
        raise UnknownUploadError(f"there is no uploaded image {name}")


class GatedEngine:
    """Gives jobs their access."""

    def __init__(self, is_open: bool = True) -> None:
        self.gate = Gate()
        self.gate.is_open = is_open
        self.clients: list[GatedClient] = []

    def client(self, urgent: bool = False) -> GatedClient:
        self.clients.append(GatedClient(self.gate))
        return self.clients[-1]


def store_of(folder: Path, bark: Bark, engine: GatedEngine, **arguments: object) -> JobStore:
    return JobStore(folder, resolve(Options(model="demo")), bark, engine, OneVoice(), **arguments)  # type: ignore[arg-type]


def request(
    text: str | None = TEXT, upload: str | None = None, name: str | None = None, **options: object
) -> JobRequest:
    return JobRequest({**LINES, **options}, text, upload, name, "page")


def wait_for(store: JobStore, condition: Callable[[], bool]) -> None:
    """Wait until that is so."""
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        store.wait(store.wait(0, 0), 0.05)


def until(store: JobStore, id: str, *states: JobState) -> JobView:
    """The view of a job once it is in one of these states."""
    wait_for(store, lambda: store.job(id).state in (*states, JobState.FAILED))
    assert store.job(id).state in states, store.job(id).error
    return store.job(id)
