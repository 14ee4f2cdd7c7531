"""The files of one finished clip: audio, voice, manifest, the tokens of its segments, and for hoarders a folder of them."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from . import audio
from .bark import Bark, Generation
from .errors import OutputError, VoiceError
from .files import safe_stem, write_whole
from .long_form import Clip
from .manifest import machine, seconds, versions, write_manifest
from .naming import RESULT_SUFFIXES, numbered
from .options import Options
from .voice import Voice

_IN_TITLE = ("text_prompt", "prompt_file")
_TAG_BYTES = 1500  # libsndfile does not read a WAV's tag of 2 KB


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
        raise OutputError(f"--output_dir {name} cannot be written to ({reason}); choose another folder") from None


def save_clip(clip: Clip, folder: Path, options: Options, bark: Bark) -> Path:
    """Write all files of a clip under a name that is free, and return the audio's path. All of them or none.

    Raises OutputError.
    """
    _make_folder(folder)
    for stem in numbered(clip.plan.stem + _statistics_in_name(clip)):
        if not any(os.path.exists(folder / f"{stem}{suffix}") for suffix in RESULT_SUFFIXES):
            with contextlib.suppress(FileExistsError):  # another run was faster
                return _write_files(clip, folder / stem, options, bark)


def save_voice(voice: Voice, folder: Path, name: str) -> Path:
    """Save a voice as `<name>.npz`, or under the next free name; one that is there already is not saved twice."""
    _make_folder(folder)
    for stem in numbered(safe_stem(name)):
        path = folder / f"{stem}.npz"
        with contextlib.suppress(FileExistsError):
            voice.save(path, overwrite=False)
            return path
        with contextlib.suppress(VoiceError):
            if Voice.load(path).digest() == voice.digest():
                return path


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"--output_dir {folder} cannot be created ({error.strerror}); choose another folder"
        ) from None


def write_sound(path: Path, samples: np.ndarray, tags: Mapping[str, str], options: Options) -> None:
    """An audio file of the kind that the options ask for. Raises OutputError, FileExistsError."""
    audio.write_audio(path, samples, tags, options.output_format, options.output_format_ffmpeg_parameters or "")


def _statistics_in_name(clip: Clip) -> str:
    """For --extra_stats: of all segments, each with the weight of its tokens."""
    measured = [(made.statistics, len(made.voice.semantic)) for made in clip.generations if made.statistics]
    if not measured:
        return ""
    total = sum(n for _, n in measured)
    entropy = sum(own.entropy * n for own, n in measured) / total
    perplexity = math.exp(sum(math.log(own.perplexity) * n for own, n in measured) / total)
    return f"-entropy-{entropy:.2f}-perplexity-{perplexity:.1f}"


def _write_files(clip: Clip, stem: Path, options: Options, bark: Bark) -> Path:
    tags = {"title": clip.plan.text.strip()[:200], "software": "Bark Infinity", "comment": _comment(clip, options)}
    manifest = _manifest(clip, options, bark)
    writers: dict[str, Callable[[Path], None]] = {
        f".{options.output_format}": lambda path: write_sound(path, clip.audio, tags, options)
    }
    if options.always_save_speaker and (voice := clip.voice):
        writers[".npz"] = lambda path: voice.save(path, overwrite=False)
    if len(clip.generations) > 1:
        writers[".segments.npz"] = lambda path: _save_segments(path, clip)
    if options.hoarder_mode:
        writers[".segments"] = lambda path: _hoard(path, clip, options, manifest)
    writers[".json"] = lambda path: write_manifest(path, manifest)
    written: list[Path] = []
    try:
        for suffix, write in writers.items():
            path = stem.with_name(f"{stem.name}{suffix}")
            write(path)
            written.append(path)
    except BaseException:
        for path in written:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        raise
    return written[0]


def _hoard(folder: Path, clip: Clip, options: Options, manifest: Mapping[str, object]) -> None:
    """A folder with every segment as a clip of its own: audio, voice and parameters. It appears whole or not at all."""
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as temporary:
            parts = Path(temporary) / "parts"
            parts.mkdir()
            for index, made in enumerate(clip.generations):
                _hoard_segment(
                    parts / f"{index + 1:0{len(str(len(clip.generations)))}}", index, made, options, manifest
                )
            if folder.exists():
                raise FileExistsError(folder)
            parts.rename(folder)
    except FileExistsError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write {folder} ({error.strerror}); free space or choose another folder") from None


def _hoard_segment(stem: Path, index: int, made: Generation, options: Options, manifest: Mapping[str, object]) -> None:
    segment = manifest["segments"][index]
    # of the clip neither text nor segments: every segment would tell the whole book
    clip = {name: value for name, value in manifest.items() if name not in ("text", "segments", "settings")}
    settings = {name: value for name, value in manifest["settings"].items() if name != "text_prompt"}
    write_manifest(stem.with_suffix(".json"), {"segment": index + 1, **segment, "settings": settings, "clip": clip})
    if not made.silent:
        if voice := made.voice.aligned():
            voice.save(stem.with_suffix(".npz"), overwrite=False)
        tags = {"title": segment["text"][:200], "software": "Bark Infinity"}
        write_sound(stem.with_suffix(f".{options.output_format}"), made.audio, tags, options)


def _save_segments(path: Path, clip: Clip) -> None:
    """All tokens of all segments, as `<array of a voice file>_<segment>`."""
    arrays = {
        f"{name}_{k}": tokens
        for k, made in enumerate(clip.generations)
        for name, tokens in made.voice.prompts().items()
    }
    write_whole(path, lambda file: np.savez_compressed(file, **arrays), overwrite=False)


def _comment(clip: Clip, options: Options) -> str:
    settings = " ".join(f"--{name} {value}" for name, value in options.changed().items() if name not in _IN_TITLE)
    return f"seed {clip.plan.seed}; {settings}".encode(errors="replace")[:_TAG_BYTES].decode(errors="ignore")


def _manifest(clip: Clip, options: Options, bark: Bark) -> dict[str, object]:
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
        "settings": options.changed(),
        "sample_rate": bark.spec.sample_rate,
        "seconds": round(clip.seconds, 6),
        "seconds_taken": round(clip.seconds_taken, 3),
        "segments": [_segment(clip, index) for index in range(len(clip.generations))],
        "audio_sha256": hashlib.sha256(clip.audio.astype("<f4").tobytes()).hexdigest(),
        "versions": versions(),
        "machine": machine(),
    }


def _heard(name: str | None, voice: Voice | None) -> Mapping[str, str] | None:
    """Which voice was given, and how to know it again."""
    return None if voice is None else {"name": name, "sha256": voice.digest()}


def _segment(clip: Clip, index: int) -> Mapping[str, object]:
    plan, made, span, history = (
        clip.plan.segments[index],
        clip.generations[index],
        clip.spans[index],
        clip.histories[index],
    )
    return {
        "text": plan.text,
        "seeds": {name: seed for name, seed in dataclasses.asdict(plan.seeds).items() if seed is not None},
        "start": seconds(span.start),
        "end": seconds(span.stop),
        "semantic_tokens": len(made.voice.semantic),
        "frames": made.voice.fine.shape[1],
        "ids_cut": made.cut_ids,
        **({} if made.statistics is None else dataclasses.asdict(made.statistics)),
        "history": {
            "semantic_tokens": len(history.semantic),
            "coarse_frames": history.coarse.shape[1],
            "fine_frames": history.fine.shape[1],
        },
        "seconds_taken": {stage: round(taken, 3) for stage, taken in made.seconds_taken.items()},
    }
