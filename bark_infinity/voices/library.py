"""Voices found by name: in folders on this machine, or among Bark's published presets."""

from __future__ import annotations

import contextlib
import difflib
import functools
import json
import os
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import constants as c
from ..audio.formats import FORMATS, UNSUPPORTED_FORMATS
from ..errors import VoiceError
from ..files import PARTIAL_SUFFIX, read_bounded
from ..options.table import Options
from .compatibility import PUBLISHED_MODELS, models_of
from .npz import BoundedFile, open_member, open_voice_file, read_npy_header

DEMO_VOICES = Path(__file__).parents[1] / "assets" / "demo" / "voices"  # a part of the package
_SHOWN_IDS = 4_096  # semantic tokens that are read to tell which models a voice suits
_MAX_MANIFEST_BYTES = 20_000_000  # a manifest of a day of speech has less
_MOST_REMEMBERED = 65_536  # voice files whose length is not read again
_MAX_NAME_LENGTH = 100  # characters of a model's name, which a stranger's manifest may have made up

HUB_PRESETS = ("announcer",) + tuple(
    f"{folder}{language}_speaker_{i}" for folder in ("v2/", "") for language in c.LANGUAGES for i in range(10)
)


def voice_folders(output_dir: str | Path, voice_dir: str | Path = Options.voice_dir) -> tuple[Path, ...]:
    """The folders where voices are looked up by name, in order."""
    return Path(voice_dir), Path("prompts"), Path("custom_speakers"), Path(output_dir), DEMO_VOICES


def is_recording(name: str) -> bool:
    """True for a name with the ending of an audio file."""
    return Path(name).suffix.lower().removeprefix(".") in (*FORMATS, *UNSUPPORTED_FORMATS)


def recordings_in(folder: Path) -> tuple[Path, ...]:
    """The audio files directly in a folder, in the order of their names; none if there is no such folder."""
    try:
        names = sorted(os.listdir(folder))
    except (OSError, ValueError):  # no folder, or no possible name of one
        return ()
    return tuple(folder / name for name in names if not name.startswith(".") and is_recording(name))


def voice_in(folder: Path) -> Path | None:
    """The voice of a folder `NAME`, as in --voice_dir: `NAME.npz`, or the only voice file where there is no recording."""
    own = folder / f"{folder.name}.npz"
    if own.is_file():
        return own
    others = [path for path in folder.glob("*.npz") if not path.name.endswith(".segments.npz")]
    return others[0] if len(others) == 1 and not recordings_in(folder) else None


def find_voice(name: str, folders: Sequence[Path]) -> Path | None:
    """The file of a voice given as a path or a name; None for the name of a hub preset.

    Raises VoiceError, suggesting similar names, if there is no such voice.
    """
    wanted = Path(os.path.expanduser(name))
    if is_recording(name):
        raise VoiceError(
            f"{name} is a recording and no voice file; clone its voice with --audio_file_as_history_prompt {name}"
        )
    if name and (found := _first_voice([wanted, *_places(name, folders)])) is not None:
        return found
    if name.removesuffix(".npz") in HUB_PRESETS:
        return None
    for folder in folders:
        if name and recordings_in(folder / name):
            raise VoiceError(
                f"the voice {name} has recordings in {folder / name} that are not cloned yet; speak with it once on the "
                "command line or by narrate, which clone it"
            )
    if wanted.is_absolute() or (wanted.parent != Path(".") and wanted.suffix == ".npz"):
        raise VoiceError(f"there is no voice file {name}; give a path that exists or a name of --list_speakers")
    known = sorted({*HUB_PRESETS, *(v.name for v in list_voices(folders))})
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"did you mean {', '.join(near)}?" if near else "--list_speakers shows those there are"
    places = ", ".join(str(folder) for folder in folders if folder != DEMO_VOICES)
    raise VoiceError(f"there is no voice '{name}' in {places} or among Bark's presets; {hint}")


def find_in(folders: Sequence[Path], name: str) -> Path | None:
    """The file of the voice that one of these folders has under a name, which is below the folder; None without one."""
    return _first_voice(_places(name, folders)) if name else None


def _places(name: str, folders: Sequence[Path]) -> list[Path]:
    return [folder / n for folder in folders for n in (name, f"{name}.npz")]


def _first_voice(candidates: Iterable[Path]) -> Path | None:
    """The first of them that is a file, or the voice of the first folder that has one."""
    for candidate in candidates:
        with contextlib.suppress(OSError, ValueError):  # the name is not possible as a file's
            if candidate.is_file():
                return candidate
            if candidate.is_dir() and (own := voice_in(candidate)):
                return own
    return None


