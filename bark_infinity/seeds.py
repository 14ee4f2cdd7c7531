"""Where randomness starts: one seed a run, from it one a clip, from that one a segment. The same for ever."""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
from dataclasses import dataclass

MAX_SEED = 2**32 - 1  # torch's CPU generator keeps no more bits than these


@dataclass(frozen=True)
class Seeds:
    """Where a segment's randomness starts. A stage without a seed of its own goes on with the segment's.

    Without any, torch's default generator is drawn from.
    """

    segment: int | None = None
    semantic: int | None = None
    coarse: int | None = None
    fine: int | None = None

    def given(self) -> dict[str, int]:
        """Those that there are, by name."""
        return {name: seed for name, seed in dataclasses.asdict(self).items() if seed is not None}


def draw_seed() -> int:
    """A seed for a run that was given none."""
    return secrets.randbelow(MAX_SEED + 1)


def derive_seed(seed: int, what: str, index: int) -> int:
    """The seed of the `index`-th "prompt", "take", "segment" or "retry" below `seed`; the one of index 0 is `seed` itself."""
    if index == 0:
        return seed
    return int.from_bytes(hashlib.sha256(f"{seed} {what} {index}".encode()).digest()[:4], "big")
