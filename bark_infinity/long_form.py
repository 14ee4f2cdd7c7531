"""A run: segments in batches as soon as the history they are due is known, stitched into clips as these are complete."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from . import audio
from . import constants as c
from .bark import Bark, Generation, Segment, Settings
from .custom_history import HistoryContext, HistoryFunction, ask
from .devices import is_out_of_memory
from .errors import BarkError, DeviceError, TextError
from .options import Options
from .planning import ClipPlan, history_plan
from .voice import Voice
from .voice_history import History, HistoryPlan, Weights

_TOO_LITTLE_MEMORY = "there is too little memory for one segment; use --model small, --dtype bfloat16 or --offload_cpu"
_NO_SOUND = "the model ended its speech at once, every time; try another --seed or a higher --semantic_min_eos_p"
_VOICE_SECONDS = 7.0  # the fine stage hears 512 frames, 6.8 s


@dataclass(frozen=True, eq=False)
class Clip:
    """A finished clip: float32 samples at 24 kHz, where each segment stands in them, and what made it."""

    plan: ClipPlan
    generations: Sequence[Generation]
    histories: Sequence[History]
    audio: np.ndarray
    spans: Sequence[audio.Span]
    starting_voice: Voice | None = None  # the given one
    spoken_voice: Voice | None = None  # whose tokens are said

    @property
    def seconds(self) -> float:
        return len(self.audio) / c.SAMPLE_RATE

    @property
    def seconds_taken(self) -> float:
        """Seconds of work, each segment's share of its batches."""
        return sum(sum(made.seconds_taken.values()) for made in self.generations)

    @property
    def voice(self) -> Voice | None:
        """The clip's voice: its first segments, as many as fill the longest history window. None if too short for one."""
        spoken = [generation.voice for generation in self.generations if not generation.silent]
        enough = next(
            (i for i in range(1, len(spoken)) if sum(v.seconds for v in spoken[:i]) >= _VOICE_SECONDS), len(spoken)
        )
        return Voice.concatenate(spoken[:enough]).aligned() if spoken else None


@dataclass(frozen=True, eq=False)
class SegmentMade:
    """Segment `index` of a clip, what it heard before and what became of it."""

    plan: ClipPlan
    index: int
    history: History
    generation: Generation


@dataclass(frozen=True)
class FailedClip:
    """A clip that could not be made, while the others go on."""

    plan: ClipPlan
    error: BarkError


@dataclass(frozen=True)
class RunProgress:
    """What a run is doing: `stage` of a batch of `rows` segments, `tokens` made of at most `tokens_total`."""

    segments_done: int
    rows: int
    stage: str
    tokens: int
    tokens_total: int


@dataclass
class LongForm:
    """How the segments of all clips of a run are made."""

    bark: Bark
    rule: HistoryPlan
    voice: Voice | None = None
    settings: Settings = field(default_factory=Settings)
    silence_seconds: float = 0.25
    rows: int | None = None  # segments side by side; None: as memory allows
    spoken: Voice | None = None  # whose semantic tokens are said in place of every text
    function: HistoryFunction | None = None  # decides what each segment hears, in place of the rule
    progress: Callable[[RunProgress], None] = lambda _: None

    @classmethod
    def from_options(
        cls,
        options: Options,
        bark: Bark,
        voice: Voice | None,
        spoken: Voice | None = None,
        function: HistoryFunction | None = None,
    ) -> LongForm:
        """What resolved options ask for."""
        return cls(
            bark,
            history_plan(options),
            voice,
            Settings.from_options(options),
            options.add_silence_between_segments,
            options.batch_size,
            spoken,
            function,
        )

    def clips(self, plans: Iterable[ClipPlan]) -> Iterator[Clip | FailedClip]:
        """Every clip as soon as it is complete. Not asking for the next one ends the run."""
        parts: dict[int, dict[int, SegmentMade]] = {}  # of clips under way, by the identity of their plans
        for made in self.segments(plans):
            if isinstance(made, FailedClip):
                parts.pop(id(made.plan), None)
                yield made
                continue
            own = parts.setdefault(id(made.plan), {})
            own[made.index] = made
            if len(own) == len(made.plan.segments):
                del parts[id(made.plan)]
                yield self._stitch(made.plan, [own[k] for k in range(len(own))])

    def segments(self, plans: Iterable[ClipPlan]) -> Iterator[SegmentMade | FailedClip]:
        """Every segment as soon as it is made, in no order but that of its history.

        Plans are taken when there is room for their segments in a batch.
        """
        rows = self.rows or self.bark.rows_at_once(self.settings)
        waiting, runs, done = iter(plans), [], 0
        while True:
            failed = list(self._take_plans(waiting, runs, rows))
            yield from failed
            batch = list(islice(((run, index) for run in runs for index in run.ready()), rows))
            if not batch:
                return
            if failures := {id(run): failure for run, index in batch if (failure := run.prepare(index))}:
                runs = [run for run in runs if id(run) not in failures]
                yield from failures.values()
                continue
            try:
                made = self._generate(batch, done)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                rows = len(batch) // 2
                if not rows:  # not even one fits; the next clip may be shorter
                    rows, (run, _) = 1, batch[0]
                    runs.remove(run)
                    yield FailedClip(run.plan, DeviceError(_TOO_LITTLE_MEMORY))
                continue
            done += len(batch)
            runs = [run for run in runs if not run.complete]
            yield from made

    def _stitch(self, plan: ClipPlan, parts: Sequence[SegmentMade]) -> Clip | FailedClip:
        generations, histories = [part.generation for part in parts], [part.history for part in parts]
        if all(generation.silent for generation in generations):
            return FailedClip(plan, TextError(_NO_SOUND))
        whole, spans = audio.join([generation.audio for generation in generations], self.silence_seconds)
        return Clip(plan, generations, histories, whole, spans, self.voice, self.spoken)

    def _take_plans(self, waiting: Iterator[ClipPlan], runs: list[_ClipRun], rows: int) -> Iterator[FailedClip]:
        """Start plans until the ready segments fill a batch."""
        while sum(1 for run in runs for _ in islice(run.ready(), rows)) < rows and (plan := next(waiting, None)):
            texts = [] if self.spoken else [segment.text for segment in plan.segments if segment.text]
            mute = next((text for text in texts if not self.bark.tokenizer.encode(text)), None)
            if mute is None:
                runs.append(_ClipRun(plan, self))
            else:
                yield FailedClip(plan, TextError(f"the model cannot read any of the text {mute[:40]!r}; give it words"))

    def _generate(self, batch: Sequence[tuple[_ClipRun, int]], done: int) -> list[SegmentMade]:
        segments = [run.prepared[index] for run, index in batch]

        def report(stage: str, tokens: int, total: int) -> None:
            self.progress(RunProgress(done, len(batch), stage, tokens, total))

        generations = self.bark.generate(segments, self.settings, report)
        made = []
        for (run, index), segment, generation in zip(batch, segments, generations, strict=True):
            run.put(index, generation)
            made.append(SegmentMade(run.plan, index, segment.history, generation))
        return made


