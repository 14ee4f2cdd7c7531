"""Writes the files of a clip while it is generated: audio, voice, manifest, segment tokens, and --hoarder_mode's folder."""

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
from ..audio.tags import Tags
from ..errors import OutputError, VoiceError
from ..files import errors_naming, make_folder, safe_stem, to_disk, write_whole
from ..options.flag import Shapes
from ..options.table import Options, flags
from ..run.chapters import chapters_of_segments
from ..run.clips import Clip, FinishedSegment, MasteringProgress, SegmentRecord
from ..run.engine import Engine
from ..run.fleet_scheduler import make_scheduler
from ..run.joining import Joining
from ..run.journal import ClipJournal, KeptSegment, RunJournal
from ..run.naming import COVER_SUFFIXES, RESULT_SUFFIXES, audio_suffix, clip_stems, numbered, text_for_name
from ..run.planning import ClipPlan, SegmentPlan
from ..run.recipe import Recipe
from ..run.scheduler import Result, RunProgress, longest_seconds
from ..run.script_source import voices_in
from ..text.script import format_script
from ..text.subtitle_formats import SUBTITLE_SUFFIXES
from ..voices.voice import Voice
from .book import book_content
from .clip_chapters import chapter_titles, chapters_of, recorded_chapters
from .clip_tokens import member_name
from .descriptions import SOFTWARE, bare_name, clip_tags, clip_title, one_line_title, recorded_settings, voice_name
from .manifest import machine, seconds, versions, write_manifest
from .mastering import Master
from .sound_files import SoundFiles, SoundPlan, encoding_of, open_sound
from .subtitles import SubtitleFiles

_BESIDE_AUDIO = (
    *SUBTITLE_SUFFIXES.values(),
    ".npz",
    ".segments.npz",
    ".segments",
    *COVER_SUFFIXES,
    ".json",
)  # in the order in which they are renamed
_STARTING_VOICE = ("history_prompt", "audio_file_as_history_prompt")  # settings that name it
_SPOKEN_VOICE = "bark_speaker_as_the_prompt"
TAKE_CONTENT = ("seeds", "take", "faults", "heard", "word_errors", "trimmed")
"""The names in a segment's entry of a manifest that tell of the take that is in the clip."""


def check_output_folder(name: str) -> Path:
    """The output folder, after a check that files can be created in it. Does not create it yet. Raises OutputError."""
    folder = Path(name)
    existing = folder.absolute()
    while not os.path.exists(existing) and existing != existing.parent:
        existing = existing.parent
    try:
        with contextlib.suppress(FileNotFoundError):
            os.stat(folder)  # raises for a name that no folder can have
        with tempfile.TemporaryFile(dir=existing):
            return folder
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(
            f"the folder {name} cannot be written to ({reason}); choose another with --output_dir or --output_filename"
        ) from None


def save_voice(voice: Voice, folder: Path, name: str) -> Path:
    """Save a voice as `<name>.npz`, or under the next free name, unless the same voice is already there. Returns the path."""
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
    """Write an audio file in the format of resolved options. Raises OutputError, FileExistsError."""
    audio.write_audio(path, samples, tags, options.audio_format, options.output_format_ffmpeg_parameters or "")


def clip_keys(options: Options, recipe: Recipe) -> Callable[[ClipPlan], str]:
    """A function that digests everything the files of a clip depend on; the journal finds finished clips by this key."""
    kinds = {line.name: line.sound or line.shapes is Shapes.FILES for line in flags()}
    asked = {name: value for name, value in options.changed().items() if kinds[name]}
    voices = [voice and voice.digest() for voice in (recipe.voice, recipe.spoken)]
    folder = Path(options.output_dir)
    of_run: list[object] = [recipe.engine.identity, voices, sorted(asked.items())]
    if recipe.voices:
        of_run.append({name: voice.digest() for name, voice in sorted(recipe.voices.items())})

    def key(plan: ClipPlan) -> str:
        segments = [
            (
                s.text,
                dataclasses.astuple(s.seeds),
                s.pause.seconds,
                *_own_settings(s).values(),
                *(value for value in _script_of(s).values() if value),
                *([] if s.start_at is None else [{"start_at": s.start_at}]),
            )
            for s in plan.segments
        ]
        pauses = (plan.lead, *(segment.pause for segment in plan.segments))
        gaps = [pause.content(folder) for pause in pauses if pause.ends_clip and pause.total_seconds]
        content = [*of_run, plan.prompt_index, plan.take, segments, *gaps, *filter(None, [book_content(plan)])]
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
    """Generate clips and write their files meanwhile. Yields what `Scheduler.run` yields, each segment after it is written.

    Closing the generator ends the run; finished segments stay in `journal` (None: a new one). `known`: segments that
    are not generated again, by index.
    """
    run = journal or RunJournal.start(folder, clip_keys(options, recipe), 0)

    def open_writer(plan: ClipPlan) -> ClipFiles:
        longest = longest_seconds(plan, recipe)
        manifest_of = partial(_manifest, options, recipe.engine)
        return ClipFiles(plan, folder, options, longest, run.clip(plan), manifest_of, scheduler.report_mastering)

    scheduler = make_scheduler(recipe, options.batch_size, run, known, open_writer, progress)
    yield from scheduler.run(plans)


