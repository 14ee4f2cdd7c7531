"""Brings the sound of a clip to the rate, the loudness and the peaks that options ask for, on its way to the encoder.

With a loudness, the sound is first written to a temporary file and measured; then one gain for all of it is known, and it
passes through the limiter into the encoder. Memory stays flat, whatever the clip's length.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .. import constants as c
from ..audio.chapters import Chapter
from ..audio.limiting import Limiter, TruePeakMeter
from ..audio.loudness import LoudnessMeter
from ..audio.polyphase import Resampler
from ..audio.targets import LoudnessTarget, loudness_target, rate_in_file
from ..audio.writing import Level
from ..options.table import Options
from ..run.clips import MasteringProgress
from .sound_files import SoundSink

_BLOCK = 2**18  # samples read at once from the temporary file
_MOST_TRIALS = 4  # of the gain: each measures the limited clip, whose limiter takes some loudness away
_TOLERANCE_LU = 0.05  # within which a trial is good
_NOTICED_LU = 0.3  # a difference from the target beyond which the user is told
_LEAST_EFFECT = 0.2  # of a gain on the limited clip, for the next trial
_MOST_LIMITING_DB = 12.0  # by which the gain of the trials may exceed what the loudness alone asks for


@dataclass(frozen=True)
class Levels:
    """What is measured of a whole clip; None for what silence or too short a clip does not have."""

    lufs: float | None  # integrated loudness
    true_peak_db: float | None  # of full scale
    rms_db: float | None  # of full scale

    def content(self) -> dict[str, object]:
        """These levels for a manifest."""
        names = {"loudness_lufs": self.lufs, "true_peak_dbtp": self.true_peak_db, "rms_db": self.rms_db}
        return {name: None if value is None else round(value, 2) for name, value in names.items()}


class _Meters:
    """Measures the levels of a stream."""

    def __init__(self, rate: int):
        self._loudness, self._peak = LoudnessMeter(rate), TruePeakMeter(rate)

    def add(self, samples: np.ndarray) -> None:
        self._loudness.add(samples)
        self._peak.add(samples)

    def levels(self) -> Levels:
        peak = self._peak.peak()
        peak_db = 20 * math.log10(peak) if peak else None
        return Levels(self._loudness.loudness(), peak_db, self._loudness.rms_db())


class Master(SoundSink):
    """A sink in front of another one that gives the sound its final rate, loudness and peaks."""

    def __init__(
        self,
        sink: SoundSink,
        options: Options,
        scratch: Path,
        report: Callable[[MasteringProgress], None] = lambda _: None,
    ):
        """`sink`: gets the samples at the options' rate. `scratch`: where a temporary file may be written.

        With a loudness target, nothing arrives in `sink` before `close`, which calls `report` while it works.
        """
        self._report, self._n_passes = report, 0
        self._sink, self._name, self._rate = sink, options.loudness, options.sample_rate
        self._target = loudness_target(options.loudness)
        self._cuts = _Cuts(self._rate)
        self._resampler = None if self._rate == c.SAMPLE_RATE else Resampler(c.SAMPLE_RATE, self._rate)
        self._scratch = scratch
        self._file: BinaryIO | None = None if self._target is None else scratch.open("x+b")
        self._before = _Meters(c.SAMPLE_RATE)
        self._digest = hashlib.sha256()
        self.notes: list[str] = []
        """Sentences for the user about what could not be done, once it is closed."""
        self._filters: list[Mapping[str, object]] = []
        self._measured: dict[str, object] = {}

    @property
    def changes(self) -> bool:
        """Whether the samples that arrive in the sink differ from those that are written here."""
        return self._target is not None or self._resampler is not None

    @property
    def sha256(self) -> str:
        """Digest of the samples that have arrived in the sink, if they differ, as little-endian float32."""
        return self._digest.hexdigest()

    @property
    def level(self) -> Level:
        return self._sink.level

    def write(self, samples: np.ndarray, chapter: int) -> None:
        if not self.changes:
            self._sink.write(samples, chapter)
            return
        samples = np.nan_to_num(samples, posinf=1.0, neginf=-1.0)  # a filter would spread what is no number
        self._cuts.note(len(samples), chapter)
        if self._file is None:
            assert self._resampler is not None
            self._deliver(self._resampler.add(samples))
        else:
            self._before.add(samples)
            self._file.write(samples.astype("<f4").tobytes())

    def close(self, chapters: Sequence[Chapter]) -> None:
        if self._resampler is not None:
            self._filters.append({"filter": "resample", "from": c.SAMPLE_RATE, "to": self._rate})
        if self._target is not None:
            self._deliver_levelled(self._target)
        elif self._resampler is not None:
            self._deliver(self._resampler.finish())
        self._sink.close(chapters)

    def discard(self) -> None:
        try:
            if self._file is not None:
                self._file.close()
                self._scratch.unlink(missing_ok=True)
        finally:
            self._sink.discard()

    def content(self, before: Sequence[Mapping[str, object]]) -> dict[str, object]:
        """The entry `mastering` of a manifest, once it is closed; empty if there is no filter. `before`: earlier filters."""
        filters = [*before, *self._filters]
        return {"mastering": {"filters": filters, **self._measured}} if filters else {}

    def _deliver(self, samples: np.ndarray) -> None:
        """Hand finished samples on."""
        self._digest.update(samples.astype("<f4").tobytes())
        for part, chapter in self._cuts.split(samples):
            self._sink.write(part, chapter)

    # ---- the second pass ----

    def _deliver_levelled(self, target: LoudnessTarget) -> None:
        assert self._file is not None
        before = self._before.levels()
        gain_db = self._gain_db(target, before)
        limiter, after = Limiter(self._rate, gain_db, target.peak_dbtp), _Meters(self._rate)
        for samples in _filtered(self._resampled(), limiter):
            after.add(samples)
            self._deliver(samples)
        self._file.close()
        self._scratch.unlink()
        levels = after.levels()
        self._measured = {"before": before.content(), "after": levels.content()}
        self._filters += [
            {"filter": "loudness", "target_lufs": target.lufs, "gain_db": round(gain_db, 3)},
            {
                "filter": "limiter",
                "ceiling_dbtp": target.peak_dbtp,
                "most_reduction_db": round(limiter.most_reduction_db, 3),
            },
        ]
        self._note(target, levels)

    def _gain_db(self, target: LoudnessTarget, before: Levels) -> float:
        """The gain with which the limited clip has the target's loudness, as nearly as its level may have it."""
        if before.lufs is None:
            return 0.0
        wanted = gain_db = target.lufs - before.lufs
        effect = 1.0  # by how many decibels one of gain raises the limited clip
        previous: tuple[float, float] | None = None  # gain of the last trial, and the correction that was due
        for _ in range(_MOST_TRIALS):
            due = _correction_db(target, self._limited_levels(gain_db, target, before))
            if due is None or abs(due) <= _TOLERANCE_LU:
                break
            if previous is not None and gain_db != previous[0]:
                effect = min(1.0, max(_LEAST_EFFECT, (previous[1] - due) / (gain_db - previous[0])))
            previous = gain_db, due
            gain_db = min(gain_db + due / effect, wanted + _MOST_LIMITING_DB)
        return gain_db

    def _limited_levels(self, gain_db: float, target: LoudnessTarget, before: Levels) -> Levels:
        """The levels of the clip with a gain, behind the limiter."""
        assert before.lufs is not None and before.rms_db is not None and before.true_peak_db is not None
        if before.true_peak_db + gain_db <= target.peak_dbtp - 1:  # the limiter has nothing to do, at any rate
            return Levels(before.lufs + gain_db, None, before.rms_db + gain_db)
        meter = LoudnessMeter(c.SAMPLE_RATE)
        for samples in _filtered(self._samples(), Limiter(c.SAMPLE_RATE, gain_db, target.peak_dbtp)):
            meter.add(samples)
        return Levels(meter.loudness(), None, meter.rms_db())

    def _samples(self) -> Iterator[np.ndarray]:
        """The samples of the temporary file, in blocks: one pass over the clip."""
        assert self._file is not None
        size = self._file.seek(0, os.SEEK_END)
        self._file.seek(0)
        self._n_passes += 1
        while len(data := self._file.read(4 * _BLOCK)):
            yield np.frombuffer(data, "<f4")
            self._report(MasteringProgress(self._n_passes, self._file.tell() / size))

    def _resampled(self) -> Iterator[np.ndarray]:
        if self._resampler is None:
            yield from self._samples()
        else:
            yield from _filtered(self._samples(), self._resampler)

    def _note(self, target: LoudnessTarget, after: Levels) -> None:
        """Tell the user if the clip has not the loudness that is asked for."""
        asked = f"--loudness {self._name}"
        if after.lufs is None:
            self.notes.append(f"{asked}: the clip is too short or too quiet to measure its loudness, so it has no gain")
        elif abs(after.lufs - target.lufs) > _NOTICED_LU:
            why = f"its peaks would be over {target.peak_dbtp:g} dB"
            if target.rms_db is not None:
                low, high = target.rms_db
                why += f", or its RMS level outside {low:g} to {high:g} dB"
            self.notes.append(f"{asked}: the clip has {after.lufs:.1f} LUFS and not {target.lufs:g}, where {why}")


