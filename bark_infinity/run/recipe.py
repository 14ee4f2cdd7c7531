"""Everything that the segments of all clips of a run have in common: engine, voices, settings and checks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..bark import Segment, Settings
from ..options.table import Options
from ..voices.custom_history import HistoryFunction
from ..voices.history import HistoryPlan
from ..voices.library import language_of_voice
from ..voices.voice import Voice
from .checks import SegmentChecks
from .engine import Engine
from .joining import Joining
from .planning import history_plan
from .recognition import Recognizer
from .takes import TakeRules
from .voice_distance import VoiceDistances


@dataclass(frozen=True)
class Recipe:
    """The engine, voices, history rule, settings and checks that apply to every segment of a run."""

    engine: Engine
    rule: HistoryPlan = HistoryPlan()  # which voices each segment's history is made of
    voice: Voice | None = None  # the narrator's starting voice; None: his first segment of each clip becomes it
    spoken: Voice | None = None  # its semantic tokens are spoken in place of every text
    function: HistoryFunction | None = None  # decides each segment's history in place of the rule
    settings: Settings = field(default_factory=Settings)
    checks: SegmentChecks | None = None  # applied to every finished segment; None: no checks
    joining: Joining = Joining()  # how segments become the sound of a clip
    voices: Mapping[str, Voice] = field(default_factory=dict)  # the starting voices of other speakers, likewise
    takes: TakeRules = TakeRules()
    recognizer: Recognizer | None = None  # listens to every take
    language: str | None = None  # of the narrator's voice, by its name
    distances: VoiceDistances | None = None  # ranks takes by their voice; None: it is not measured

    @classmethod
    def from_options(
        cls,
        options: Options,
        engine: Engine,
        voice: Voice | None = None,
        spoken: Voice | None = None,
        function: HistoryFunction | None = None,
        voices: Mapping[str, Voice] | None = None,
        recognizer: Recognizer | None = None,
    ) -> Recipe:
        """The recipe that resolved options describe; voices, function and recogniser are already loaded."""
        return cls(
            engine,
            history_plan(options),
            voice,
            spoken,
            function,
            Settings.from_options(options),
            SegmentChecks.from_options(options),
            Joining.from_options(options),
            voices or {},
            TakeRules.from_options(options),
            recognizer,
            options.history_prompt and language_of_voice(options.history_prompt),
            VoiceDistances(lambda codes: engine.decode([codes])[0]) if options.candidates > 1 else None,
        )

    def voice_of(self, speaker: str | None) -> Voice | None:
        """The given starting voice of a speaker (None: the narrator); None if his own first segment becomes it."""
        return self.voice if speaker is None else self.voices.get(speaker)

    def settings_of(self, segment: Segment) -> Settings:
        """The sampling settings of a segment: its own, else those of the run."""
        return self.settings if segment.settings is None else segment.settings

    def fingerprint(self, segment: Segment) -> str:
        """A digest of everything that the tokens of a segment depend on; the journal keeps the segment under it."""
        inputs = (self.engine.identity, self.settings_of(segment), segment.text, segment.seeds)
        digest = hashlib.sha256(repr(inputs).encode(errors="backslashreplace"))
        history = segment.history
        for tokens in (history.semantic, history.coarse_semantic, history.coarse, history.fine, segment.semantic):
            if tokens is not None:
                digest.update(repr(tokens.shape).encode() + np.ascontiguousarray(tokens, "<i8").tobytes())
        return digest.hexdigest()
