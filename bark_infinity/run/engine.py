"""What a run asks of a model, so that other engines than a loaded `Bark` can make its segments."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Protocol

import numpy as np

from ..bark import Generation, Segment, Settings, StageProgress
from ..model.spec import BarkSpec
from ..voices.history import History


class Engine(Protocol):
    """Makes segments: a loaded `Bark`, a test's fake, or machines that share the work."""

    @property
    def name(self) -> str:
        """The model's name, for the manifest."""

    @property
    def spec(self) -> BarkSpec:
        """Special tokens, rates and windows of the semantic stage."""

    @property
    def identity(self) -> str:
        """A fingerprint of weights, precision and device type: the same one gives the same tokens."""

    def describe_stages(self) -> Mapping[str, Mapping[str, str]]:
        """For each stage where its weights came from, their dtype and their device, for the manifest."""

    def encode(self, text: str) -> list[int]:
        """WordPiece ids of a text. Raises TextError if the model can read none of it."""

    def check_history(self, history: History) -> None:
        """Raise VoiceError for a history with tokens that the model does not have."""

    def rows_at_once(self, settings: Settings) -> int:
        """How many segments fit into memory side by side."""

    def stream(
        self, segments: Sequence[Segment], settings: Settings, progress: StageProgress, rows: int | None
    ) -> Generator[tuple[int, Generation], None, None]:
        """The index in `segments` and the generation of each, as soon as it is finished, in any order.

        Closing the generator ends the work on the others. A segment's tokens do not depend on other segments. `settings`
        hold for segments without settings of their own.
        """

    def decode(self, codes: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Codes (8, frames) of several segments to float32 samples (frames * 320,) at 24 kHz each."""
