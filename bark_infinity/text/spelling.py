"""Finds the known word that a misspelled one is meant for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

MIN_LENGTH = 4  # letters; shorter words have too many neighbours: "Dan" and "Ann"
MAX_LENGTH = 60


class Spelling:
    """Known words, found in another case too, or with one letter missing, added, changed or moved.

    The time of a search does not depend on the number of known words.
    """

    def __init__(self, words: Iterable[str]) -> None:
        known = list(words)
        self._words = {word.casefold(): word for word in known}
        for word in known:
            for form in _forms(word):
                self._words.setdefault(form, word)

    def nearest(self, word: str) -> str | None:
        """The known word that is most alike, or None."""
        return next((self._words[form] for form in _forms(word) if form in self._words), None)


def _forms(word: str) -> Iterator[str]:
    """Yield the word, and the word without each of its letters. Two words with a form in common are alike."""
    word = word.casefold()
    yield word
    if MIN_LENGTH <= len(word) <= MAX_LENGTH:
        for k in range(len(word)):
            yield word[:k] + word[k + 1 :]