def write_clip(clip: Clip, segments: Iterable[FinishedSegment], engine: Engine, options: Options) -> Path:
    """Write the files of a clip whose segments are all in memory. Returns the path of the audio.

    `options`: resolved ones, which name the files. Raises OutputError.
    """
    folder = check_output_folder(options.output_dir)
    (stem,) = clip_stems([(text_for_name(clip.plan.text, clip.plan.script), 0, 0, clip.plan.seed)], 1, options)
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
    """A `ClipWriter` that keeps all files in the journal's folder of the clip until they are complete."""

    def __init__(
        self,
        plan: ClipPlan,
        folder: Path,
        options: Options,
        longest_seconds: float,
        journal: ClipJournal,
        manifest_of: Callable[[Clip], Mapping[str, Any]],
        report: Callable[[MasteringProgress], None] = lambda _: None,
    ):
        """`longest_seconds`: an upper bound of the clip's length. `manifest_of`: returns the manifest of the finished clip.

        `report` is called while the loudness of the finished clip is set.
        """
        self._plan, self._folder, self._options, self._journal = plan, folder, options, journal
        self._manifest_of = manifest_of
        self._subtitles = SubtitleFiles(plan, options)
        self._path = folder / (
            plan.stem + audio_suffix(options)
        )  # unless that is taken at the end; also named in errors
        self._chapters = chapters_of_segments(plan.segments)
        self._n_joined = 0  # samples at 24 kHz
        joining = Joining.from_options(options)
        self._chapter_head = round(joining.head_seconds * c.SAMPLE_RATE) if joining.around_chapters else 0
        self._tokens: zipfile.ZipFile | None = None
        self._tokens_file: BinaryIO | None = None
        with contextlib.ExitStack() as stack, errors_naming(self._path):
            self._files = open_clip_sound(plan, self._path, self._at(""), options, longest_seconds)
            stack.callback(self._files.discard)
            self._sound = Master(self._files, options, self._at(".unmastered"), report)
            stack.callback(self._sound.discard)
            if len(plan.segments) > 1 or options.keep_takes:
                self._tokens_file = stack.enter_context(self._at(".segments.npz").open("xb"))
                self._tokens = stack.enter_context(zipfile.ZipFile(self._tokens_file, "w", zipfile.ZIP_DEFLATED))
            if options.hoarder_mode:
                self._at(".segments").mkdir()
            self._resources = stack.pop_all()

    def add(self, segment: FinishedSegment) -> None:
        """Write the next segment."""
        with errors_naming(self._path):
            self._write_sound(segment)
            self._subtitles.add(segment)
            if self._tokens is not None:
                _add_tokens(self._tokens, segment)
            if self._options.hoarder_mode and not segment.generation.silent:
                self._hoard_sound(segment)

    def finish(self, clip: Clip) -> Clip:
        """Complete all files and move them to free names, all or none. Returns the clip with its audio's path and level."""
        options = self._options
        with errors_naming(self._path):
            self._sound.close(chapters_of(clip, clip_title(clip.plan)))
            level = self._sound.level
            clipping = {"peak": round(level.peak, 6), "clipped_samples": level.clipped}
            if self._sound.changes:
                clip = dataclasses.replace(clip, audio_sha256=self._sound.sha256, notes=tuple(self._sound.notes))
            timing = {} if (late := clip.lateness) is None else {"timing": late.content()}
            written = {**self._sound.content(clip.filters), **timing, **self._subtitles.write(self._at)}
            manifest = {**self._manifest_of(clip), **clipping, **written}
            if self._tokens is not None and self._tokens_file is not None:
                self._tokens.close()
                to_disk(self._tokens_file)
                self._tokens_file.close()
            if (cover := self._plan.cover) is not None:
                write_whole(self._at(cover.suffix), lambda file: file.write(cover.image), overwrite=False)
            if options.always_save_speaker and clip.voice:
                clip.voice.save(self._at(".npz"), overwrite=False)
            if options.hoarder_mode:
                self._hoard_manifests(manifest)
            write_manifest(self._at(".json"), manifest)
            return dataclasses.replace(clip, path=self._name(clip), level=level)

    def discard(self) -> None:
        """Close the files that do not have their final names yet; the journal removes them. Raises nothing."""
        with contextlib.suppress(OSError, ValueError):  # flushing fails on a full disk
            self._resources.close()

    def _at(self, suffix: str) -> Path:
        """The path of one of the clip's files before it gets its final name."""
        return self._journal.work / f"{self._plan.stem}{suffix}"

    def _write_sound(self, segment: FinishedSegment) -> None:
        """Write the sound of a segment: the gap before it belongs to the chapter of the segment before.

        Where chapters have silence around them, its last part belongs to the chapter that begins.
        """
        before, chapter = self._chapters[max(0, segment.index - 1)], self._chapters[segment.index]
        gap = segment.record.span.start - self._n_joined if segment.index else 0
        if chapter != before:
            gap = max(0, gap - self._chapter_head)
        if gap:
            self._sound.write(segment.sound[:gap], before)
        self._sound.write(segment.sound[gap:], chapter)
        self._n_joined += len(segment.sound)

    def _name(self, clip: Clip) -> Path:
        """Move all files to the first free name. Returns the path of the audio."""
        written = (*self._files.suffixes, *_BESIDE_AUDIO)
        for stem in numbered(clip.plan.stem + _statistics_in_name(clip)):
            if not any(os.path.exists(self._folder / f"{stem}{suffix}") for suffix in RESULT_SUFFIXES):
                self._files.use_name(stem)
                suffixes = [suffix for suffix in written if self._at(suffix).exists()]
                with contextlib.suppress(FileExistsError):  # another run has just taken the name
                    self._journal.name([(self._at(suffix), self._folder / f"{stem}{suffix}") for suffix in suffixes])
                    return self._folder / f"{stem}{suffixes[0]}"
        raise AssertionError("there is always another name")

    def _hoard_stem(self, index: int) -> Path:
        """The path, without suffix, of a segment's own files under --hoarder_mode: audio, voice and manifest."""
        return self._at(".segments") / f"{index + 1:0{len(str(len(self._plan.segments)))}}"

    def _hoard_sound(self, segment: FinishedSegment) -> None:
        stem, generation = self._hoard_stem(segment.index), segment.generation
        if voice := generation.voice.aligned():
            voice.save(stem.with_suffix(".npz"), overwrite=False)
        tags = {"title": one_line_title(self._plan.segments[segment.index].text), "software": SOFTWARE}
        write_sound(stem.with_suffix(f".{self._options.output_format}"), generation.audio, tags, self._options)

    def _hoard_manifests(self, manifest: Mapping[str, Any]) -> None:
        # without the clip's text and segments: else every segment's file would hold the whole book
        of_book = ("text", "script", "chapters", "segments", "settings")
        clip = {name: value for name, value in manifest.items() if name not in of_book}
        settings = {name: value for name, value in manifest["settings"].items() if name != "text_prompt"}
        for index, segment in enumerate(manifest["segments"]):
            content = {
                "segment": index + 1,
                **segment,
                "settings": settings | segment.get("settings", {}) | segment.get("own_settings", {}),
                "clip": clip,
            }
            write_manifest(self._hoard_stem(index).with_suffix(".json"), content)


