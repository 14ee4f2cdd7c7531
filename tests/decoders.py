"""A decoder that counts its work."""

from __future__ import annotations

from bark_infinity.model.decoding import CachedDecoder


class CountingDecoder(CachedDecoder):
    """Counts the prefixes that are encoded and the rows of each step. It has a cache even where none is asked for."""

    def __init__(self, model, rows: int, length: int, cached: bool):
        super().__init__(model, rows, length)
        self.rows, self.cached = rows, cached
        self.filled: list[int] = []  # slots, in order
        self.rows_of_steps: list[int] = []

    def prefill(self, slots, prefixes):
        self.filled += slots
        super().prefill(slots, prefixes)

    def step(self, tokens):
        self.rows_of_steps.append(len(tokens))
        return super().step(tokens)
