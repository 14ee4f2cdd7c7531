"""Which rows stand in a decoder's slots: whoever is finished leaves, and who waits takes the place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

import torch

from ..model.decoding import Decoder


class Run(Protocol):
    """A row under way."""

    next_token: int  # that the model reads next

    def prefix(self, decoder: int) -> torch.Tensor:
        """Token embeddings (T, C) of what that decoder reads before `next_token`."""


R = TypeVar("R", bound=Run)


class Slots(Generic[R]):
    """The rows at work, side by side in one decoder or in several that read the same tokens after different prefixes."""

    def __init__(self, decoders: Sequence[Decoder], rows: Iterable[R], places: int):
        self._decoders = decoders
        self._waiting: Iterator[R] = iter(rows)
        self.at_work: list[R] = []  # of each slot
        for run in self._waiting:
            self.at_work.append(run)
            if len(self.at_work) == places:
                break
        self.fill(range(len(self.at_work)))

    def fill(self, slots: Sequence[int]) -> None:
        """Let the decoders read the prefixes of the rows in these slots."""
        if not slots:
            return
        for k, decoder in enumerate(self._decoders):
            decoder.fill(slots, [self.at_work[slot].prefix(k) for slot in slots])

    def next_tokens(self, device: torch.device) -> torch.Tensor:
        """What the rows read next, (B,)."""
        return torch.tensor([run.next_token for run in self.at_work], device=device)

    def step(self, tokens: torch.Tensor) -> list[torch.Tensor]:
        """Each decoder's hidden states of these tokens, (B, C)."""
        return [decoder.step(tokens) for decoder in self._decoders]

    def leave(self, slots: Sequence[int]) -> None:
        """The rows in these slots (ascending) are finished. Those that wait take their places, while there are some."""
        places = iter(slots)
        taken = []
        for slot, run in zip(places, self._waiting, strict=False):
            self.at_work[slot] = run
            taken.append(slot)
        self.fill(taken)
        if empty := set(slots) - set(taken):
            alive = [slot for slot in range(len(self.at_work)) if slot not in empty]
            orders = [decoder.keep(alive) for decoder in self._decoders]
            self.at_work = [self.at_work[slot] for slot in orders[0]]
