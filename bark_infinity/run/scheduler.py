"""A run: segments side by side as soon as the history they are due is known, handed on clip by clip in their order."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from ..bark import Bark, Generation, Segment, Settings
from ..errors import DeviceError, OutputError, TextError
from ..model.devices import is_out_of_memory
from ..options.table import Options
from ..stages.semantic import Statistics
from ..voices.custom_history import HistoryFunction
from ..voices.history import HistoryPlan
from ..voices.voice import Voice
from .checks import SegmentChecks, Try
from .clip_state import ClipRun
from .clips import Clip, ClipRecord, ClipUnderWay, FailedClip, Heard, PlacedSegment, SegmentMade
from .journal import KeptSegment, RunJournal
from .planning import ClipPlan, history_plan

Wanted = Callable[[ClipPlan], bool]
"""Whether a clip is still to be made. What is not wanted any more is left out."""

_TOO_LITTLE_MEMORY = "there is too little memory for one segment; use --model small, --dtype bfloat16 or --offload_cpu"
_PASS = 2  # times as many segments as stand side by side go to the model at once: rows that end early leave their place
# to those that wait. Not more: a finished segment should not wait for too many others.


@dataclass(frozen=True)
class RunProgress:
    """What a run is doing: `stage` of a pass of `rows` segments, `tokens` made of at most `tokens_total`.

    `segments_done`: those of the run that have their sound, `segments_recalled` of them since an earlier run;
    `rows_done`: those of the pass among them.
    """

    segments_done: int
    segments_recalled: int
    rows: int
    stage: str
    tokens: int
    tokens_total: int
    rows_done: int


@dataclass
class LongForm:
    """How the segments of all clips of a run are made."""

    bark: Bark
    rule: HistoryPlan
    voice: Voice | None = None
    settings: Settings = field(default_factory=Settings)
    gain_db: float = 0.0
    rows: int | None = None  # segments side by side; None: as memory allows
    spoken: Voice | None = None  # whose semantic tokens are said in place of every text
    function: HistoryFunction | None = None  # decides what each segment hears, in place of the rule
    progress: Callable[[RunProgress], None] = lambda _: None
    journal: RunJournal | None = None  # keeps every finished segment, and knows those of an earlier run
    known: Mapping[int, KeptSegment] = field(default_factory=dict)  # of the one clip, segments that are not made again
    checks: SegmentChecks | None = None  # of every segment that is made

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
            options.gain_db,
            options.batch_size,
            spoken,
            function,
            checks=SegmentChecks.from_options(options),
        )

    def clips(self, plans: Iterable[ClipPlan]) -> Iterator[Clip | FailedClip]:
        """Every clip as soon as it is complete, all of its sound in memory. Not asking for the next one ends the run."""
        parts: dict[int, list[PlacedSegment]] = {}  # of clips under way, by the identity of their plans
        with closing(self.in_order(plans)) as results:
            for result in results:
                if isinstance(result, PlacedSegment):
                    parts.setdefault(id(result.plan), []).append(result)
                    continue
                own = parts.pop(id(result.plan), [])
                if isinstance(result, FailedClip):
                    yield result
                else:
                    whole = np.concatenate([part.sound for part in own])
                    yield Clip(result, [part.generation for part in own], whole)

    def in_order(
        self, plans: Iterable[ClipPlan], wanted: Wanted = lambda _: True
    ) -> Iterator[PlacedSegment | ClipRecord | FailedClip]:
        """The segments of every clip in their order, each as soon as those before it are there, and what follows them.

        Clips may take turns. Not asking for the next one ends the run.
        """
        under_way: dict[int, ClipUnderWay] = {}
        with closing(self.segments(plans, wanted)) as segments:
            for made in segments:
                plan, key = made.plan, id(made.plan)
                if isinstance(made, FailedClip):
                    under_way.pop(key, None)
                    yield made
                    continue
                clip = under_way.setdefault(key, ClipUnderWay(plan, self.gain_db))
                for placed in clip.put(made):
                    if wanted(plan):
                        yield placed
                result = clip.finish(self.voice, self.spoken)
                if result is not None or not wanted(plan):
                    del under_way[key]
                if result is not None and wanted(plan):
                    yield result

    def segments(
        self, plans: Iterable[ClipPlan], wanted: Wanted = lambda _: True
    ) -> Iterator[SegmentMade | FailedClip]:
        """Every segment as soon as it is made, in no order but that of its history.

        Plans are taken when there is room for their segments in a pass.
        """
        rows = self.rows or self.bark.rows_at_once(self.settings)
        waiting, runs, done, earlier = iter(plans), [], 0, 0
        while True:
            runs = [run for run in runs if not run.complete and wanted(run.plan)]
            at_most = _PASS * rows if rows > 1 else 1
            yield from self._take_plans(waiting, runs, at_most)
            batch = list(islice(((run, index) for run in runs for index in run.ready()), at_most))
            if not batch:
                return
            if failures := {id(run): failure for run, index in batch if (failure := run.prepare(index))}:
                runs = [run for run in runs if id(run) not in failures]
                yield from failures.values()
                continue
            before = earlier
            for made in self._recall(batch):
                done, earlier = done + 1, earlier + 1
                yield made
            if earlier > before:  # and others may be ready by that
                continue
            try:
                with closing(self._pass(batch, rows, done, earlier, wanted)) as segments:
                    for made in segments:
                        done += 1
                        yield made
            except _NotKept as failure:
                runs.remove(failure.run)
                yield FailedClip(failure.run.plan, failure.error)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                rows = min(rows, len(batch)) // 2
                if not rows:  # not even one fits; the next clip may be shorter
                    rows, (run, _) = 1, batch[0]
                    runs.remove(run)
                    yield FailedClip(run.plan, DeviceError(_TOO_LITTLE_MEMORY))

    def longest_seconds(self, plan: ClipPlan) -> float:
        """What no clip of this plan outlasts."""
        spec = self.bark.spec
        tokens = max(spec.max_semantic_tokens, len(self.spoken.semantic) if self.spoken else 0)
        longest = len(plan.segments) * tokens / spec.semantic_rate_hz
        return longest + sum(segment.pause.seconds for segment in plan.segments)

    def _take_plans(self, waiting: Iterator[ClipPlan], runs: list[ClipRun], rows: int) -> Iterator[FailedClip]:
        """Start plans until the ready segments fill a pass."""
        while sum(1 for run in runs for _ in islice(run.ready(), rows)) < rows and (plan := next(waiting, None)):
            texts = [] if self.spoken else [segment.text for segment in plan.segments if segment.text]
            mute = next((text for text in texts if not self.bark.tokenizer.encode(text)), None)
            if mute is not None:
                yield FailedClip(plan, TextError(f"the model cannot read any of the text {mute[:40]!r}; give it words"))
                continue
            try:
                if self.journal is not None:
                    self.journal.clip(plan)
                runs.append(ClipRun(plan, self))
            except OutputError as error:
                yield FailedClip(plan, error)

    def _recall(self, batch: Sequence[tuple[ClipRun, int]]) -> Iterator[SegmentMade]:
        """Those of the prepared segments that are finished already."""
        for run, index in batch:
            if run.is_tried(index):
                continue
            kept = self.known.get(index)
            if kept is None and self.journal is not None:
                kept = self.journal.clip(run.plan).recall(self.key(run.first_try(index)))
            if kept and (made := self._recalled(run, index, kept)):
                run.put(made)
                yield dataclasses.replace(made, recalled=True)

    def key(self, segment: Segment) -> str:
        """A digest of everything that shapes the tokens of a segment."""
        said = (self.bark.identity, self.settings, segment.text, segment.seeds)
        digest = hashlib.sha256(repr(said).encode(errors="backslashreplace"))
        heard = segment.history
        for tokens in (heard.semantic, heard.coarse_semantic, heard.coarse, heard.fine, segment.semantic):
            if tokens is not None:
                digest.update(repr(tokens.shape).encode() + np.ascontiguousarray(tokens, "<i8").tobytes())
        return digest.hexdigest()

    def _recalled(self, run: ClipRun, index: int, kept: KeptSegment) -> SegmentMade | None:
        """A kept segment with its sound; None if it is none of this model, or other checks may choose another try."""
        about, generation = kept.about, recalled(kept, lambda codes: self.bark.decode([codes])[0])
        try:
            tries = tuple(Try.of(content) for content in about["tries"])
            if generation is None or not tries or (len(tries) > 1 and about["checks"] != self._checks_told):
                return None
        except (KeyError, TypeError, ValueError):
            return None
        if len(tries) == 1:
            return run.judge(index, generation)
        return SegmentMade(run.plan, index, Heard.of(run.prepared[index].history), generation, tries)

    @property
    def _checks_told(self) -> dict[str, object] | None:
        return self.checks and dataclasses.asdict(self.checks)

    def _keep(self, run: ClipRun, made: SegmentMade) -> None:
        """Let a finished segment outlast this process, under the key of its first try. Raises _NotKept."""
        if self.journal is None:
            return
        generation = made.generation
        about = {
            "cut_ids": generation.cut_ids,
            "seconds_taken": generation.seconds_taken,
            "statistics": generation.statistics and dataclasses.asdict(generation.statistics),
            "ended": generation.ended,
            "tries": [one.content() for one in made.tries],
            "checks": self._checks_told,
        }
        try:
            key = self.key(run.first_try(made.index))
            self.journal.clip(run.plan).keep(key, KeptSegment(generation.voice, about))
        except OutputError as error:
            raise _NotKept(run, error) from None

    def _pass(
        self, batch: Sequence[tuple[ClipRun, int]], rows: int, done: int, earlier: int, wanted: Wanted
    ) -> Iterator[SegmentMade]:
        """Prepared segments, each as soon as it is made and kept; those that are to be made again are left for another pass.

        `done`: segments of the run before; `earlier`: those of them that an earlier run has made.
        """
        segments = [run.prepared[index] for run, index in batch]
        rows_done = 0

        def report(stage: str, tokens: int, total: int) -> None:
            self.progress(RunProgress(done + rows_done, earlier, len(batch), stage, tokens, total, rows_done))

        with closing(self.bark.stream(segments, self.settings, report, rows)) as stream:
            for place, generation in stream:
                run, index = batch[place]
                if made := run.judge(index, generation):
                    self._keep(run, made)
                    run.put(made)
                    rows_done += 1
                    yield made
                if not any(wanted(run.plan) for run, _ in batch):
                    return


def recalled(kept: KeptSegment, decode: Callable[[np.ndarray], np.ndarray]) -> Generation | None:
    """A kept segment with its sound; None if what is told of it is not what is told today. `decode`: as the codec's."""
    voice, about = kept.voice, kept.about
    try:
        taken = {str(stage): float(seconds) for stage, seconds in about["seconds_taken"].items()}
        measured = about["statistics"] and {name: float(value) for name, value in about["statistics"].items()}
        statistics = measured and Statistics(**measured)
        cut_ids, ended = int(about["cut_ids"]), bool(about["ended"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    if not all(map(math.isfinite, [*taken.values(), *(measured or {}).values()])):
        return None
    sound = decode(voice.fine) if voice.fine.size else np.zeros(0, np.float32)
    return Generation(voice, sound, cut_ids, taken, statistics, ended)


class _NotKept(Exception):
    """A finished segment that could not be saved, for want of space, say."""

    def __init__(self, run: ClipRun, error: OutputError):
        super().__init__(str(error))
        self.run, self.error = run, error