@dataclass(frozen=True)
class FoundVoice:
    """One line of --list_speakers; `seconds` is None for a file that is no voice, and before a recording is cloned.

    `models`: names of the models that it suits, empty where neither its tokens nor a manifest beside it show it.
    `cloned`: False for recordings in --voice_dir that would be cloned when the voice is used; `path` is their folder.
    """

    name: str
    path: Path
    seconds: float | None
    models: str = ""
    cloned: bool = True

    @property
    def language(self) -> str:
        """Language code from the usual form of the name (`v2/en_speaker_6`), or an empty string."""
        if self.path.parent == DEMO_VOICES:
            return "en"
        return language_of_voice(self.name) or ""


def language_of_voice(name: str) -> str | None:
    """The language code in the usual form of a voice's name or path (`v2/en_speaker_6`)."""
    code = Path(name).name.split("_")[0]
    return code if code in c.LANGUAGES else None


def voice_files(folder: Path) -> list[Path]:
    """All voice files (`.npz`) below a folder, in order; tokens of clips, hidden files and unfinished clips are left out."""
    found = (path for path in sorted(folder.rglob("*.npz")) if not path.name.endswith(".segments.npz"))
    return [path for path in found if not any(map(_is_skipped, path.relative_to(folder).parts))]


def _is_skipped(name: str) -> bool:
    """True for a file or folder that is hidden or belongs to an unfinished clip."""
    return name.startswith(".") or name.endswith(PARTIAL_SUFFIX)


def list_voices(folders: Sequence[Path], voice_dir: Path | None = None) -> list[FoundVoice]:
    """All voices below these folders, sorted by language and name; only the start of a file is read, once until it changes.

    `voice_dir`: that among the folders whose recordings are listed as well.
    """
    found: dict[str, FoundVoice] = {}
    for folder in folders:
        for path in voice_files(folder):
            below = path.relative_to(folder).with_suffix("")
            name = (below.parent if below.name == below.parent.name else below).as_posix()
            if name not in found:
                found[name] = FoundVoice(name, path, *_seconds_and_models(path))
        if folder == voice_dir:
            for own in sorted(path for path in folder.glob("[!.]*") if recordings_in(path)):
                found.setdefault(own.name, FoundVoice(own.name, own, None, PUBLISHED_MODELS, cloned=False))
    return sorted(found.values(), key=lambda voice: (voice.language, voice.name))


def _seconds_and_models(path: Path) -> tuple[float | None, str]:
    """Length of a voice file in seconds (None if it is not one), and the models that it suits; read once until it changes."""
    return _read_once(path.absolute(), _version(path), _version(path.with_suffix(".json")))


def _version(path: Path) -> tuple[int, int] | None:
    """What differs once a file has changed; None if there is no such file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


@functools.lru_cache(maxsize=_MOST_REMEMBERED)
def _read_once(
    path: Path, version: tuple[int, int] | None, manifest: tuple[int, int] | None
) -> tuple[float | None, str]:
    """As `_seconds_and_models`, of these versions of the voice and of the manifest beside it."""
    try:
        with open_voice_file(path) as voice, zipfile.ZipFile(BoundedFile(voice)) as archive:
            with open_member(archive, "fine_prompt.npy") as file:
                shape, _ = read_npy_header(file)
            with open_member(archive, "semantic_prompt.npy") as file:
                _, dtype = read_npy_header(file)
                data = file.read(_SHOWN_IDS * dtype.itemsize)
        ids = np.frombuffer(data[: len(data) // dtype.itemsize * dtype.itemsize], dtype)
        return shape[-1] / c.FRAME_RATE_HZ, models_of(ids) or _models_of_manifest(path)
    except Exception:  # as in `read_npz`
        return None, ""


def _models_of_manifest(path: Path) -> str:
    """The models that suit the voice of a clip or of one of its segments, by the manifest beside it; "" if it tells none."""
    manifest = path.with_suffix(".json")
    try:
        if not manifest.is_file():
            return ""
        content = json.loads(read_bounded(manifest, _MAX_MANIFEST_BYTES))
        model = content["clip"]["model"] if "clip" in content else content["model"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return ""  # it is no manifest
    if not isinstance(model, str) or len(model) > _MAX_NAME_LENGTH or not model.isprintable():
        return ""
    return PUBLISHED_MODELS if model in PUBLISHED_MODELS.split(", ") else model
