"""Plans for making a clip again from its manifest: the whole clip, chosen segments (regenerate) or the audio (restitch)."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Container, Mapping
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..options.flag import SHAPE_TOKENS, Shapes
from ..options.numbers import chosen_numbers
from ..options.table import Options, flags
from ..run.lineage import Lineage
from ..run.naming import clip_stems, text_for_name
from ..run.pauses import GapSound, Pause
from ..run.planning import (
    SEEDS,
    ClipPlan,
    CountIds,
    SegmentCutter,
    SegmentPlan,
    clip_of_script,
    clip_seed,
    history_plan,
)
from ..run.prompts import tokens_of
from ..run.script_cutting import script_of
from ..seeds import Seeds, derive_seed
from ..text.events import Script
from .manifest import RUNS_CODE, Manifest
from .recorded import find_recorded_sound, usable_sounds

if TYPE_CHECKING:  # planning is done without torch
    from ..bark import Settings

_SPOKEN_VOICE = (
    "bark_speaker_as_the_prompt"  # compared through the clip's text instead, because its file may have moved
)
_TAKE = re.compile(r"\s*(\d{1,9})\s*=\s*(\d{1,9})\s*")


def chosen_segments(text: str, n_segments: int) -> set[int]:
    """Indexes of the segments that --regenerate names: `3,7-9` -> {2, 6, 7, 8}. Raises UsageError, also for missing ones."""
    return chosen_numbers(text, n_segments, "regenerate", "segment", "clip")


def chosen_takes(text: str, n_segments: int) -> dict[int, int]:
    """The takes that --take names, by segment, all counted from 0: `7=2,9=1` -> {6: 1, 8: 0}. Raises UsageError."""
    chosen: dict[int, int] = {}
    for part in text.split(","):
        match = _TAKE.fullmatch(part)
        if not match or int(match[2]) < 1:
            raise UsageError(f"--take says which take of a segment is put in, as in 7=2,9=1, not {text!r}")
        if not 1 <= int(match[1]) <= n_segments:
            raise UsageError(f"--take {text}: the clip has the segments 1 to {n_segments}, and not {int(match[1])}")
        chosen[int(match[1]) - 1] = int(match[2]) - 1
    return chosen


def takes_of_kept(text: str, n_segments: int, kept: Mapping[int, int]) -> dict[int, int]:
    """The takes that --take names, by the segment of the manifest. `kept`: which of its segments a kept one is.

    Raises UsageError for a segment that is made again.
    """
    chosen = chosen_takes(text, n_segments)
    if made := sorted(chosen.keys() - kept.keys()):
        raise UsageError(f"--take {text}: segment {made[0] + 1} is made again, so it has no other takes; leave it out")
    return {kept[k]: take for k, take in chosen.items()}


def describe_chosen_takes(chosen: Mapping[int, int], again: Collection[int]) -> str:
    """A sentence about the takes that are put in. `again`: them, and all segments whose history depends on them."""
    takes = ", ".join(f"take {take + 1} of segment {k + 1}" for k, take in sorted(chosen.items()))
    if not (depend := set(again) - chosen.keys()):
        return f"put in: {takes}"
    return f"put in: {takes}; {in_words(depend)} went on from other takes and stay as they are (--regenerate makes them anew)"


def plan_regenerated(manifest: Manifest, options: Options, drawn_seed: int, own_stems: Container[str] = ()) -> ClipPlan:
    """The plan of a manifest's clip with new seeds for the segments of --regenerate.

    The new seeds are derived from a given --seed that is not the manifest's, else from `drawn_seed`; they replace the
    seeds of single stages too. Raises UsageError.
    """
    before = manifest.options
    as_before = dataclasses.replace(options, **{name: getattr(before, name) for name in SEEDS})
    plan = plan_again(manifest, as_before, own_stems=own_stems)
    if [segment.text for segment in plan.segments] != [text for text, _ in manifest.segments]:
        raise UsageError(
            "--regenerate keeps the other segments, so the text stays cut as it was; leave out what cuts it"
        )
    return with_new_seeds(plan, manifest, options, drawn_seed)


def with_new_seeds(plan: ClipPlan, manifest: Manifest, options: Options, drawn_seed: int) -> ClipPlan:
    """A plan with new seeds for the segments of --regenerate, as `plan_regenerated` describes them. Raises UsageError."""
    given = {name: getattr(options, name) for name in SEEDS}
    before = manifest.options
    new = next((seed for name, seed in given.items() if seed is not None and seed != getattr(before, name)), drawn_seed)
    segments = list(plan.segments)
    assert options.regenerate is not None  # checked by the caller
    for k in chosen_segments(options.regenerate, len(segments)):
        seeds = Seeds(derive_seed(new, "regenerate", k + 1))
        segments[k] = dataclasses.replace(segments[k], seeds=seeds, settled=False, trim=None)
    return dataclasses.replace(plan, segments=tuple(segments))


def with_dependents(
    chosen: Collection[int],
    manifest: Manifest,
    options: Options,
    has_voice: bool,
    voices: Container[str] = (),
) -> set[int]:
    """Indexes of the chosen segments and of all whose history depends on one of them, directly or through others.

    `has_voice`: whether the narrator's starting voice is given. `voices`: the other speakers whose starting voice is given.
    """
    segments = recorded_segments(manifest)
    lineage = Lineage(
        segments,
        history_plan(options),
        lambda name: has_voice if name is None else name in voices,
        options.custom_audio_processing_function is not None,
    )
    # Those that would never become ready if the chosen segments were never finished, and all others as they were recorded.
    again = set()
    for k, recorded in enumerate(manifest.content["segments"]):
        if k in chosen or not lineage.is_known(k):
            again.add(k)
        else:
            lineage.finish(k, is_silent(recorded))
    return again


def recorded_segments(manifest: Manifest) -> list[SegmentPlan]:
    """The segments of a manifest's clip, with what histories depend on."""
    pairs = zip(manifest.parts, manifest.segments, strict=True)
    return [SegmentPlan(part.text, seeds, speaker=part.speaker) for part, (_, seeds) in pairs]