class _ClipRun:
    """A clip under way: which segments are made, and which can be made next."""

    def __init__(self, plan: ClipPlan, form: LongForm):
        self.plan, self.form, self.voice = plan, form, form.voice
        self.generations: list[Generation | None] = [None] * len(plan.segments)
        self.prepared: dict[int, Segment] = {}  # ready segments as the model will be given them
        self._open = dict.fromkeys(range(len(plan.segments)))  # segments still to be made, in order
        self._weights = [form.rule.weights(k, wordless=not s.text) for k, s in enumerate(plan.segments)]

    @property
    def complete(self) -> bool:
        return not self._open

    def ready(self) -> Iterator[int]:
        """Segments not made yet whose history is known."""
        return filter(self._history_known, self._open)

    def prepare(self, index: int) -> FailedClip | None:
        """Put a ready segment among the prepared ones, once: a user's function is not asked twice, even if memory fails."""
        if index in self.prepared:
            return None
        plan, bark, spoken = self.plan.segments[index], self.form.bark, self.form.spoken
        try:
            history = self._history(index)
            bark.check_history(history)
        except BarkError as error:
            return FailedClip(self.plan, error)
        semantic = spoken.semantic if spoken and plan.text else None
        self.prepared[index] = Segment(plan.text or None, history, plan.seeds, semantic)
        return None

    def put(self, index: int, generation: Generation) -> None:
        self.generations[index] = generation
        del self._open[index], self.prepared[index]

    def _history(self, index: int) -> History:
        starting = self._starting(index)
        previous = self.generations[index - 1] if index else None
        # A segment that came out silent leaves nothing to go on from: back to the starting voice.
        before = starting if previous is None or previous.silent else previous.voice
        wanted: Weights | Voice = self._weights[index]
        if self.form.function is not None:
            wanted = ask(self.form.function, self._context(index, starting))
        if isinstance(wanted, Voice):
            wanted, starting = Weights(), wanted
        return wanted.history(starting, before, self.form.bark.spec)

    def _context(self, index: int, starting: Voice | None) -> HistoryContext:
        plan = self.plan
        before = [made.voice.read_only() for made in self.generations[:index] if made is not None and not made.silent]
        return HistoryContext(
            plan.prompt_index,
            plan.take,
            index,
            len(plan.segments),
            plan.segments[index].text,
            starting and starting.read_only(),
            before,
            self._weights[index],
        )

    def _history_known(self, index: int) -> bool:
        if index == 0:
            return True
        if self._weights[index].of_previous or self.form.function is not None:
            previous = self.generations[index - 1]
            if previous is None or (previous.silent and not self._starting_known(index)):
                return False
        return not self._weights[index].of_starting or self._starting_known(index)

    def _starting(self, index: int) -> Voice | None:
        """The given voice, or that of the first segment before `index` that is not silent."""
        if self.voice is not None or self.form.rule.separate:
            return self.voice
        return next((g.voice for g in self.generations[:index] if g is not None and not g.silent), None)

    def _starting_known(self, index: int) -> bool:
        """Whether no segment still to be made can become the starting voice of segment `index`."""
        if self.voice is not None or self.form.rule.separate:
            return True
        for generation in self.generations[:index]:
            if generation is None or not generation.silent:
                return generation is not None
        return True
