"""The files of a clip, written while it is made: audio, voice, manifest, tokens of segments, for hoarders a folder of them."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import tempfile
import zipfile
from collections.abc import Callable, Generator, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .. import constants as c
from ..audio import writing as audio
from ..errors import OutputError, VoiceError
from ..files import errors_naming, make_folder, safe_stem, to_disk
from ..options.flag import Shapes
from ..options.table import Options, flags
from ..run.clips import Clip, FinishedSegment, SegmentRecord
from ..run.engine import Engine
from ..run.journal import ClipJournal, KeptSegment, RunJournal
from ..run.naming import RESULT_SUFFIXES, clip_stems, numbered
from ..run.planning import ClipPlan, SegmentPlan
from ..run.recipe import Recipe
from ..run.scheduler import Result, RunProgress, Scheduler, longest_seconds
from ..voices.voice import Voice
from .descriptions import SOFTWARE, clip_tags, one_line_title, recorded_settings
from .manifest import machine, seconds, versions, write_manifest

_BESIDE_AUDIO = (".npz", ".segments.npz", ".segments", ".json")  # in the order in which they get their names


def check_output_folder(name: str) -> Path:
    """The output folder, if files can be made in it; it is created with the first of them. Raises OutputError."""
    folder = Path(name)
    there = folder.absolute()
    while not os.path.exists(there) and there != there.parent:
        there = there.parent
    try:
        with contextlib.suppress(FileNotFoundError):
            os.stat(folder)  # is its name possible?
        with tempfile.TemporaryFile(dir=there):
            return folder
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(
            f"the folder {name} cannot be written to ({reason}); choose another with --output_dir or --output_filename"
        ) from None


def save_voice(voice: Voice, folder: Path, name: str) -> Path:
    """Save a voice as `<name>.npz`, or under the next free name; one that is there already is not saved twice."""
    make_folder(folder)
    for stem in numbered(safe_stem(name)):
        path = folder / f"{stem}.npz"
        with contextlib.suppress(FileExistsError):
            voice.save(path, overwrite=False)
            return path
        with contextlib.suppress(VoiceError):
            if Voice.load(path).digest() == voice.digest():
                return path
    raise AssertionError("there is always another name")


def write_sound(path: Path, samples: np.ndarray, tags: Mapping[str, str], options: Options) -> None:
    """An audio file of the kind that the options ask for. Raises OutputError, FileExistsError."""
    audio.write_audio(path, samples, tags, options.audio_format, options.output_format_ffmpeg_parameters or "")


def clip_keys(options: Options, recipe: Recipe) -> Callable[[ClipPlan], str]:
    """A function that digests all that shapes the files of a clip: the key under which a finished one is found again."""
    kinds = {line.name: line.sound or line.shapes is Shapes.FILES for line in flags()}
    asked = {name: value for name, value in options.changed().items() if kinds[name]}
    voices = [voice and voice.digest() for voice in (recipe.voice, recipe.spoken)]
    of_run = [recipe.engine.identity, voices, sorted(asked.items())]

    def key(plan: ClipPlan) -> str:
        segments = [(s.text, dataclasses.astuple(s.seeds), s.pause.seconds) for s in plan.segments]
        content = [*of_run, plan.prompt_index, plan.take, segments]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    return key


def save_clips(
    recipe: Recipe,
    plans: Iterable[ClipPlan],
    folder: Path,
    options: Options,
    journal: RunJournal | None = None,
    known: Mapping[int, KeptSegment] | None = None,
    progress: Callable[[RunProgress], None] = lambda _: None,
) -> Generator[Result, None, None]:
    """Make clips and write their files while they are made; what `Scheduler.run` yields, each segment once it is written.

    Closing the generator ends the run; what is finished of it stays in `journal`, or in a new one where none is given.
    """
    run = journal or RunJournal.start(folder, clip_keys(options, recipe), 0)

    def open_writer(plan: ClipPlan) -> ClipFiles:
        longest = longest_seconds(plan, recipe)
        return ClipFiles(plan, folder, options, longest, run.clip(plan), partial(_manifest, options, recipe.engine))

    yield from Scheduler(recipe, options.batch_size, run, known, open_writer, progress).run(plans)


def write_clip(clip: Clip, segments: Iterable[FinishedSegment], engine: Engine, options: Options) -> Path:
    """Write the files of a clip whose segments are all in memory, as resolved options name them; the audio's path.

    Raises OutputError.
    """
    folder = check_output_folder(options.output_dir)
    (stem,) = clip_stems([(clip.plan.text, 0, 0, clip.plan.seed)], 1, options)
    plan = dataclasses.replace(clip.plan, stem=stem)
    journal = RunJournal.start(folder, lambda _: "", plan.seed)
    try:
        work = journal.clip(plan)
        with contextlib.ExitStack() as stack:
            files = ClipFiles(plan, folder, options, clip.seconds, work, partial(_manifest, options, engine))
            stack.callback(files.discard)
            for segment in segments:
                files.add(segment)
            path = files.finish(dataclasses.replace(clip, plan=plan)).path
            assert path is not None  # the files have their names
            return path
    finally:
        journal.close(complete=True)


class ClipFiles:
    """The files of a clip while it is made: in its journal's folder until all are whole. A `ClipWriter`."""

    def __init__(
        self,
        plan: ClipPlan,
        folder: Path,
        options: Options,
        longest_seconds: float,
        journal: ClipJournal,
        manifest_of: Callable[[Clip], Mapping[str, Any]],
    ):
        """`longest_seconds`: an upper bound of the clip's length. `manifest_of`: makes the manifest of the finished clip."""
        self._plan, self._folder, self._options, self._journal = plan, folder, options, journal
        self._manifest_of = manifest_of
        self._path = folder / f"{plan.stem}.{options.output_format}"  # if it is still free then; named in errors
        self._tokens: zipfile.ZipFile | None = None
        self._open: list[BinaryIO] = []
        with contextlib.ExitStack() as stack, errors_naming(self._path):
            self._open.append(stack.enter_context(self._at(f".{options.output_format}").open("xb")))
            self._sound = audio.AudioEncoder(
                self._open[0],
                self._path,
                clip_tags(plan.text, plan.seed, options),
                options.audio_format,
                options.output_format_ffmpeg_parameters or "",
                round(longest_seconds * c.SAMPLE_RATE),
            )
            stack.callback(self._sound.discard)
            if len(plan.segments) > 1:
                self._open.append(stack.enter_context(self._at(".segments.npz").open("xb")))
                self._tokens = stack.enter_context(zipfile.ZipFile(self._open[1], "w", zipfile.ZIP_DEFLATED))
            if options.hoarder_mode:
                self._at(".segments").mkdir()
            self._resources = stack.pop_all()

    def add(self, segment: FinishedSegment) -> None:
        """Write the next segment."""
        with errors_naming(self._path):
            self._sound.write(segment.sound)
            if self._tokens is not None:
                _add_tokens(self._tokens, segment.index, segment.generation.voice)
            if self._options.hoarder_mode and not segment.generation.silent:
                self._hoard_sound(segment)

    def finish(self, clip: Clip) -> Clip:
        """Give all files a name that is free, all of them or none; the clip with the audio's path and level."""
        options = self._options
        with errors_naming(self._path):
            self._sound.close()
            level = self._sound.level
            clipping = {"peak": round(level.peak, 6), "clipped_samples": level.clipped}
            manifest = {**self._manifest_of(clip), **clipping}
            if self._tokens is not None:
                self._tokens.close()
            for file in self._open:
                to_disk(file)
                file.close()
            if options.always_save_speaker and clip.voice:
                clip.voice.save(self._at(".npz"), overwrite=False)
            if options.hoarder_mode:
                self._hoard_manifests(manifest)
            write_manifest(self._at(".json"), manifest)
            return dataclasses.replace(clip, path=self._name(clip), level=level)

    def discard(self) -> None:
        """Close and drop the files that have not got their names yet. Raises nothing."""
        with contextlib.suppress(OSError, ValueError):  # what is still to be written, on a full disk
            self._resources.close()

    def _at(self, suffix: str) -> Path:
        return self._journal.work / f"{self._plan.stem}{suffix}"

    def _name(self, clip: Clip) -> Path:
        whole = [suffix for suffix in (self._path.suffix, *_BESIDE_AUDIO) if self._at(suffix).exists()]
        for stem in numbered(clip.plan.stem + _statistics_in_name(clip)):
            if not any(os.path.exists(self._folder / f"{stem}{suffix}") for suffix in RESULT_SUFFIXES):
                with contextlib.suppress(FileExistsError):  # another run was faster
                    self._journal.name([(self._at(suffix), self._folder / f"{stem}{suffix}") for suffix in whole])
                    return self._folder / f"{stem}{whole[0]}"
        raise AssertionError("there is always another name")

    def _hoard_stem(self, index: int) -> Path:
        """For hoarders every segment is a clip of its own: audio, voice and parameters."""
        return self._at(".segments") / f"{index + 1:0{len(str(len(self._plan.segments)))}}"

    def _hoard_sound(self, segment: FinishedSegment) -> None:
        stem, made = self._hoard_stem(segment.index), segment.generation
        if voice := made.voice.aligned():
            voice.save(stem.with_suffix(".npz"), overwrite=False)
        tags = {"title": one_line_title(self._plan.segments[segment.index].text), "software": SOFTWARE}
        write_sound(stem.with_suffix(f".{self._options.output_format}"), made.audio, tags, self._options)

    def _hoard_manifests(self, manifest: Mapping[str, Any]) -> None:
        # of the clip neither text nor segments: every segment would tell the whole book
        clip = {name: value for name, value in manifest.items() if name not in ("text", "segments", "settings")}
        settings = {name: value for name, value in manifest["settings"].items() if name != "text_prompt"}
        for index, segment in enumerate(manifest["segments"]):
            content = {"segment": index + 1, **segment, "settings": settings, "clip": clip}
            write_manifest(self._hoard_stem(index).with_suffix(".json"), content)


