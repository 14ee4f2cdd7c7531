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
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .. import constants as c
from ..audio import writing as audio
from ..bark import Bark
from ..errors import DeviceError, OutputError, VoiceError
from ..files import errors_naming, make_folder, safe_stem, to_disk
from ..options.table import Options, flags
from ..run.clips import ClipRecord, FailedClip, PlacedSegment, SegmentRecord
from ..run.journal import ClipJournal, RunJournal
from ..run.naming import RESULT_SUFFIXES, numbered
from ..run.planning import ClipPlan, SegmentPlan
from ..run.scheduler import LongForm
from ..voices.voice import Voice
from .descriptions import SOFTWARE, clip_tags, one_line_title, recorded_settings
from .manifest import machine, seconds, versions, write_manifest

_BESIDE_AUDIO = (".npz", ".segments.npz", ".segments", ".json")  # in the order in which they get their names
_SHAPES_FILES = (  # flags that the files of a clip depend on, beside those that its sound does
    "output_filename",
    "output_format",
    "output_format_ffmpeg_parameters",
    "always_save_speaker",
    "hoarder_mode",
    "extra_stats",
)


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


def write_sound(path: Path, samples: np.ndarray, tags: Mapping[str, str], options: Options) -> None:
    """An audio file of the kind that the options ask for. Raises OutputError, FileExistsError."""
    audio.write_audio(path, samples, tags, options.output_format, options.output_format_ffmpeg_parameters or "")


@dataclass(frozen=True, eq=False)
class SavedClip:
    """A clip whose files are there; `path` is that of the audio."""

    record: ClipRecord
    path: Path
    level: audio.Level

    @property
    def plan(self) -> ClipPlan:
        return self.record.plan


def clip_keys(options: Options, form: LongForm) -> Callable[[ClipPlan], str]:
    """What digests all that shapes the files of a clip: a run that goes on leaves out what is finished under the same."""
    kinds = {line.name: line.sound or line.name in _SHAPES_FILES for line in flags()}
    asked = {name: value for name, value in options.changed().items() if kinds[name]}
    voices = [voice and voice.digest() for voice in (form.voice, form.spoken)]
    of_run = [form.bark.identity, voices, sorted(asked.items())]

    def key(plan: ClipPlan) -> str:
        segments = [(s.text, dataclasses.astuple(s.seeds), s.pause.seconds) for s in plan.segments]
        content = [*of_run, plan.prompt_index, plan.take, segments]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    return key


def save_clips(
    form: LongForm, plans: Iterable[ClipPlan], folder: Path, options: Options
) -> Iterator[PlacedSegment | SavedClip | FailedClip]:
    """Make clips and write each while it is made: every segment as soon as it is written, and what became of each clip.

    A clip that cannot be written fails alone. Not asking for the next one ends the run; what is finished of it is in
    the run's journal, a new one unless `form` has one.
    """
    journal = form.journal
    if journal is None:
        form.journal = journal = RunJournal.start(folder, clip_keys(options, form), 0)
    under_way: dict[int, ClipFiles] = {}  # by the identity of their plans
    lost: dict[int, ClipPlan] = {}  # likewise, those that failed
    again, complete = False, False  # whether to go on with it some other time; whether it is done
    try:
        with contextlib.closing(form.in_order(plans, lambda plan: id(plan) not in lost)) as results:
            for made in results:
                key = id(made.plan)
                result = _write(made, under_way, folder, options, form)
                if not isinstance(result, PlacedSegment) and key in under_way:
                    under_way.pop(key).discard()
                if isinstance(result, SavedClip):
                    journal.finished(result.plan, result.path)
                if isinstance(result, FailedClip):
                    lost[key] = result.plan
                    journal.given_up(result.plan, for_good=not _may_pass(result))
                    again = again or _may_pass(result)
                yield result
        complete = not again
    finally:
        for files in under_way.values():
            files.discard()
        journal.close(complete)


def _may_pass(failed: FailedClip) -> bool:
    """Whether the same command may make the clip another time: there was no space, no memory."""
    return isinstance(failed.error, (OutputError, DeviceError))


def _write(
    made: PlacedSegment | ClipRecord | FailedClip,
    under_way: dict[int, ClipFiles],
    folder: Path,
    options: Options,
    form: LongForm,
) -> PlacedSegment | SavedClip | FailedClip:
    """Write what is made; it is told as it is, or as the clip that failed by it."""
    key = id(made.plan)
    try:
        if isinstance(made, PlacedSegment):
            if key not in under_way:
                seconds, journal = form.longest_seconds(made.plan), form.journal.clip(made.plan)
                under_way[key] = ClipFiles(made.plan, folder, options, seconds, journal)
            under_way[key].add(made)
        elif isinstance(made, ClipRecord):
            files = under_way[key]
            return SavedClip(made, files.finish(made, _manifest(made, options, form.bark)), files.level)
    except OutputError as error:
        return FailedClip(made.plan, error)
    return made