class _Cuts:
    """Where the chapters of a stream begin, to find them again in what filters make of it."""

    def __init__(self, rate: int):
        """`rate`: of what filters make of it."""
        self._rate = rate
        self._n_in = self._n_out = 0
        self._begins: list[tuple[int, int]] = []  # place in the output, and the chapter that begins there

    def note(self, n_samples: int, chapter: int) -> None:
        """The next samples that go into the filters."""
        if n_samples and (not self._begins or self._begins[-1][1] != chapter):
            self._begins.append((rate_in_file(self._n_in, self._rate), chapter))
        self._n_in += n_samples

    def split(self, samples: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
        """The next samples that come out of the filters, by chapters."""
        if not len(samples):
            return
        start, stop = self._n_out, self._n_out + len(samples)
        self._n_out = stop
        ends = [place for place, _ in self._begins[1:]]
        for (place, chapter), end in zip(self._begins, [*ends, stop], strict=True):
            if max(place, start) < min(end, stop):
                yield samples[max(place, start) - start : min(end, stop) - start], chapter


def _correction_db(target: LoudnessTarget, found: Levels) -> float | None:
    """By how much a gain is to be changed after a trial; None if the trial left nothing to measure."""
    if found.lufs is None or found.rms_db is None:
        return None
    correction = target.lufs - found.lufs
    if target.rms_db is not None:
        low, high = target.rms_db
        correction = min(max(correction, low - found.rms_db), high - found.rms_db)
    return correction


def _filtered(blocks: Iterator[np.ndarray], stage: Limiter | Resampler) -> Iterator[np.ndarray]:
    """A stream behind a filter."""
    for samples in blocks:
        yield stage.add(samples)
    yield stage.finish()
