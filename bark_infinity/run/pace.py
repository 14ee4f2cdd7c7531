"""How long a worker takes for a batch of n segments, learned from the batches that it has finished."""

from __future__ import annotations

from dataclasses import dataclass

_MEMORY = 0.8  # weight of earlier batches against the latest one
_FIXED_SHARE = 0.5  # of a batch's seconds, as long as all batches were of one size


@dataclass
class Pace:
    """Seconds for n segments: a fixed part, and the same for each segment.

    A straight line through the finished batches, later ones counting more. Batches of one size do not tell the two parts
    apart, and lengths of segments vary, so the line is drawn towards one whose fixed part is half of a batch.
    """

    n_batches: int = 0
    _weight: float = 0.0
    _n: float = 0.0  # weighted means of sizes, seconds, and their squares and products
    _seconds: float = 0.0
    _n_squared: float = 0.0
    _product: float = 0.0

    def add(self, n: int, seconds: float) -> None:
        """Learn from a finished batch."""
        self.n_batches += 1
        self._weight = _MEMORY * self._weight + 1.0
        share = 1.0 / self._weight
        self._n += share * (n - self._n)
        self._seconds += share * (seconds - self._seconds)
        self._n_squared += share * (n * n - self._n_squared)
        self._product += share * (n * seconds - self._product)

    @property
    def known(self) -> bool:
        return self.n_batches > 0

    @property
    def per_segment(self) -> float:
        """Seconds that one more segment takes."""
        if not self.known:
            return 0.0
        usual = (1.0 - _FIXED_SHARE) * self._seconds / self._n
        variance, covariance = self._n_squared - self._n**2, self._product - self._n * self._seconds
        trust_in_usual = (self._n / 4) ** 2  # as if sizes had varied by a quarter
        slope = (covariance + trust_in_usual * usual) / (variance + trust_in_usual)
        return min(max(slope, 0.0), self._seconds / self._n)

    @property
    def fixed(self) -> float:
        """Seconds that a batch takes however small it is."""
        return max(0.0, self._seconds - self.per_segment * self._n)

    def seconds(self, n: int) -> float:
        """The expected seconds of a batch of n segments."""
        return self.fixed + self.per_segment * n