def in_words(segments: Collection[int]) -> str:
    """Numbers of segments, counted from 1: {0, 1, 2, 6} -> "1-3, 7"."""
    runs: list[list[int]] = []
    for k in sorted(segments):
        if runs and runs[-1][-1] == k - 1:
            runs[-1].append(k)
        else:
            runs.append([k])
    return ", ".join(f"{run[0] + 1}-{run[-1] + 1}" if len(run) > 1 else str(run[0] + 1) for run in runs)


def describe_regenerated(chosen: Collection[int], again: Collection[int], n_segments: int) -> str:
    """A sentence about which segments are chosen, which others depend on them, and how many stay."""
    others, stay = set(again) - set(chosen), n_segments - len(again)
    dependents = f", and with them {in_words(others)}, which depend on them" if others else ""
    kept = f"{stay} segment stays" if stay == 1 else f"{stay} segments stay"
    return f"made again: {in_words(chosen)}{dependents}; {kept}"


def is_silent(recorded: object) -> bool:
    """Whether a segment has no audio, by its entry in the manifest."""
    return isinstance(recorded, dict) and recorded.get("frames") == 0


def plan_restitched(manifest: Manifest, options: Options, own_stems: Container[str] = ()) -> ClipPlan:
    """The plan of a manifest's clip: the same segments, with the pauses of `options`.

    Raises UsageError if a setting that tokens depend on differs from the manifest's, because the tokens are kept.
    """
    others = [name for name in _of_tokens() if not _is_as_before(name, options, manifest)]
    if others:
        given = options.changed()
        name = next(
            (name for name in others if name in given), others[0]
        )  # prefer a given setting to one derived from it
        raise UsageError(
            f"--restitch keeps the clip's tokens, which --{name} would change; "
            f"leave out --{name}, or leave out --restitch to make the clip again"
        )
    (stem,) = clip_stems([(text_for_name(manifest.text, manifest.script), 0, 0, manifest.seed)], 1, options, own_stems)
    segments = _segments_of(manifest, options)
    return _clip_again(manifest, segments, options, stem)


def _of_tokens() -> list[str]:
    """Names of the flags that the tokens depend on."""
    return [line.name for line in flags() if line.shapes in SHAPE_TOKENS and line.name != "from_manifest"]


def _is_as_before(name: str, options: Options, manifest: Manifest) -> bool:
    value = getattr(options, name)
    if (
        name == RUNS_CODE
    ):  # not in `manifest.options`; the kept tokens were generated with it, whether it is given again or not
        return value in (None, manifest.content["settings"].get(name))
    return value == getattr(manifest.options, name)