def _add_tokens(archive: zipfile.ZipFile, index: int, voice: Voice) -> None:
    """The tokens of one more segment, as `<array of a voice file>_<segment>`: an `.npz` that is never in memory."""
    for name, tokens in voice.prompts().items():
        with archive.open(f"{name}_{index}.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array(member, tokens, allow_pickle=False)


def _statistics_in_name(clip: Clip) -> str:
    """For --extra_stats: of all segments, each with the weight of its tokens."""
    measured = [(segment.statistics, segment.semantic_tokens) for segment in clip.segments if segment.statistics]
    if not measured:
        return ""
    total = sum(n for _, n in measured)
    entropy = sum(own.entropy * n for own, n in measured) / total
    perplexity = math.exp(sum(math.log(own.perplexity) * n for own, n in measured) / total)
    return f"-entropy-{entropy:.2f}-perplexity-{perplexity:.1f}"


def _manifest(options: Options, engine: Engine, clip: Clip) -> dict[str, object]:
    return {
        "text": clip.plan.text,
        "model": engine.name,
        "stages": engine.describe_stages(),
        "voice": _describe_voice(options.history_prompt or options.audio_file_as_history_prompt, clip.starting_voice),
        "spoken_voice": _describe_voice(options.bark_speaker_as_the_prompt, clip.spoken_voice),
        "seed": clip.plan.seed,
        "prompt": clip.plan.prompt_index,
        "take": clip.plan.take,
        "settings": recorded_settings(options),
        "audio_format": options.output_format,
        "sample_rate": engine.spec.sample_rate,
        "seconds": round(clip.seconds, 6),
        "seconds_taken": round(clip.seconds_taken, 3),
        "segments": [_segment(*both) for both in zip(clip.plan.segments, clip.segments, strict=True)],
        "audio_sha256": clip.audio_sha256,
        "versions": versions(),
        "machine": machine(),
    }


def _describe_voice(name: str | None, voice: Voice | None) -> Mapping[str, str | None] | None:
    """The name of a given voice and the digest by which it is recognised."""
    return None if voice is None else {"name": name, "sha256": voice.digest()}


def _segment(plan: SegmentPlan, made: SegmentRecord) -> Mapping[str, object]:
    """What the manifest says of a segment."""
    return {
        "text": plan.text,
        "seeds": made.kept.seeds.given(),
        **({} if made.kept.faults is None else {"faults": dict(made.kept.faults)}),
        **({"tries": [one.content() for one in made.tries]} if len(made.tries) > 1 else {}),
        "start": seconds(made.span.start),
        "end": seconds(made.span.stop),
        "pause": dataclasses.asdict(plan.pause),
        "semantic_tokens": made.semantic_tokens,
        "frames": made.frames,
        "ids_cut": made.cut_ids,
        **({} if made.statistics is None else dataclasses.asdict(made.statistics)),
        "history": made.history_sizes._asdict(),
        "seconds_taken": {stage: round(taken, 3) for stage, taken in made.seconds_taken.items()},
    }
