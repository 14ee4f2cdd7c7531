"""The files of one finished clip: audio, voice, manifest, and the tokens of its segments."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from . import audio
from .bark import Bark
from .errors import OutputError
from .files import write_whole
from .long_form import Clip
from .manifest import seconds, versions, write_manifest
from .options import Options
from .planning import RESULT_SUFFIXES, numbered

_IN_TITLE = ("text_prompt", "prompt_file")
_TAG_BYTES = 1500  # libsndfile drops all tags of a WAV that are longer than 2 KB together


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
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"--output_dir {folder} cannot be created ({error.strerror}); choose another folder"
        ) from None
    for stem in numbered(clip.plan.stem):
        if not any(os.path.exists(folder / f"{stem}{suffix}") for suffix in RESULT_SUFFIXES):
            with contextlib.suppress(FileExistsError):  # another run was faster
                return _write_files(clip, folder / stem, options, bark)


def _write_files(clip: Clip, stem: Path, options: Options, bark: Bark) -> Path:
    tags = {"title": clip.plan.text.strip()[:200], "software": "Bark Infinity", "comment": _comment(clip, options)}
    writers: dict[str, Callable[[Path], None]] = {".wav": lambda path: audio.write_wav(path, clip.audio, tags)}
    if options.always_save_speaker and (voice := clip.voice):
        writers[".npz"] = lambda path: voice.save(path, overwrite=False)
    if len(clip.generations) > 1:
        writers[".segments.npz"] = lambda path: _save_segments(path, clip)
    writers[".json"] = lambda path: write_manifest(path, _manifest(clip, options, bark))
    written: list[Path] = []
    try:
        for suffix, write in writers.items():
            path = stem.with_name(f"{stem.name}{suffix}")
            write(path)
            written.append(path)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    return written[0]


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
    return f"seed {clip.plan.seed}; {settings}".encode()[:_TAG_BYTES].decode(errors="ignore")


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
        "seed": clip.plan.seed,
        "prompt": clip.plan.prompt_index,
        "take": clip.plan.take,
        "settings": options.changed(),
        "sample_rate": bark.spec.sample_rate,
        "seconds": round(clip.seconds, 6),
        "seconds_taken": round(clip.seconds_taken, 3),
        "segments": [_segment(clip, index) for index in range(len(clip.generations))],
        "versions": versions(),
    }


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
        "history": {
            "semantic_tokens": len(history.semantic),
            "coarse_frames": history.coarse.shape[1],
            "fine_frames": history.fine.shape[1],
        },
        "seconds_taken": {stage: round(taken, 3) for stage, taken in made.seconds_taken.items()},
    }
