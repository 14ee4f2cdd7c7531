"""Takes of a segment: what is known of each, which one is best, and whether further ones are to be made."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import constants as c
from ..options.table import Options
from ..seeds import Seeds, derive_seed
from ..text.word_errors import WordErrors
from ..voices.voice import Voice
from .checks import FAULTS, LESS_IS_WORSE, USUAL_PACE
from .trimming import Trim

if TYPE_CHECKING:  # finished clips are looked at without torch
    from ..bark import Generation, Segment, Settings

_SERIOUSNESS = {name: -rank for rank, name in enumerate(FAULTS)}
_LEAST_PACE = 0.01  # so that a silent take is infinitely far from no pace
_TOLD_TAIL = 2  # invented words at the end, from which they are reported: a recogniser may invent a single one itself
_MOST_HEARD = 10_000  # characters that are read from a manifest


@dataclass(frozen=True)
class TakeRules:
    """How many takes of a segment are made, and what is done with them.

    `candidates`: takes that are made of every segment. `max_word_errors`: the rate of word errors beyond which a take does
    not pass; None: any does. `trim_babble`: whether a take is cut where its text is over. `keep`: whether the tokens of all
    takes are kept.
    """

    candidates: int = 1
    max_word_errors: float | None = None
    trim_babble: bool = False
    keep: bool = False

    @classmethod
    def from_options(cls, options: Options) -> TakeRules:
        return cls(options.candidates, options.max_word_errors, options.trim_babble, options.keep_takes)

    def passes(self, take: Try) -> bool:
        """Whether a take has no fault and few enough word errors."""
        return not take.faults and not self.has_too_many_errors(take)

    def has_too_many_errors(self, take: Try) -> bool:
        """Whether a take has more word errors than allowed, without those that are cut away."""
        if take.word_errors is None or self.max_word_errors is None:
            return False
        return take.kept_error_rate > self.max_word_errors


@dataclass(frozen=True, slots=True)
class Try:
    """One take of a segment.

    `faults`: {name: measured value}, empty without faults, None if unchecked. `pace`: its length as a multiple of that
    estimated from its text; None without an estimate. `heard`, `word_errors`: what a recogniser heard in all of it; None if
    none listened. `trim`: the cut, if it was cut; faults, seconds, pace and voice are those of what is left.
    `voice_distance`: how far its voice is from the one that the segment goes on from, as `VoiceDistances` has it; None if
    it goes on from none, or that was not measured.
    """

    seeds: Seeds
    faults: Mapping[str, float] | None
    seconds: float | None = None
    pace: float | None = None
    heard: str | None = None
    word_errors: WordErrors | None = None
    trim: Trim | None = None
    voice_distance: float | None = None

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Try:
        """The inverse of `content`, also of earlier versions. Raises KeyError, TypeError or ValueError for anything else."""
        measured = content["faults"]
        faults = None if measured is None else {name: _finite(value) for name, value in dict(measured).items()}
        if unknown := (faults or {}).keys() - FAULTS.keys():
            raise ValueError(f"unknown faults: {unknown}")
        seconds, pace, heard = (content.get(name) for name in ("seconds", "pace", "heard"))
        voice_distance = content.get("voice_distance")
        errors, trim = content.get("word_errors"), content.get("trimmed")
        return cls(
            Seeds(**content["seeds"]),
            faults,
            None if seconds is None else _finite(seconds),
            None if pace is None else _finite(pace),
            None if heard is None else str(heard)[:_MOST_HEARD],
            None if errors is None else WordErrors(**{name: int(n) for name, n in dict(errors).items()}),
            None if trim is None else Trim(int(trim["frames"]), int(trim["of_frames"])),
            None if voice_distance is None else _finite(voice_distance),
        )

    def content(self) -> dict[str, object]:
        """This take as a JSON object."""
        return {
            "seeds": self.seeds.given(),
            "faults": None if self.faults is None else dict(self.faults),
            **({} if self.seconds is None else {"seconds": round(self.seconds, 6)}),
            **({} if self.pace is None else {"pace": self.pace}),
            **({} if self.voice_distance is None else {"voice_distance": self.voice_distance}),
            **self.hearing_content(),
        }

    def hearing_content(self) -> dict[str, object]:
        """What came of listening, as a part of a JSON object; empty if nobody listened."""
        return {
            **({} if self.heard is None else {"heard": self.heard}),
            **({} if self.word_errors is None else {"word_errors": dataclasses.asdict(self.word_errors)}),
            **({} if self.trim is None else {"trimmed": dataclasses.asdict(self.trim)}),
        }

    @property
    def kept_error_rate(self) -> float:
        """The rate of word errors, without an invented end that is cut away; 0 if nobody listened."""
        if self.word_errors is None:
            return 0.0
        return self.word_errors.rate if self.trim is None else self.word_errors.rate_without_end

    @property
    def badness(self) -> list[tuple[int, float]]:
        """A sort key for faults, smallest is best: compares the most serious fault first, then its measured value."""
        faults = (self.faults or {}).items()
        sign = {name: -1 if name in LESS_IS_WORSE else 1 for name in FAULTS}
        return sorted(((_SERIOUSNESS[name], sign[name] * measured) for name, measured in faults), reverse=True)

    @property
    def rank(self) -> tuple[list[tuple[int, float]], float, float]:
        """A sort key for takes, smallest is best: faults, then word errors, then distance to the usual pace and voice."""
        errors = math.inf if self.word_errors is None else self.word_errors.rate
        pace = 0.0 if self.pace is None else math.log(max(self.pace, _LEAST_PACE)) / math.log(1 + USUAL_PACE)
        return self.badness, errors, math.hypot(pace, self.voice_distance or 0.0)

    def describe(self) -> str:
        """The faults in words; an empty string without faults."""
        return ", ".join(FAULTS[name].format(measured) for name, measured in (self.faults or {}).items())


class RecordedTakes(NamedTuple):
    """The takes of a segment of a finished clip, and which of them is in the clip.

    `others`: the tokens of those that are not, by index, as far as they were kept.
    """

    tries: tuple[Try, ...]
    chosen: int
    others: Mapping[int, Voice]


@dataclass(frozen=True, eq=False)
class Outcome:
    """The chosen take of a segment, and what is known of all of them.

    `generation`: the chosen one; its `seconds_taken` are of all takes. `recalled`: whether an earlier run made all of them.
    `others`: the tokens of the other takes, by index, if they are kept.
    """

    generation: Generation
    tries: tuple[Try, ...]
    chosen: int = 0
    recalled: bool = False
    others: Mapping[int, Voice] = field(default_factory=dict)


def best_of(tries: Sequence[Try]) -> int:
    """The index of the best take; the first one if several are equal."""
    return min(range(len(tries)), key=lambda index: tries[index].rank)


def describe_take(tries: Sequence[Try], chosen: int, rules: TakeRules = TakeRules()) -> str | None:
    """A sentence about what is wrong with the chosen take, or was with those before it; None if nothing was."""
    kept = tries[chosen]
    found = _wrong(kept, rules)
    if len(tries) == 1:
        return found or None
    if found:
        return f"{found}; that is take {chosen + 1}, the best of {len(tries)}"
    if len(tries) <= rules.candidates:  # choosing among them was asked for, so that others are worse is no news
        return None
    return f"{_wrong(tries[0], rules)}; tried again, and take {chosen + 1} has no fault"


def _wrong(take: Try, rules: TakeRules) -> str:
    """Faults and word errors of a take in words; empty if it has none that are reported."""
    return ", ".join(filter(None, (take.describe(), _errors_in_words(take, rules))))


def _errors_in_words(take: Try, rules: TakeRules) -> str:
    errors = take.word_errors
    if errors is None:
        return ""
    tail = errors.invented_at_end if take.trim is None else 0
    words = []
    if rules.has_too_many_errors(take):
        counts = {
            "wrong": errors.wrong,
            "missing": errors.missing,
            "invented": errors.invented - errors.invented_at_end,
        }
        kinds = [f"{n} {kind}" for kind, n in counts.items() if n]
        if kinds:
            words.append(f"of {errors.expected} words {', '.join(kinds)}")
    if tail >= _TOLD_TAIL or (tail and rules.has_too_many_errors(take)):
        words.append(f"invented speech at the end ({tail} words)")
    return ", ".join([*words, f"heard as {_shortened(take.heard or '')!r}"]) if words else ""


def _shortened(text: str, most: int = 120) -> str:
    """The last characters of a text, where an invented end is."""
    text = text.strip()
    return text if len(text) <= most else f"...{text[-most:]}"


def seeds_of_take(first: Seeds, take: int) -> Seeds:
    """The seeds of a take of a segment; those of take 0 are `first`."""
    assert first.segment is not None  # a run gives every segment a seed
    return dataclasses.replace(first, segment=derive_seed(first.segment, "retry", take))


def depends_on_its_seed(segment: Segment, settings: Settings) -> bool:
    """Whether any stage draws tokens from the segment's seed: is not greedy, has no seed of its own and no given tokens."""
    drawn = ["coarse", "fine", *(["semantic"] if segment.semantic is None else [])]
    return any(
        getattr(segment.seeds, stage) is None and getattr(settings, stage).temperature >= c.GREEDY_BELOW
        for stage in drawn
    )


def _finite(value: object) -> float:
    """A number. Raises TypeError or ValueError for anything else."""
    number = float(value)  # type: ignore[arg-type]  # what is none raises
    if not math.isfinite(number):
        raise ValueError(f"{value} is no number")
    return number