def _segments_of(manifest: Manifest, options: Options) -> tuple[SegmentPlan, ...]:
    settings = [None if own is None else own_settings_again(own, manifest, options) for own in manifest.own_settings]
    return tuple(
        SegmentPlan(
            part.text,
            seeds,
            settled=True,
            pause=_pause_again(part.pause, options),
            settings=own,
            speaker=part.speaker,
            own=part.own,
            written=part.written,
            chapter=part.chapter,
            start_at=part.start_at,
            trim=trim,
        )
        for (_, seeds), part, own, trim in zip(manifest.segments, manifest.parts, settings, manifest.trims, strict=True)
    )


def _pause_again(pause: Pause, options: Options) -> Pause:
    """A gap of the manifest, with silences as `options` say, and sounds where they are now. Raises UsageError."""
    if not pause.sounds:
        return pause.again(options)
    assert options.from_manifest is not None
    return usable_sounds(options.from_manifest, pause).again(options)


def _clip_again(manifest: Manifest, segments: tuple[SegmentPlan, ...], options: Options, stem: str) -> ClipPlan:
    """The clip of the manifest with these segments."""
    lead = _pause_again(manifest.lead, options)
    seed, prompt, take = manifest.seed, manifest.prompt, manifest.take
    return ClipPlan(manifest.text, segments, seed, prompt, take, stem, lead, manifest.script)


def own_settings_again(own: Mapping[str, object], manifest: Manifest, options: Options) -> Settings:
    """The settings of a segment that has its own, but for those that are asked for otherwise than in the manifest."""
    from ..bark import Settings  # late: it imports torch

    before = manifest.options
    anew = {
        line.name: value for line in flags() if (value := getattr(options, line.name)) != getattr(before, line.name)
    }
    temperatures = {"semantic_temp": options.semantic_temp, "coarse_temp": options.coarse_temp}
    return Settings.from_options(
        Options.from_settings({**temperatures, **own, **anew, "extra_stats": options.extra_stats})
    )


def plan_again(
    manifest: Manifest, options: Options, count_ids: CountIds | None = None, own_stems: Container[str] = ()
) -> ClipPlan:
    """The plan of a manifest's clip: with the same segments, unless flags for splitting or seeds have changed."""
    seed, before, text = manifest.seed, manifest.options, manifest.text
    if options.bark_speaker_as_the_prompt is not None:
        text = tokens_of(options.bark_speaker_as_the_prompt)
    elif before.bark_speaker_as_the_prompt is not None:
        raise UsageError(
            "--from_manifest has the tokens of a voice in place of a text; "
            "leave out --bark_speaker_as_the_prompt none, or give a --text_prompt in place of the manifest"
        )
    deciding = [line.name for line in flags() if line.shapes is Shapes.SEGMENTS and line.name != _SPOKEN_VOICE]
    same = text == manifest.text and all(getattr(options, name) == getattr(before, name) for name in deciding)
    if not same:
        seed = clip_seed_again(manifest, options)
    (stem,) = clip_stems([(text_for_name(text, manifest.script), 0, 0, seed)], 1, options, own_stems)
    if same:
        return _clip_again(manifest, _segments_of(manifest, options), options, stem)
    script = recorded_script(manifest) if text == manifest.text else script_of(text)
    cut = recording_cutter(manifest, options).cut(script, seed, count_ids)
    return clip_of_script(script, cut, options, seed, manifest.prompt, manifest.take, stem)


def clip_seed_again(manifest: Manifest, options: Options) -> int:
    """The seed of a clip whose segments are planned anew: the manifest's, unless another one is asked for."""
    if any(getattr(options, name) != getattr(manifest.options, name) for name in SEEDS):
        return clip_seed(options, manifest.seed, 0, 0)
    return manifest.seed


def recorded_script(manifest: Manifest) -> Script:
    """The script of a manifest's clip, or its text as a script."""
    return script_of(manifest.text) if manifest.script is None else manifest.script


def recording_cutter(manifest: Manifest, options: Options) -> SegmentCutter:
    """Cuts the script of a manifest, whose sounds are those of the manifest."""

    def find_sound(file: str) -> GapSound:
        assert options.from_manifest is not None
        return find_recorded_sound(options.from_manifest, manifest, file)

    return SegmentCutter(options, find_sound)