def open_clip_sound(plan: ClipPlan, path: Path, base: Path, options: Options, longest_seconds: float) -> SoundFiles:
    """Open the files for the sound of a clip. `path`: the final path; `base`: the path until then, without suffix."""
    texts = clip_tags(plan, options)
    has_chapters = any(segment.chapter is not None for segment in plan.segments)
    titles = chapter_titles(plan, clip_title(plan)) if has_chapters or options.chapter_files else ()
    encoding = encoding_of(options)
    around = Joining.from_options(options).most_silence_around(plan)
    longest = round((longest_seconds + around) * encoding.sample_rate)
    tags = Tags(texts, None if plan.cover is None else plan.cover.image, tuple(titles))
    return open_sound(base, SoundPlan(path, encoding, tags, longest), options.chapter_files)


def _add_tokens(archive: zipfile.ZipFile, segment: FinishedSegment) -> None:
    """Append the tokens of a segment and of its other takes to an open `.npz`; `member_name` has the arrays' names."""
    takes: list[tuple[int | None, Voice]] = [(None, segment.generation.voice), *segment.other_takes.items()]
    for take, voice in takes:
        for name, tokens in voice.prompts().items():
            with archive.open(member_name(name, segment.index, take), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, tokens, allow_pickle=False)


def _statistics_in_name(clip: Clip) -> str:
    """For --extra_stats: mean entropy and perplexity over all tokens of the clip, as a part of its name."""
    measured = [(segment.statistics, segment.semantic_tokens) for segment in clip.segments if segment.statistics]
    if not measured:
        return ""
    total = sum(n for _, n in measured)
    entropy = sum(statistics.entropy * n for statistics, n in measured) / total
    perplexity = math.exp(sum(math.log(statistics.perplexity) * n for statistics, n in measured) / total)
    return f"-entropy-{entropy:.2f}-perplexity-{perplexity:.1f}"


