"""Joins the segments of one clip in order, with pauses, and collects their records and the clip's voice."""

from __future__ import annotations

from ..audio.writing import Joiner
from ..bark import Generation
from ..errors import TextError
from ..voices.voice import Voice
from .clips import Clip, FinishedSegment, HistorySizes, SegmentRecord
from .planning import ClipPlan
from .takes import Try

_VOICE_SECONDS = (
    7.0  # least length of a clip's voice: the longest history window, the fine stage's, is 512 frames or 6.8 s
)
_NO_SOUND = "the model ended its speech at once, every time; try another --seed or a higher --semantic_min_eos_p"


class Stitcher:
    """Takes the generations of a clip's segments in order. It keeps records and the clip's voice, but no audio."""

    def __init__(self, plan: ClipPlan, gain_db: float = 0.0):
        self.plan = plan
        self._joiner = Joiner(gain_db)
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
        """Append the next segment to the clip. `recalled`: an earlier run generated it."""
        index = len(self._records)
        sound, span = self._joiner.add(generation.audio, self.plan.segments[index].pause.seconds)
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
        )
        self._records.append(record)
        if not generation.silent:
            self._collect_voice(generation.voice, self.plan.segments[index].speaker)
        return FinishedSegment(self.plan, index, generation, sound, record)

    def _collect_voice(self, voice: Voice, speaker: str | None) -> None:
        """Take a segment for the clip's voice: one of the first of the speaker who is heard first, until it is long enough."""
        if not self._voices:
            self._speaker = speaker
        if speaker == self._speaker and sum(own.seconds for own in self._voices) < _VOICE_SECONDS:
            self._voices.append(voice)

    def to_clip(self, starting_voice: Voice | None = None, spoken_voice: Voice | None = None) -> Clip:
        """The clip, once it is complete. Raises TextError if none of its segments has a sound."""
        assert self.complete
        if not self._voices:
            raise TextError(_NO_SOUND)
        voice = Voice.concatenate(self._voices).aligned()
        return Clip(self.plan, self._records, self._joiner.sha256, voice, starting_voice, spoken_voice)
