"""Reads lists of numbers such as `3,7-9`."""

from __future__ import annotations

import re

from ..errors import UsageError

_NUMBERS = re.compile(r"\s*(\d{1,9})\s*(?:-\s*(\d{1,9})\s*)?")


def chosen_numbers(text: str, n: int, flag: str, thing: str, whole: str) -> set[int]:
    """Indexes of the things that a flag names, counted from 1: `3,7-9` -> {2, 6, 7, 8}. Raises UsageError.

    `n`: how many there are. `thing`, `whole`: what they are and are part of, as messages name it.
    """
    chosen: set[int] = set()
    for part in text.split(","):
        match = _NUMBERS.fullmatch(part)
        if not match:
            raise UsageError(f"--{flag} takes numbers of {thing}s as in 3,7-9, not {text!r}")
        first, last = int(match[1]), int(match[2] or match[1])
        if not 1 <= first <= last <= n:
            raise UsageError(f"--{flag} {text}: the {whole} has the {thing}s 1 to {n}, and not {part.strip()}")
        chosen.update(range(first - 1, last))
    return chosen
