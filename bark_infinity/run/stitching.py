"""Joins the segments of one clip in order, with pauses, and collects their records and the clip's voice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ..audio.writing import Joiner
from ..bark import Generation
from ..errors import TextError
from ..voices.voice import Voice
from .clips import Clip, FinishedSegment, HistorySizes, SegmentRecord
from .pauses import GapSound
from .planning import ClipPlan
from .sounds import read_sound
from .takes import Try

_VOICE_SECONDS = (
    7.0  # least length of a clip's voice: the longest history window, the fine stage's, is 512 frames or 6.8 s
)
_NO_SOUND = "the model ended its speech at once, every time; try another --seed or a higher --semantic_min_eos_p"


class Stitcher:
    """Takes the generations of a clip's segments in order. It keeps records and the clip's voice, but no audio."""

    def __init__(self, plan: ClipPlan, gain_db: float = 0.0):
        self.plan = plan
        self._joiner = Joiner(gain_db, plan.lead.seconds)
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

    def place(
        self, generation: Generation, tries: tuple[Try, ...], history_sizes: HistorySizes, recalled: bool = False
    ) -> FinishedSegment:
        """Append the next segment to the clip, and what ends the clip if it is the last one. `recalled`: an earlier run
        generated it. Raises TextError for a sound that cannot be read any more.
        """
        index = len(self._records)
        plan = self.plan.segments[index]
        before = list(self._play(self._sounds))
        own, span = self._joiner.add(generation.audio, plan.pause.seconds)
        self._sounds = plan.pause.sounds
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
            tries,
            recalled,
            generation.worker,
        )
        self._records.append(record)
        if not generation.silent:
            self._collect_voice(generation.voice, plan.speaker)
        return FinishedSegment(self.plan, index, generation, sound, record, sum(map(len, after)))

    def _play(self, sounds: Sequence[GapSound]) -> Iterator[np.ndarray]:
        """Append sounds, each behind the silence before it. Yields what each adds to the clip."""
        for sound in sounds:
            yield self._joiner.add(read_sound(sound), sound.seconds)[0]

    def _end(self) -> Iterator[np.ndarray]:
        """Append the sounds and the silence with which the script ends. Yields what each adds to the clip."""
        yield from self._play(self._sounds)
        gap = self.plan.segments[-1].pause
        if (gap.sounds[-1] if gap.sounds else gap).kind == "asked":
            yield self._joiner.end_with_silence()

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
        sha256, given = self._joiner.sha256, voices or {}
        return Clip(self.plan, self._records, length, sha256, voice, starting_voice, spoken_voice, given)
