"""How words are spoken: whole words and regular expressions, and what is spoken in their place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pronunciation:
    """One word, several words or one regular expression, and what is spoken in its place."""

    written: str
    spoken: str
    case: bool = False  # whether a word is only meant in exactly this case
    pattern: bool = False  # whether `written` is a regular expression, and `spoken` may refer to its groups


@dataclass(frozen=True)
class Pronunciations:
    """Pronunciations in the order in which they were declared."""

    entries: tuple[Pronunciation, ...] = ()

    def over(self, others: Pronunciations) -> Pronunciations:
        """These and the others; of two for the same word or pattern, this one's."""
        raise NotImplementedError

    def spoken(self, text: str) -> tuple[str, frozenset[Pronunciation]]:
        """The text as it is spoken, and the entries that changed it."""
        raise NotImplementedError


def parse_pronunciations(text: str) -> Pronunciations:
    """The pronunciations of a TOML file with the tables [words] and [patterns]. Raises TextError that names the entry."""
    raise NotImplementedError
