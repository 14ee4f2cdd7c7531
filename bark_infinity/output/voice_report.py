"""--voice_report: how the voice of a finished clip drifts from segment to segment, measured in its audio file."""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from ..audio.formats import FORMATS
from ..audio.reading import AudioError, read_spans
from ..audio.voice_profile import (
    USUAL_LOUDNESS,
    USUAL_PITCH,
    USUAL_SPECTRUM,
    USUAL_SPREAD,
    VoiceProfile,
    distance,
    measure_voice,
    median_profile,
    semitones,
    spectral_distance,
)
from ..errors import UsageError
from ..files import read_bounded, write_whole
from ..run.checks import USUAL_PACE
from ..run.naming import FOLDER_SUFFIX, PLAYLIST_SUFFIX
from ..text.splitting import estimate_seconds
from .manifest import Manifest, read_manifest

OUTLIER = 3.5  # robust z-score beyond which a value stands out (Iglewicz and Hoaglin 1993)
LEAST_SEGMENTS = 5  # of a speaker, for his medians to mean something
_MAD_TO_SIGMA = 1.4826  # median absolute deviation to standard deviation, of a normal distribution
_MAX_SECONDS = 1e6  # of a clip, 11 days: more is damage
_MAX_PLAYLIST_BYTES = 10_000_000  # likewise

FEATURES = {  # name: how a difference from the speaker's median is written, and the least standard deviation that is assumed
    "pitch": ("{:+.1f} semitones of pitch", USUAL_PITCH),
    "spread": ("{:+.1f} semitones of spread", USUAL_SPREAD),
    "pace": ("{:+.0%} of pace", USUAL_PACE),
    "loudness": ("{:+.1f} dB of loudness", USUAL_LOUDNESS),
    "spectrum": ("a spectrum {:.1f} dB from the usual one", USUAL_SPECTRUM / 3),
}


@dataclass(frozen=True, eq=False)
class SegmentVoice:
    """What was measured of one segment, and how far that is from the medians of its speaker.

    `differences` and `scores` have the names of FEATURES, without those that could not be measured. A score is the difference
    in robust standard deviations; there are none for speakers with few segments.
    """

    index: int
    start: float  # seconds
    end: float
    speaker: str | None
    text: str
    profile: VoiceProfile | None  # None: there is no speech in it
    pace: float | None  # 1: as fast as a text of this length usually is
    differences: Mapping[str, float]
    scores: Mapping[str, float]
    distance: float | None  # of the profile from the speaker's median, as `voice_profile.distance` has it

    def value(self, feature: str) -> float | None:
        """What was measured of one of FEATURES; of the spectrum, its distance from the usual one."""
        if feature == "pace":
            return self.pace
        if feature == "spectrum":
            return self.differences.get(feature)
        measured: float | None = None if self.profile is None else getattr(self.profile, feature)
        return measured

    @property
    def outliers(self) -> tuple[str, ...]:
        """The features that stand out."""
        return tuple(name for name, score in self.scores.items() if abs(score) > OUTLIER)

    def describe(self) -> str:
        """What stands out, in words; empty if nothing does."""
        return ", ".join(FEATURES[name][0].format(self.differences[name]) for name in self.outliers)

    def content(self) -> dict[str, object]:
        """This segment as a JSON object."""
        profile = self.profile
        measured: dict[str, object] = {}
        if profile is not None:
            measured = {
                "pitch_hz": _rounded(profile.pitch),
                "spread_semitones": _rounded(profile.spread),
                "pace": _rounded(self.pace),
                "loudness_dbfs": _rounded(profile.loudness),
                "spectrum_db": [_rounded(float(level)) for level in profile.spectrum],
                "distance": _rounded(self.distance),
            }
        return {
            "segment": self.index + 1,
            "start": self.start,
            "end": self.end,
            "speaker": self.speaker,
            **measured,
            "differences": {name: _rounded(value) for name, value in self.differences.items()},
            "scores": {name: _rounded(value) for name, value in self.scores.items()},
            "outliers": self.outliers,
        }


def measure_clip(name: str) -> list[SegmentVoice]:
    """Measure the segments of a finished clip, whose manifest `name` is, in the audio beside it. Raises UsageError."""
    try:
        manifest = read_manifest(name)
        spans = [_span(segment) for segment in manifest.content["segments"]]
        if any(one[0] > next_one[0] for one, next_one in zip(spans, spans[1:], strict=False)):
            raise ValueError("its segments are not in order")
    except UsageError as error:
        raise UsageError(str(error).replace("--from_manifest", "--voice_report")) from None
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"--voice_report {name} does not say where its segments are ({str(error)[:200]}); give the .json beside a clip"
        ) from None
    profiles = [
        profile for path, own in _spans_of_files(name, manifest, spans) for profile in _profiles(name, path, own)
    ]
    texts = [text for text, _ in manifest.segments]
    speakers = [part.speaker for part in manifest.parts]
    return compare_segments(spans, speakers, texts, profiles)


def compare_segments(
    spans: Sequence[tuple[float, float]],
    speakers: Sequence[str | None],
    texts: Sequence[str],
    profiles: Sequence[VoiceProfile | None],
) -> list[SegmentVoice]:
    """Compare each segment with the medians of all segments of its speaker. `spans`: starts and ends in seconds."""
    paces = [
        estimate_seconds(text) / (end - start) if text and profile is not None and end > start else None
        for text, profile, (start, end) in zip(texts, profiles, spans, strict=True)
    ]
    compared: dict[int, SegmentVoice] = {}
    for speaker in dict.fromkeys(speakers):
        own = [k for k, other in enumerate(speakers) if other == speaker]
        measured = [profile for k in own if (profile := profiles[k]) is not None]
        usual = median_profile(measured) if measured else None
        usual_pace = _median([paces[k] for k in own])
        differences = [_differences(profiles[k], usual, paces[k], usual_pace) for k in own]
        scores = _scores(differences)
        for k, difference, score in zip(own, differences, scores, strict=True):
            profile = profiles[k]
            away = None if profile is None or usual is None else distance(profile, usual)
            compared[k] = SegmentVoice(k, *spans[k], speaker, texts[k], profile, paces[k], difference, score, away)
    return [compared[k] for k in range(len(spans))]


