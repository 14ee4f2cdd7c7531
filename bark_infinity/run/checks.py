"""Cheap checks of a segment's audio and tokens, to find segments that did not come out as speech."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass

import numpy as np

from .. import constants as c
from ..options.table import Options
from ..text.splitting import estimate_seconds
from ..voices.voice import Voice

FAULTS = {  # name, ending in the unit of the measured value: description; the most serious first
    "empty_s": "the model ended the speech at once",
    "not_finite_percent": "{:.3g} % of its samples are no numbers",
    "quiet_dbfs": "it is all but silent, with a loudness of {:.0f} dBFS",
    "no_end_s": "the model found no end in {:.1f} s",
    "too_short_ratio": "it is {:.2f} times as long as its text should take",
    "too_long_ratio": "it is {:.1f} times as long as its text should take",
    "repeated_s": "one sound is repeated for {:.1f} s",
    "clipped_percent": "{:.3g} % of its samples are clipped",
}
LESS_IS_WORSE = ("quiet_dbfs", "too_short_ratio")
_FULL_SCALE = 1.0  # magnitude of a sample beyond which a file clips it
_LEAST_RMS = 1e-10  # of full scale: -200 dBFS, so that silence has a finite loudness
_SLACK_S = (
    3.0  # difference from the estimate that is always allowed: in a short text, pauses and breaths outweigh the words
)
_UNTIMED = re.compile(r"\[[^][\n]*\]|♪")  # [laughs] or ♪: how long it takes cannot be estimated from its text


@dataclass(frozen=True)
class SegmentChecks:
    """Thresholds of the checks; see the flags `check_...`. `retries`: most further tries of a faulty segment."""

    retries: int = 0
    min_loudness_db: float = Options.check_min_loudness_db
    max_clipped_percent: float = Options.check_max_clipped_percent
    max_repeat_s: float = Options.check_max_repeat_s
    max_length_ratio: float = Options.check_max_length_ratio
    min_length_ratio: float = Options.check_min_length_ratio
    ends: bool = True  # whether the model is expected to end a segment by itself (--semantic_allow_early_stop)
    longest_s: float | None = None  # the longest that --semantic_max_gen_duration_s allows

    @classmethod
    def from_options(cls, options: Options) -> SegmentChecks | None:
        """The checks that resolved options ask for; None if they are off."""
        if options.check_segments == "off":
            return None
        return cls(
            options.retries if options.check_segments == "retry" else 0,
            options.check_min_loudness_db,
            options.check_max_clipped_percent,
            options.check_max_repeat_s,
            options.check_max_length_ratio,
            options.check_min_length_ratio,
            options.semantic_allow_early_stop,
            options.semantic_max_gen_duration_s,
        )

    def with_settings(self, allow_early_stop: bool, max_gen_duration_s: float | None) -> SegmentChecks:
        """These checks for a segment that is generated with these settings in place of those of the run."""
        return dataclasses.replace(self, ends=allow_early_stop, longest_s=max_gen_duration_s)

    def faults(
        self, audio: np.ndarray, voice: Voice, text: str | None, ended: bool = True, given: bool = False
    ) -> dict[str, float]:
        """The faults of a segment: {name in FAULTS: measured value}.

        `audio`: samples (n,) in -1..1 at 24 kHz. `text`: None for a segment without words. `ended`: whether the model
        ended the segment before its window was full. `given`: whether its semantic tokens were given, not generated;
        then only the audio is checked.
        """
        if not len(audio):
            return {"empty_s": 0.0}
        seconds = len(audio) / c.SAMPLE_RATE
        found = self._faults_of_sound(audio)
        if not given:
            longest = seconds * max(map(_share_of_longest_run, (voice.semantic, voice.fine)))
            if longest > self.max_repeat_s:
                found["repeated_s"] = longest
        if text is not None and self.ends and not given:
            found |= self._faults_of_length(seconds, text, ended)
        return {name: round(measured, 4) for name, measured in found.items()}

    def _faults_of_sound(self, audio: np.ndarray) -> dict[str, float]:
        found, finite = {}, np.isfinite(audio)
        if not finite.all():
            found["not_finite_percent"] = 100 * (1 - float(finite.mean()))
            audio = audio[finite]
        clipped = 100 * np.count_nonzero(np.abs(audio) >= _FULL_SCALE) / max(1, len(audio))
        if clipped > self.max_clipped_percent:
            found["clipped_percent"] = clipped
        rms = math.sqrt(np.mean(np.square(audio, dtype=np.float64))) if len(audio) else 0.0
        loudness = 20 * math.log10(max(rms / _FULL_SCALE, _LEAST_RMS))
        if loudness < self.min_loudness_db:
            found["quiet_dbfs"] = loudness
        return found

    def _faults_of_length(self, seconds: float, text: str, ended: bool) -> dict[str, float]:
        found = {} if ended else {"no_end_s": seconds}
        estimate = _estimate(text)
        if self.longest_s is not None:
            estimate = min(estimate, self.longest_s)
        if not estimate or abs(seconds - estimate) <= _SLACK_S:
            return found
        ratio = seconds / estimate
        if ratio > self.max_length_ratio and not _UNTIMED.search(text):
            found["too_long_ratio"] = ratio
        if ratio < self.min_length_ratio and ended:
            found["too_short_ratio"] = ratio
        return found


USUAL_PACE = 0.12
"""How much the pace of a segment usually differs from that of others, as a share."""


def pace_of(seconds: float, text: str) -> float | None:
    """The length of a segment as a multiple of that estimated from its text; None where that cannot be estimated."""
    if not (estimate := _estimate(text)) or _UNTIMED.search(text):
        return None
    return round(seconds / estimate, 4)


def _estimate(text: str) -> float:
    """The estimated seconds of a text, without its cues."""
    return estimate_seconds(_UNTIMED.sub(" ", text))


def _share_of_longest_run(tokens: np.ndarray) -> float:
    """Length of the longest run of equal tokens (n,) or frames (8, n), divided by n."""
    columns = np.atleast_2d(tokens)
    n = columns.shape[1]
    changes = np.flatnonzero((columns[:, 1:] != columns[:, :-1]).any(axis=0)) + 1
    return int(np.diff([0, *changes, n]).max()) / max(1, n)
