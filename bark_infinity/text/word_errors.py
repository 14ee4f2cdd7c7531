"""Compares the words of a text with those that a recogniser heard: how many are wrong, missing and invented.

Words are compared without case and punctuation; homophones are equal in English, and so are contractions and their long
forms, and words that are written in one or in several. Pure functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from .spoken_words import american_spelling, spoken_words

_MOST_JOINED = 4  # words on one side that may be one word on the other: u s a, USA
_NEGATED = ("are", "could", "did", "does", "do", "had", "has", "have", "is", "should", "was", "were", "would")
_CONTRACTIONS = {  # without apostrophes, as words are compared
    **{f"{word}nt": ((word, "not"),) for word in _NEGATED},
    "cant": (("can", "not"),),
    "wont": (("will", "not"),),
    **{f"{pronoun}ll": ((pronoun, "will"),) for pronoun in ("i", "you", "he", "she", "it", "we", "they", "that")},
    **{f"{pronoun}ve": ((pronoun, "have"),) for pronoun in ("i", "you", "we", "they", "could", "should", "would")},
    **{f"{pronoun}re": ((pronoun, "are"),) for pronoun in ("you", "we", "they")},
    **{f"{pronoun}d": ((pronoun, "would"), (pronoun, "had")) for pronoun in ("i", "you", "he", "she", "we", "they")},
    **{
        f"{word}s": ((word, "is"), (word, "has"))
        for word in ("it", "he", "she", "that", "what", "there", "here", "who", "where", "how")
    },
    "im": (("i", "am"),),
    "lets": (("let", "us"),),
    "gonna": (("going", "to"),),
    "wanna": (("want", "to"),),
    "gotta": (("got", "to"),),
}


@dataclass(frozen=True, slots=True)
class WordErrors:
    """The words of a text, and how many of them were heard otherwise.

    `wrong`, `missing`: words of the text that were heard as others, or not at all. `invented`: heard words that are not in
    the text; `invented_at_end` of them come after its last word.
    """

    expected: int
    wrong: int = 0
    missing: int = 0
    invented: int = 0
    invented_at_end: int = 0

    @property
    def rate(self) -> float:
        """Errors as a share of the words of the text."""
        return (self.wrong + self.missing + self.invented) / max(1, self.expected)

    @property
    def rate_without_end(self) -> float:
        """The same without what was invented at the end, as if the sound were cut there."""
        return (self.wrong + self.missing + self.invented - self.invented_at_end) / max(1, self.expected)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What comes of comparing a text with what was heard. Offsets are in what was heard.

    `is_complete`: whether the last word of the text was heard; it is heard in the word that begins at `last_start`.
    `tail_start`: where the words begin that were invented after it; None: there are none.
    """

    errors: WordErrors
    is_complete: bool
    last_start: int | None
    tail_start: int | None


def compare_words(text: str, heard: str, language: str = "en") -> Comparison:
    """Compare a text with what was heard of it. `language`: a code of Bark's 13."""
    expected, found = spoken_words(text, language), spoken_words(heard, language)
    steps = _align([word.text for word in expected], [word.text for word in found], language == "en")
    wrong = missing = invented = 0
    last: _Step | None = None  # the last one with a word of the text
    for step in steps:
        if step.equal or (step.n_expected and step.n_heard):
            wrong += not step.equal
        missing += step.n_expected if not step.n_heard else 0
        invented += step.n_heard if not step.n_expected else 0
        if step.n_expected:
            last = step
    end = last.heard + last.n_heard if last is not None else 0  # of what belongs to the text
    at_end = len(found) - end
    is_complete = last is not None and last.equal
    return Comparison(
        WordErrors(len(expected), wrong, missing, invented, at_end),
        is_complete,
        found[end - 1].start if is_complete else None,
        found[end].start if at_end else None,
    )


class _Step(NamedTuple):
    """A step of an alignment: so many words of the text from `expected` on stand beside so many heard ones from `heard` on."""

    expected: int
    n_expected: int
    heard: int
    n_heard: int
    equal: bool


def _align(expected: Sequence[str], heard: Sequence[str], by_sound: bool) -> list[_Step]:
    """The alignment with the fewest errors; among equal ones the one that is through with the text earliest.

    `by_sound`: whether English homophones and contractions are equal.
    """
    n, m = len(expected), len(heard)
    # cost[i][j]: errors of the best alignment of expected[i:] with heard[j:]. From the end, so that following it from the
    # beginning takes each word of the text as early as it can.
    cost = [[0] * (m + 1) for _ in range(n + 1)]
    choice: list[list[_Step | None]] = [[None] * (m + 1) for _ in range(n + 1)]
    for i in range(n, -1, -1):
        for j in range(m, -1, -1):
            if i == n and j == m:
                continue
            best: tuple[int, _Step] | None = None
            for step, errors in _steps(expected, heard, i, j, by_sound):
                total = errors + cost[i + step.n_expected][j + step.n_heard]
                if best is None or total < best[0]:
                    best = total, step
            assert best is not None
            cost[i][j], choice[i][j] = best
    steps: list[_Step] = []
    i = j = 0
    while (chosen := choice[i][j]) is not None:
        steps.append(chosen)
        i, j = i + chosen.n_expected, j + chosen.n_heard
    return steps


def _steps(expected: Sequence[str], heard: Sequence[str], i: int, j: int, by_sound: bool) -> list[tuple[_Step, int]]:
    """The possible next steps at expected[i] and heard[j] with their errors; the preferred ones first."""
    steps: list[tuple[_Step, int]] = []
    has_expected, has_heard = i < len(expected), j < len(heard)
    if has_expected and has_heard:
        equal = _is_equal(expected[i], heard[j], by_sound)
        if equal:
            steps.append((_Step(i, 1, j, 1, True), 0))
        for k in range(2, _MOST_JOINED + 1):
            if j + k <= len(heard) and _is_joined(expected[i], heard[j : j + k], by_sound):
                steps.append((_Step(i, 1, j, k, True), 0))
            if i + k <= len(expected) and _is_joined(heard[j], expected[i : i + k], by_sound):
                steps.append((_Step(i, k, j, 1, True), 0))
        if not equal:
            steps.append((_Step(i, 1, j, 1, False), 1))
    if has_expected:
        steps.append((_Step(i, 1, j, 0, False), 1))
    if has_heard:
        steps.append((_Step(i, 0, j, 1, False), 1))
    return steps


def _is_equal(one: str, other: str, by_sound: bool) -> bool:
    return one == other or (by_sound and not _pronunciations(one).isdisjoint(_pronunciations(other)))


def _is_joined(one: str, parts: Sequence[str], by_sound: bool) -> bool:
    """Whether a word is the same as several others: written in one, or contracted."""
    if len(one) < len(parts) or one[0] != parts[0][0]:
        return False
    return one == "".join(parts) or (by_sound and tuple(parts) in _CONTRACTIONS.get(one, ()))


@cache
def _pronunciations(word: str) -> frozenset[str]:
    """The pronunciations of an English word without its stress; its American spelling if the dictionary lacks it."""
    import pronouncing  # late: its dictionary takes a third of a second

    american = american_spelling(word)
    spellings = (word, american, f"{word[:-1]}'{word[-1:]}", f"{word[:-2]}'{word[-2:]}")  # it's, they're
    known: list[str] = next(filter(None, map(pronouncing.phones_for_word, spellings)), [])
    return frozenset("".join(sound for sound in phones if not sound.isdigit()) for phones in known) or frozenset(
        {american}
    )
