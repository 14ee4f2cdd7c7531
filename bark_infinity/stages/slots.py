"""Continuous batching: finished rows leave a decoder's slots, and waiting rows take their places.

Shapes: B active rows, T positions of a prefix, C width.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

import torch

from ..model.decoding import Decoder


class RowState(Protocol):
    """A row of the batch, with the tokens generated for it so far."""

    @property
    def next_token(self) -> int:
        """The token that the model reads next."""

    def prefix(self, decoder: int) -> torch.Tensor:
        """Token embeddings (T, C) of everything that decoder number `decoder` reads before `next_token`."""


R = TypeVar("R", bound=RowState)


class Slots(Generic[R]):
    """The active rows of a batch, side by side in one decoder or in several.

    Several decoders read the same tokens after different prefixes: the text, and the negative text.
    """

    def __init__(self, decoders: Sequence[Decoder], rows: Iterable[R], n_slots: int):
        """The first `n_slots` rows become active at once, and the others wait for a free slot."""
        self._decoders = decoders
        self._waiting: Iterator[R] = iter(rows)
        self.active: list[R] = []  # the row in each slot
        for row in self._waiting:
            self.active.append(row)
            if len(self.active) == n_slots:
                break
        self.prefill(range(len(self.active)))

    def prefill(self, slots: Sequence[int]) -> None:
        """Let the decoders read the prefixes of the rows in these slots."""
        if not slots:
            return
        for k, decoder in enumerate(self._decoders):
            decoder.prefill(slots, [self.active[slot].prefix(k) for slot in slots])

    def next_tokens(self, device: torch.device) -> torch.Tensor:
        """The tokens that the active rows read next, (B,)."""
        return torch.tensor([row.next_token for row in self.active], device=device)

    def step(self, tokens: torch.Tensor) -> list[torch.Tensor]:
        """Each decoder's hidden states (B, C) of these tokens (B,)."""
        return [decoder.step(tokens) for decoder in self._decoders]

    def release(self, slots: Sequence[int]) -> None:
        """Remove the finished rows in these slots (ascending); waiting rows take the slots, and unused slots are dropped."""
        free = iter(slots)
        reused = []
        for slot, row in zip(free, self._waiting, strict=False):
            self.active[slot] = row
            reused.append(slot)
        self.prefill(reused)
        if empty := set(slots) - set(reused):
            alive = [slot for slot in range(len(self.active)) if slot not in empty]
            orders = [decoder.keep(alive) for decoder in self._decoders]
            self.active = [self.active[slot] for slot in orders[0]]
