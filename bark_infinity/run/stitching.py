"""Joins the segments of one clip in order, with pauses, and collects their records and the clip's voice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from .. import constants as c
from ..audio.trimming import KEPT_SECONDS, trim
from ..audio.writing import Joiner
from ..errors import TextError
from ..voices.voice import Voice
from .chapters import chapters_of_segments
from .clips import Clip, FinishedSegment, HistorySizes, SegmentRecord
from .joining import Joining
from .pauses import GapSound, Pause
from .planning import ClipPlan
from .sounds import read_sound
from .takes import Outcome

_VOICE_SECONDS = (
    7.0  # least length of a clip's voice: the longest history window, the fine stage's, is 512 frames or 6.8 s
)
_PLAIN = Joining()
_NO_SOUND = "the model ended its speech at once, every time; try another --seed or a higher --semantic_min_eos_p"


class Stitcher:
    """Takes the generations of a clip's segments in order. It keeps records and the clip's voice, but no audio."""

    def __init__(self, plan: ClipPlan, joining: Joining = _PLAIN):
        self.plan = plan
        self._joining = joining
        lead = max(plan.lead.seconds, joining.head_seconds)
        self._joiner = Joiner(joining.gain_db, lead, joining.crossfade_seconds)
        self._chapters = chapters_of_segments(plan.segments)
        self._n_trimmed = 0  # samples
        self._sounds: Sequence[GapSound] = plan.lead.sounds  # in the gap before the next segment
        self._records: list[SegmentRecord] = []
        self._voices: list[Voice] = []  # of one speaker's first segments that are not silent
        self._speaker: str | None = None  # of these: the first one who is heard

    @property
    def n_placed(self) -> int:
        """Number of segments placed so far, which is the index of the next one."""
        return len(self._records)

    @property
    def complete(self) -> bool:
        return len(self._records) == len(self.plan.segments)

    def place(self, outcome: Outcome, history_sizes: HistorySizes) -> FinishedSegment:
        """Append the next segment to the clip, and what ends the clip if it is the last one. Raises TextError for a sound
        that cannot be read any more.
        """
        generation = outcome.generation
        index = len(self._records)
        plan = self.plan.segments[index]
        before = list(self._play(self._sounds))
        if plan.start_at is not None:
            self._joiner.wait_until(plan.start_at)
        piece, gap = self._trimmed(generation.audio, index), self._gap_after(index)
        own, span = self._joiner.add(piece, gap.seconds, meets_next=not gap.sounds)
        self._sounds = gap.sounds
        after = list(self._end()) if index == len(self.plan.segments) - 1 else []
        sound = np.concatenate([*before, own, *after]) if before or after else own
        record = SegmentRecord(
            span,
            len(generation.voice.semantic),
            generation.voice.fine.shape[1],
            generation.cut_ids,
            history_sizes,
            generation.seconds_taken,
            generation.statistics,
            outcome.tries,
            outcome.recalled,
            outcome.chosen,
            generation.worker,
        )
        self._records.append(record)
        if not generation.silent:
            self._collect_voice(generation.voice, plan.speaker)
        return FinishedSegment(
            self.plan, index, generation, sound, record, self._joiner.amplified(piece), outcome.others
        )

    def _trimmed(self, sound: np.ndarray, index: int) -> np.ndarray:
        """A segment's sound without the silence that is cut off: at its ends, or where it is at an end of the clip."""
        joining = self._joining
        begins = self._joiner.length == 0 or self._is_parted(index)
        ends = index == len(self.plan.segments) - 1 or self._is_parted(index + 1)
        at_start = joining.trim_silence or (joining.has_edges and begins)
        at_stop = joining.trim_silence or (joining.has_edges and ends)
        if not (at_start or at_stop):
            return sound
        piece = trim(sound, at_start, at_stop)
        self._n_trimmed += len(sound) - len(piece)
        return piece

    def _is_parted(self, index: int) -> bool:
        """Whether a chapter begins with this segment that has its own silence around it."""
        inside = 0 < index < len(self._chapters)
        return inside and self._joining.around_chapters and self._chapters[index] != self._chapters[index - 1]

    def _gap_after(self, index: int) -> Pause:
        """The gap behind a segment, at the end of a chapter with room for the silence around both chapters."""
        gap, joining = self.plan.segments[index].pause, self._joining
        if not self._is_parted(index + 1):
            return gap
        least = joining.tail_seconds + joining.head_seconds
        if not gap.sounds:
            return replace(gap, seconds=max(gap.seconds, least))
        *others, last = gap.sounds
        return replace(gap, sounds=(*others, replace(last, seconds=max(last.seconds, least))))

    def _play(self, sounds: Sequence[GapSound]) -> Iterator[np.ndarray]:
        """Append sounds, each behind the silence before it. Yields what each adds to the clip."""
        for sound in sounds:
            yield self._joiner.add(read_sound(sound), sound.seconds)[0]

    def _end(self) -> Iterator[np.ndarray]:
        """Append the sounds and the silence with which the clip ends. Yields what each adds to the clip."""
        yield from self._play(self._sounds)
        gap, tail = self.plan.segments[-1].pause, self._joining.tail_seconds
        asked = (gap.sounds[-1] if gap.sounds else gap).kind == "asked"
        if (end := self._joiner.finish(max(self._joiner.pause_seconds, tail) if asked else tail)).size:
            yield end

    def _collect_voice(self, voice: Voice, speaker: str | None) -> None:
        """Take a segment for the clip's voice: one of the first of the speaker who is heard first, until it is long enough."""
        if not self._voices:
            self._speaker = speaker
        if speaker == self._speaker and sum(own.seconds for own in self._voices) < _VOICE_SECONDS:
            self._voices.append(voice)

    def to_clip(
        self,
        starting_voice: Voice | None = None,
        spoken_voice: Voice | None = None,
        voices: Mapping[str, Voice] | None = None,
    ) -> Clip:
        """The clip, once it is complete. Raises TextError if none of its segments has a sound."""
        assert self.complete
        if not self._voices:
            raise TextError(_NO_SOUND)
        voice = Voice.concatenate(self._voices).aligned()
        length = self._joiner.length
        sha256, given, filters = self._joiner.sha256, voices or {}, tuple(self._filters())
        return Clip(self.plan, self._records, length, sha256, voice, starting_voice, spoken_voice, given, filters)

    def _filters(self) -> Iterator[Mapping[str, object]]:
        """What was done to the sound of the segments, for the manifest."""
        joining = self._joining
        if joining.trim_silence or joining.has_edges:
            where = "segments" if joining.trim_silence else "clip"
            removed = round(self._n_trimmed / c.SAMPLE_RATE, 6)
            yield {"filter": "trim_silence", "of": where, "kept_seconds": KEPT_SECONDS, "removed_seconds": removed}
        if joining.crossfade_seconds:
            seconds = joining.crossfade_seconds
            yield {"filter": "crossfade", "ms": 1000 * seconds, "crossfades": self._joiner.crossfades}
        if joining.has_edges:
            around = "chapters" if joining.around_chapters else "clip"
            edges = {"head_seconds": joining.head_seconds, "tail_seconds": joining.tail_seconds}
            yield {"filter": "silence_around", "of": around, **edges}
        if joining.gain_db:
            yield {"filter": "gain", "db": joining.gain_db}