def _manifest(options: Options, engine: Engine, clip: Clip) -> dict[str, object]:
    """The manifest of a finished clip."""
    folder = Path(options.output_dir)
    return {
        "text": clip.plan.text,
        "model": engine.name,
        "stages": engine.describe_stages(),
        "voice": _describe_voice(voice_name(options, *_STARTING_VOICE), clip.starting_voice),
        "spoken_voice": _describe_voice(voice_name(options, _SPOKEN_VOICE), clip.spoken_voice),
        "seed": clip.plan.seed,
        "prompt": clip.plan.prompt_index,
        "take": clip.plan.take,
        "settings": recorded_settings(options),
        "audio_format": options.output_format,
        "sample_rate": options.sample_rate,
        "seconds": round(clip.seconds, 6),
        "seconds_taken": round(clip.seconds_taken, 3),
        **_script_of_clip(clip, folder),
        **described_book(clip),
        "segments": [_segment(*pair, folder) for pair in zip(clip.plan.segments, clip.segments, strict=True)],
        "audio_sha256": clip.audio_sha256,
        "versions": versions(),
        "machine": machine(),
    }


def described_book(clip: Clip) -> Mapping[str, object]:
    """What a manifest has of the book and the chapters of a clip."""
    chapters, book = recorded_chapters(chapters_of(clip, clip_title(clip.plan))), book_content(clip.plan)
    return ({"book": book} if book else {}) | ({"chapters": chapters} if chapters else {})


def _describe_voice(name: str | None, voice: Voice | None) -> Mapping[str, str | None] | None:
    """Bare name (its path is among the settings) and digest of a given voice; None without one."""
    return None if voice is None else {"name": name, "sha256": voice.digest()}


def _segment(plan: SegmentPlan, record: SegmentRecord, folder: Path) -> Mapping[str, object]:
    """The entry of a segment in the manifest, which lies in `folder`."""
    return {
        "text": plan.text,
        **take_content(record),
        **({"tries": [one.content() for one in record.tries]} if len(record.tries) > 1 else {}),
        "start": seconds(record.span.start),
        "end": seconds(record.span.stop),
        "pause": plan.pause.content(folder),
        **_own_settings(plan),
        **{name: value for name, value in _script_of(plan).items() if value},
        **({} if plan.start_at is None else {"start_at": plan.start_at}),
        "semantic_tokens": record.semantic_tokens,
        "frames": record.frames,
        "ids_cut": record.cut_ids,
        **({} if record.statistics is None else dataclasses.asdict(record.statistics)),
        "history": record.history_sizes._asdict(),
        "seconds_taken": {stage: round(taken, 3) for stage, taken in record.seconds_taken.items()},
        **({} if record.worker is None else {"worker": record.worker}),
    }


def take_content(record: SegmentRecord) -> Mapping[str, object]:
    """What the entry of a segment in the manifest tells of the take that is in the clip."""
    kept = record.kept
    return {
        "seeds": kept.seeds.given(),
        **({"take": record.chosen + 1} if len(record.tries) > 1 else {}),
        **({} if kept.faults is None else {"faults": dict(kept.faults)}),
        **kept.hearing_content(),
    }


def _script_of_clip(clip: Clip, folder: Path) -> Mapping[str, object]:
    """What a manifest has of a clip's script: its text with cast and pronunciations, the cast's voices, and the first gap."""
    if clip.plan.script is None:
        return {}
    voices = {
        speaker: _describe_voice(None if named.voice is None else bare_name(named.voice), clip.voices.get(speaker))
        for speaker, named in voices_in(clip.plan.script).items()
    }
    script = {"script": format_script(clip.plan.script), "cast": voices}
    return script | ({"lead": clip.plan.lead.content(folder)} if clip.plan.lead.total_seconds else {})


def _script_of(plan: SegmentPlan) -> Mapping[str, object]:
    """What a manifest has of the script of a segment; values that are not there are empty."""
    return {"speaker": plan.speaker, "written": plan.written, "chapter": plan.chapter, "own_settings": dict(plan.own)}


def _own_settings(plan: SegmentPlan) -> dict[str, dict[str, object]]:
    """`settings` of a segment that has its own without a script, as a manifest's: flags that differ from their defaults."""
    if plan.settings is None or plan.own:
        return {}
    default = Options()
    values = plan.settings.flag_values().items()
    return {"settings": {name: value for name, value in values if value != getattr(default, name)}}
