"""The interface between a run and a model, so that engines other than a loaded `Bark` can generate segments."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from ..bark import Generation, Segment, Settings, StageProgress
from ..errors import BarkError
from ..model.spec import BarkSpec
from ..voices.history import History


class Engine(Protocol):
    """Generates segments: a loaded `Bark`, a fake for tests, or a cluster."""

    @property
    def name(self) -> str:
        """The model's name, for the manifest."""

    @property
    def spec(self) -> BarkSpec:
        """Special tokens, rates and windows of the semantic stage."""

    @property
    def identity(self) -> str:
        """A fingerprint of weights, precision and device type; engines with equal fingerprints generate equal tokens."""

    def describe_stages(self) -> Mapping[str, Mapping[str, str]]:
        """For each stage, the source of its weights, their dtype and their device, for the manifest."""

    def encode(self, text: str) -> list[int]:
        """WordPiece ids of a text. Raises TextError if the model can read none of it."""

    def check_history(self, history: History) -> None:
        """Raise VoiceError for a history with tokens that the model does not have."""

    def rows_at_once(self, settings: Settings) -> int:
        """How many segments fit into memory in one batch."""

    def stream(
        self, segments: Sequence[Segment], settings: Settings, progress: StageProgress, rows: int | None
    ) -> Generator[tuple[int, Generation], None, None]:
        """Yield (index in `segments`, generation) for each segment as soon as it is finished, in any order.

        Closing the generator stops the remaining segments. A segment that is not wanted any more need not be yielded. A
        segment's tokens do not depend on the other segments.
        `settings` apply to segments without settings of their own. `rows`: the batch size; None: `rows_at_once`.
        """

    def decode(self, codes: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Decode the codes (8, frames) of each segment to float32 samples (frames * 320,) at 24 kHz."""


@dataclass(frozen=True)
class FleetProgress:
    """What the workers of a fleet are doing."""

    workers: int
    busy: int
    queued: int  # segments that no worker has
    running: int  # segments that a worker has
    segments_per_s: float  # 0.0 before the first is finished


@runtime_checkable
class Fleet(Engine, Protocol):
    """An engine of many workers. Segments are submitted one by one, and come back in any order."""

    @property
    def room(self) -> int:
        """How many further segments should be submitted now, so that no worker will have to wait; 0 or less for none."""

    def submit(self, segment: Segment, settings: Settings) -> int:
        """Queue a segment. Returns the number under which it comes back. `settings` apply unless it has its own."""

    def withdraw(self, number: int) -> None:
        """The segment is not needed any more; it may or may not come back."""

    def next_finished(
        self, report: Callable[[FleetProgress], None], until: Callable[[], bool] = lambda: False
    ) -> tuple[int, Generation | BarkError] | None:
        """Wait for any submitted segment: its number, and its generation, or why it could not be generated.

        `report` and `until` are called while it waits; once `until` is true, it returns None. Raises DeviceError if no
        worker is left.
        """


def stream_of_fleet(
    fleet: Fleet, segments: Sequence[Segment], settings: Settings, progress: StageProgress
) -> Generator[tuple[int, Generation], None, None]:
    """`Engine.stream` for a fleet that has nothing else to do. Raises the BarkError of a segment that fails."""
    places = {fleet.submit(segment, settings): place for place, segment in enumerate(segments)}
    try:
        for done in range(len(segments)):
            progress("fine", done, len(segments))
            finished = fleet.next_finished(lambda _: None)
            assert finished is not None
            number, result = finished
            if isinstance(result, BarkError):
                raise result
            yield places[number], result
    finally:
        for number in places:
            fleet.withdraw(number)