class ClipFiles:
    """The files of a clip under way: in its journal's folder until all are whole. All methods raise OutputError."""

    def __init__(self, plan: ClipPlan, folder: Path, options: Options, longest_seconds: float, journal: ClipJournal):
        """`longest_seconds`: what the clip will not outlast."""
        self._plan, self._folder, self._options, self._journal = plan, folder, options, journal
        self._path = folder / f"{plan.stem}.{options.output_format}"  # if it is still free then; named in errors
        self._tokens: zipfile.ZipFile | None = None
        self._open: list[BinaryIO] = []
        with contextlib.ExitStack() as stack, errors_naming(self._path):
            self._open.append(stack.enter_context(self._at(f".{options.output_format}").open("xb")))
            self._sound = audio.AudioEncoder(
                self._open[0],
                self._path,
                clip_tags(plan.text, plan.seed, options),
                options.output_format,
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

    @property
    def level(self) -> audio.Level:
        """How loud the sound is before it is clipped; complete once the clip is finished."""
        return self._sound.level

    def add(self, segment: PlacedSegment) -> None:
        """Write the next segment."""
        with errors_naming(self._path):
            self._sound.write(segment.sound)
            if self._tokens is not None:
                _add_tokens(self._tokens, segment.index, segment.generation.voice)
            if self._options.hoarder_mode and not segment.generation.silent:
                self._hoard_sound(segment)

    def finish(self, clip: ClipRecord, manifest: Mapping[str, object]) -> Path:
        """Give all files a name that is free; the audio's path. All of them or none."""
        options = self._options
        with errors_naming(self._path):
            self._sound.close()
            manifest = {**manifest, "peak": round(self.level.peak, 6), "clipped_samples": self.level.clipped}
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
            return self._name(clip)

    def discard(self) -> None:
        """Let go of what has no name yet. Raises nothing."""
        with contextlib.suppress(OSError, ValueError):  # what is still to be written, on a full disk
            self._resources.close()

    def _at(self, suffix: str) -> Path:
        return self._journal.work / f"{self._plan.stem}{suffix}"

    def _name(self, clip: ClipRecord) -> Path:
        whole = [suffix for suffix in (self._path.suffix, *_BESIDE_AUDIO) if self._at(suffix).exists()]
        for stem in numbered(clip.plan.stem + _statistics_in_name(clip)):
            if not any(os.path.exists(self._folder / f"{stem}{suffix}") for suffix in RESULT_SUFFIXES):
                with contextlib.suppress(FileExistsError):  # another run was faster
                    self._journal.name([(self._at(suffix), self._folder / f"{stem}{suffix}") for suffix in whole])
                    return self._folder / f"{stem}{whole[0]}"

    def _hoard_stem(self, index: int) -> Path:
        """For hoarders every segment is a clip of its own: audio, voice and parameters."""
        return self._at(".segments") / f"{index + 1:0{len(str(len(self._plan.segments)))}}"

    def _hoard_sound(self, segment: PlacedSegment) -> None:
        stem, made = self._hoard_stem(segment.index), segment.generation
        if voice := made.voice.aligned():
            voice.save(stem.with_suffix(".npz"), overwrite=False)
        tags = {"title": one_line_title(self._plan.segments[segment.index].text), "software": SOFTWARE}
        write_sound(stem.with_suffix(f".{self._options.output_format}"), made.audio, tags, self._options)

    def _hoard_manifests(self, manifest: Mapping[str, object]) -> None:
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


def _statistics_in_name(clip: ClipRecord) -> str:
    """For --extra_stats: of all segments, each with the weight of its tokens."""
    measured = [(segment.statistics, segment.semantic_tokens) for segment in clip.segments if segment.statistics]
    if not measured:
        return ""
    total = sum(n for _, n in measured)
    entropy = sum(own.entropy * n for own, n in measured) / total
    perplexity = math.exp(sum(math.log(own.perplexity) * n for own, n in measured) / total)
    return f"-entropy-{entropy:.2f}-perplexity-{perplexity:.1f}"


def _manifest(clip: ClipRecord, options: Options, bark: Bark) -> dict[str, object]:
    return {
        "text": clip.plan.text,
        "model": bark.name,
        "stages": {
            name: {
                "source": s.source,
                "dtype": str(s.placement.dtype).removeprefix("torch."),
                "device": s.placement.device.type,
            }
            for name, s in bark.stages.items()
        },
        "voice": _heard(options.history_prompt or options.audio_file_as_history_prompt, clip.starting_voice),
        "spoken_voice": _heard(options.bark_speaker_as_the_prompt, clip.spoken_voice),
        "seed": clip.plan.seed,
        "prompt": clip.plan.prompt_index,
        "take": clip.plan.take,
        "settings": recorded_settings(options),
        "sample_rate": bark.spec.sample_rate,
        "seconds": round(clip.seconds, 6),
        "seconds_taken": round(clip.seconds_taken, 3),
        "segments": [_segment(*both) for both in zip(clip.plan.segments, clip.segments, strict=True)],
        "audio_sha256": clip.audio_sha256,
        "versions": versions(),
        "machine": machine(),
    }


def _heard(name: str | None, voice: Voice | None) -> Mapping[str, str] | None:
    """Which voice was given, and how to know it again."""
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
        "history": made.heard._asdict(),
        "seconds_taken": {stage: round(taken, 3) for stage, taken in made.seconds_taken.items()},
    }
