"""The value of --shard, as 3/20: which of the clips of a run this process makes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..errors import UsageError

_MOST_SHARDS = 1_000_000
_T = TypeVar("_T")


@dataclass(frozen=True)
class Shard:
    """Every `of`-th clip from the `number`-th on; both count from 1."""

    number: int
    of: int

    @classmethod
    def read(cls, text: str) -> Shard:
        """Raises UsageError for anything but K/N with 1 <= K <= N."""
        match = re.fullmatch(r"\s*(\d{1,7})\s*/\s*(\d{1,7})\s*", text)
        number, of = map(int, match.groups()) if match else (0, 0)
        if not 1 <= number <= of <= _MOST_SHARDS:
            raise UsageError(f"--shard {text[:40]!r} is not K/N with K from 1 to N, as in 3/20")
        return cls(number, of)

    def own(self, clips: Sequence[_T]) -> list[_T]:
        """The clips of this shard among those of the whole run."""
        return list(clips[self.number - 1 :: self.of])
