"""A finished clip with a changed text: which segments keep their tokens, and which are new, changed or left out."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Collection, Container, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from ..options.table import Options
from ..run.lineage import Lineage
from ..run.naming import clip_stems, text_for_name
from ..run.planning import ClipPlan, CountIds, SegmentCutter, clip_of_script, history_plan
from ..run.script_cutting import text_of
from ..text.events import Script
from .manifest import Manifest
from .remaking import clip_seed_again, is_silent, own_settings_again, recorded_segments

_Key = tuple[object, ...]


@dataclass(frozen=True)
class Mended:
    """The plan of a changed clip beside its manifest."""

    plan: ClipPlan
    manifest: Manifest
    unchanged: Mapping[int, int]  # segments whose text, speaker and settings are those of this one of the manifest

    @cached_property
    def left_out(self) -> list[int]:
        """The segments of the manifest that are in the plan no more."""
        stay = set(self.unchanged.values())
        return [k for k in range(len(self.manifest.segments)) if k not in stay]

    @property
    def changed(self) -> set[int]:
        """The segments of the plan that are new or changed."""
        return set(range(len(self.plan.segments))) - self.unchanged.keys()

    def kept(self, options: Options, has_voice: Callable[[str | None], bool]) -> dict[int, int]:
        """The unchanged segments that keep their tokens, because their history is what it was.

        `has_voice`: whether the starting voice of a speaker (None: the narrator) is given.
        """
        asks = options.custom_audio_processing_function is not None
        rule = history_plan(options)
        recorded = recorded_segments(self.manifest)
        silent = [is_silent(entry) for entry in self.manifest.content["segments"]]
        before, now = Lineage(recorded, rule, has_voice, asks), Lineage(self.plan.segments, rule, has_voice, asks)
        for k in range(len(recorded)):
            before.finish(k, silent[k])
        kept: dict[int, int] = {}
        for index in range(len(self.plan.segments)):
            old = self.unchanged.get(index)
            if old is None or not now.is_known(index):
                continue
            if asks:  # a function may look at everything before, and at the number of segments
                is_same = index == old == len(kept) and len(recorded) == len(self.plan.segments)
            else:
                is_same = _has_same_history(index, old, now, before, kept)
            if is_same:
                kept[index] = old
                now.finish(index, silent[old])
        return kept

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield what is left out and what is new, in order: ("-" or "+", the segment)."""
        old, new = 0, 0
        for index, before in chain(self.unchanged.items(), [(len(self.plan.segments), len(self.manifest.parts))]):
            yield from (("-", shown(part.speaker, part.text)) for part in self.manifest.parts[old:before])
            yield from (("+", shown(segment.speaker, segment.text)) for segment in self.plan.segments[new:index])
            old, new = before + 1, index + 1


def shown(speaker: str | None, text: str) -> str:
    """A segment in one line, with its speaker."""
    line = text or "(goes on without words)"
    return line if speaker is None else f"{speaker}: {line}"


def mend(
    manifest: Manifest,
    script: Script,
    options: Options,
    cutter: SegmentCutter,
    recast: Container[str | None],
    count_ids: CountIds | None = None,
    own_stems: Container[str] = (),
) -> Mended:
    """The plan of a manifest's clip with another script. Unchanged segments have the seeds of the manifest.

    `recast`: speakers whose voice is another one than in the manifest. Raises TextError, UsageError.
    """
    seed = clip_seed_again(manifest, options)
    cut = cutter.cut(script, seed, count_ids)
    (stem,) = clip_stems([(text_for_name(text_of(script), script), 0, 0, seed)], 1, options, own_stems)
    plan = clip_of_script(script, cut, options, seed, manifest.prompt, manifest.take, stem)
    recorded = [_key(part.speaker, part.text, part.own) for part in manifest.parts]
    planned = [_key(segment.speaker, segment.text, segment.own) for segment in plan.segments]
    segments = list(plan.segments)
    unchanged: dict[int, int] = {}
    for old, new, n in difflib.SequenceMatcher(None, recorded, planned, autojunk=False).get_matching_blocks():
        unchanged |= {new + k: old + k for k in range(n) if segments[new + k].speaker not in recast}
    for index, before in unchanged.items():
        own = manifest.own_settings[before]
        segments[index] = dataclasses.replace(
            segments[index],
            seeds=manifest.segments[before][1],
            settled=True,
            settings=None if own is None else own_settings_again(own, manifest, options),
            trim=manifest.trims[before],
        )
    return Mended(dataclasses.replace(plan, segments=tuple(segments)), manifest, unchanged)


def describe_mended(mended: Mended, kept: Collection[int]) -> str:
    """A sentence about how many segments are made, depend on those, are left out and are kept."""
    changed, depend = len(mended.changed), len(mended.unchanged) - len(kept)
    parts = [f"{changed} new or changed"]
    if depend:
        parts.append(f"{depend} made again because of them")
    if mended.left_out:
        parts.append(f"{len(mended.left_out)} left out or replaced")
    return f"of the clip's segments: {', '.join(parts)}, {len(kept)} kept"


def _key(speaker: str | None, text: str, own: Mapping[str, object]) -> _Key:
    return speaker, text, tuple(sorted(own.items()))


def _has_same_history(index: int, old: int, now: Lineage, before: Lineage, kept: Mapping[int, int]) -> bool:
    """Whether an unchanged segment goes on from the same tokens as in the manifest."""
    weights = now.weights(index)
    if weights != before.weights(old):
        return False
    previous, previous_before = now.previous(index), before.previous(old)
    if weights.of_previous and (previous is None or kept.get(previous) != previous_before):
        return previous is None and previous_before is None
    start, start_before = now.start(index), before.start(old)
    earlier = start_before if start_before is not None and start_before < old else None
    return (None if start is None or start >= index else kept.get(start)) == earlier
