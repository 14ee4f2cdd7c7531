"""How long phones last: the teacher's means by context, in whole tokens.

The stage that reads has to guess when a phone ends. The teacher's own durations depend on more than the text shows, and
where in its 20 ms a token begins is chance; what cannot be foreseen is lost at a low temperature, and a phone then never
ends. Means by context are foreseen, and any text gets them, utterances or not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from bark_infinity.constants import SEMANTIC_RATE_HZ

from .speech import Utterance

_FEWEST = 6  # occurrences for a context to be used; otherwise the next wider one is
_EDGE = -1  # before the first phone and behind the last


class Durations:
    """Mean durations, estimated from utterances with times."""

    def __init__(self, utterances: Sequence[Utterance]):
        found: dict[tuple, list[float]] = defaultdict(list)
        for one in utterances:
            for contexts, seconds in zip(_contexts(one), np.diff(one.ends, prepend=0.0), strict=True):
                for context in contexts:
                    found[context].append(float(seconds))
        self._means = {
            context: float(np.mean(of)) for context, of in found.items() if len(of) >= _FEWEST or len(context) == 1
        }

    def of(self, one: Utterance) -> np.ndarray:
        """Tokens that each phone lasts [n], 1 at least."""
        usual = [
            next((self._means[c] for c in contexts if c in self._means), 1 / SEMANTIC_RATE_HZ)
            for contexts in _contexts(one)
        ]
        return np.maximum(1, np.round(np.array(usual) * SEMANTIC_RATE_HZ)).astype(int)


def _contexts(one: Utterance) -> Iterator[tuple[tuple[int, ...], ...]]:
    """The contexts of every phone, the narrowest first: its neighbours, and whether its word begins or ends here."""
    phones = [_EDGE, *one.phones.tolist(), _EDGE]
    words = [_EDGE - 1, *one.words.tolist(), _EDGE - 1]
    for i in range(1, len(phones) - 1):
        before, phone, behind = phones[i - 1 : i + 2]
        edges = (words[i] != words[i - 1]) + 2 * (words[i] != words[i + 1])
        yield (phone, edges, behind, before), (phone, edges, behind), (phone, edges), (phone,)