def write_report(name: str, segments: Sequence[SegmentVoice]) -> Path:
    """Write the report as `<clip>.voice.json` beside the manifest `name`, in place of an earlier one. Returns its path."""
    path = report_path(name, "json")
    content = {
        "clip": Path(name).name,
        "outlier_score": OUTLIER,
        "outliers": [segment.index + 1 for segment in segments if segment.outliers],
        "segments": [segment.content() for segment in segments],
    }
    text = json.dumps(content, indent=1, ensure_ascii=False)
    write_whole(path, lambda file: file.write(text.encode("utf-8", "backslashreplace") + b"\n"))
    return path


def report_path(name: str, ending: str) -> Path:
    """Where a part of the report on the clip of manifest `name` is written."""
    return Path(name).with_suffix(f".voice.{ending}")


def _span(segment: Mapping[str, Any]) -> tuple[float, float]:
    start, end = float(segment["start"]), float(segment["end"])
    if not 0 <= start <= end <= _MAX_SECONDS:
        raise ValueError(f"a segment goes from {start} to {end} s")
    return start, end


def _profiles(name: str, path: Path, spans: Sequence[tuple[float, float]]) -> list[VoiceProfile | None]:
    """What is measured in the spans of an audio file. Raises UsageError."""
    try:
        return [measure_voice(samples, rate) for samples, rate in read_spans(path, spans)]
    except (AudioError, OSError) as error:
        raise UsageError(f"--voice_report {name}: {path} {error}") from None


def _spans_of_files(
    name: str, manifest: Manifest, spans: Sequence[tuple[float, float]]
) -> Iterator[tuple[Path, list[tuple[float, float]]]]:
    """Each audio file of the clip that has some of the spans, and these as seconds of that file. Raises UsageError."""
    files = _chapter_files(Path(name).with_suffix(PLAYLIST_SUFFIX))
    if not files:
        yield _audio_beside(name, manifest), list(spans)
        return
    ends = list(accumulate(seconds for _, seconds in files))
    # A segment is in one file; the rounded times in the playlist may be a little before or behind its beginning or end.
    places = list(accumulate((min(bisect_right(ends, sum(span) / 2), len(files) - 1) for span in spans), max))
    for (path, seconds), end, number in zip(files, ends, range(len(files)), strict=True):
        own = [span for span, place in zip(spans, places, strict=True) if place == number]
        if own:
            yield path, [(max(0.0, start - (end - seconds)), stop - (end - seconds)) for start, stop in own]


def _chapter_files(playlist: Path) -> list[tuple[Path, float]]:
    """The files of --chapter_files in order, with their seconds; empty if there is no such playlist beside the clip."""
    try:
        lines = read_bounded(playlist, _MAX_PLAYLIST_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    folder = playlist.with_suffix(FOLDER_SUFFIX)  # wherever the lines say: they may be a stranger's
    entries = (line for line in lines if line.startswith("#EXTINF:") or (line and not line.startswith("#")))
    with suppress(ValueError):
        return [
            (folder / Path(path).name, float(about.removeprefix("#EXTINF:").partition(",")[0]))
            for about, path in zip(entries, entries, strict=True)
        ]
    return []


def _audio_beside(name: str, manifest: Manifest) -> Path:
    """The audio of the clip. Raises UsageError if it is not there."""
    recorded = manifest.content.get("audio_format")
    endings = (recorded, *FORMATS) if recorded in FORMATS else FORMATS
    for ending in endings:
        if (path := Path(name).with_suffix(f".{ending}")).is_file():
            return path
    raise UsageError(f"--voice_report {name}: the audio of the clip is not beside it; put it there")


def _differences(
    profile: VoiceProfile | None, usual: VoiceProfile | None, pace: float | None, usual_pace: float | None
) -> dict[str, float]:
    """How far the values of a segment are from the usual ones, by the names of FEATURES."""
    if profile is None or usual is None:
        return {}
    found = {
        "loudness": profile.loudness - usual.loudness,
        "spectrum": spectral_distance(profile.spectrum, usual.spectrum),
    }
    if profile.pitch is not None and usual.pitch is not None:
        found["pitch"] = semitones(profile.pitch, usual.pitch)
    if profile.spread is not None and usual.spread is not None:
        found["spread"] = profile.spread - usual.spread
    if pace is not None and usual_pace is not None:
        found["pace"] = pace / usual_pace - 1
    return {name: found[name] for name in FEATURES if name in found}


def _scores(differences: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """Robust z-scores of the differences of one speaker's segments."""
    scores: list[dict[str, float]] = [{} for _ in differences]
    for name, (_, least) in FEATURES.items():
        values = {k: difference[name] for k, difference in enumerate(differences) if name in difference}
        if len(values) < LEAST_SEGMENTS:
            continue
        middle = float(np.median(list(values.values())))
        deviation = _MAD_TO_SIGMA * float(np.median([abs(value - middle) for value in values.values()]))
        for k, value in values.items():
            score = (value - middle) / max(deviation, least)
            scores[k][name] = max(score, 0.0) if name == "spectrum" else score  # nearer to the usual one is no fault
    return scores


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return float(np.median(known)) if known else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
