"""What follows from where a manifest lies: name and format of its clip, and the files of its voices.

A manifest may come from a stranger, so the only files opened because of it are those beside it, in the current folder
and in the usual voice folders.
"""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import os
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from ..audio.formats import FORMATS, KNOWN_ENDINGS
from ..errors import TextError, UsageError, VoiceError
from ..files import safe_stem
from ..options.layers import layered
from ..options.resolve import only_stitches
from ..options.table import Options
from ..run.pauses import GapSound, Pause
from ..run.script_source import NamedVoice, voices_in
from ..run.sounds import digest_of_sound, measure_sound
from ..voices.library import find_voice, voice_folders
from ..voices.voice import Voice
from .manifest import READS_FILE, Manifest, read_manifest, recorded_cast, recorded_digest

_VOICES = {
    "history_prompt": "voice",
    "bark_speaker_as_the_prompt": "spoken_voice",
}  # setting: key of its digest in the manifest


def with_manifest(settings: Mapping[str, object], path: str, has_folder: bool) -> dict[str, object]:
    """Settings completed by those of a manifest. `has_folder`: whether an --output_dir is asked for. Raises UsageError."""
    nearer = dict(settings)
    if not has_folder and nearer.get("output_dir") == Options.output_dir:  # as --print_config writes it
        del nearer["output_dir"]  # results go beside the manifest
    manifest = read_manifest(path)
    merged = layered(nearer, {**manifest.settings, **place_of_clip(path, manifest)})
    if not only_stitches(merged):  # which needs no voices
        merged |= usable_voices(path, manifest, nearer, merged)
    return merged


def place_of_clip(path: str, manifest: Manifest) -> dict[str, object]:
    """Settings that put a clip made again beside the original: the same folder, name and kind of audio files."""
    stem = Path(path).stem.lstrip("~") or "bark"
    name, _, ending = stem.rpartition(".")
    recorded = manifest.content.get("audio_format")
    in_chapters = manifest.content["settings"].get("chapter_files") is True
    existing = (ending for ending in FORMATS if Path(path).with_suffix(f".{ending}").exists())
    return {
        "output_dir": str(Path(path).parent),
        "output_filename": name if ending.lower() in KNOWN_ENDINGS else stem,
        "output_format": recorded if recorded in FORMATS else next(existing, None),
        **({"chapter_files": True} if in_chapters else {}),
    }


def usable_voices(
    path: str, manifest: Manifest, given: Container[str], settings: Mapping[str, object]
) -> dict[str, str]:
    """Name or path of each voice that the manifest names and the user has not `given`: {setting: name to look up}.

    Among files with the name, the one with the manifest's digest is preferred; for a cloned voice it is the file that was
    saved when it was cloned. Raises UsageError for a path outside the allowed folders, unless one of these has a file
    with that digest.
    """
    places = (str(settings.get("output_dir", ".")), str(settings.get("voice_dir", Options.voice_dir)))
    folders = (*voice_folders(*places), Path(path).parent)
    found: dict[str, str] = {}
    for setting, part in _VOICES.items():
        name = settings.get(setting)
        if not isinstance(name, str) or setting in given:
            continue
        usable = _usable_voice(name, recorded_digest(manifest.content, part), folders)
        if usable is None:
            shown = name if len(name) <= 300 else f"{name[:300]}..."
            raise UsageError(
                f"--from_manifest {path} names the voice {shown}, which lies outside the manifest's folder and is not "
                f"opened unasked; if you trust it, give it as --{setting} {shown}"
            )
        found[setting] = usable
    recording = manifest.content["settings"].get(READS_FILE)
    chosen = "history_prompt" in given or settings.get(READS_FILE) is not None
    if isinstance(recording, str) and not chosen:
        cloned = _cloned_voice(recording, recorded_digest(manifest.content, "voice"), Path(path).parent)
        found |= {} if cloned is None else {"history_prompt": str(cloned)}
    return found


def usable_cast(
    path: str, manifest: Manifest, given: Container[str], usual_folders: Sequence[Path]
) -> dict[str, NamedVoice]:
    """The voices of the speakers of a manifest's script that the user has not `given`, as `usable_voices` finds them.

    Raises UsageError.
    """
    folders = (*usual_folders, Path(path).parent)
    cast = recorded_cast(manifest.content)
    found: dict[str, NamedVoice] = {}
    for speaker, named in ({} if manifest.script is None else voices_in(manifest.script)).items():
        if speaker in given:
            continue
        usable = named.voice and _usable_voice(named.voice, recorded_digest(cast, speaker), folders)
        if usable is None and named.voice is not None:
            raise UsageError(
                f"--from_manifest {path} names the voice {named.voice[:300]} for {speaker}, which lies outside the "
                f"manifest's folder and is not opened unasked; if you trust it, give it as --cast {speaker}={named.voice}"
            )
        found[speaker] = NamedVoice(usable, named.where)
    return found


def speakers_with_other_voices(
    voices: Mapping[str, NamedVoice], manifest: Manifest, folders: Sequence[Path]
) -> set[str]:
    """The speakers whose voices are not those that the manifest has of them."""
    recorded = recorded_cast(manifest.content)
    return {
        speaker
        for speaker, (voice, _) in voices.items()
        if voice is not None and not _is_recorded(voice, recorded.get(speaker), folders)
    }


def _is_recorded(voice: str, entry: object, folders: Sequence[Path]) -> bool:
    """Whether a voice is the one in an entry of a manifest's cast: the same tokens, or the same preset."""
    with contextlib.suppress(VoiceError):
        path = find_voice(voice, folders)
        if path is not None:
            return _digest_of(path) == _digest_of_entry(entry)
    return isinstance(entry, dict) and entry.get("name") == voice


def usable_sounds(path: str, pause: Pause) -> Pause:
    """A gap of a manifest with the paths of its sounds. Raises UsageError for files that are not there or not the same."""
    sounds = (dataclasses.replace(sound, path=_usable_sound(path, sound)) for sound in pause.sounds)
    return dataclasses.replace(pause, sounds=tuple(sounds))


def find_recorded_sound(path: str, manifest: Manifest, file: str) -> GapSound:
    """The sound that the script of a manifest calls `file`. Raises TextError."""
    gaps = (manifest.lead, *(part.pause for part in manifest.parts))
    recorded = next((sound for gap in gaps for sound in gap.sounds if sound.file == file), None)
    if recorded is None:
        raise TextError(
            f"--from_manifest {path} does not know the sound {file[:300]}; give the script as --prompt_file"
        )
    try:
        return measure_sound(file, _usable_sound(path, recorded))
    except UsageError as error:
        raise TextError(str(error)) from None


def _usable_sound(path: str, sound: GapSound) -> Path:
    """The file of a sound, beside the manifest or where its path leads from there, below that folder or the current one."""
    folder = Path(path).parent
    below = [Path(), folder]
    for candidate in (folder / sound.path, folder / sound.path.name, Path(sound.path.name)):
        if any(_is_below(str(candidate), own) for own in below) and not _leads_out_by_links(candidate, below):
            with contextlib.suppress(TextError):
                if digest_of_sound(candidate) == sound.sha256:
                    return candidate
    raise UsageError(
        f"--from_manifest {path} plays the sound {sound.file[:300]}, and there is no such file with the same content beside "
        "it or in the current folder; put it there, or give the script itself as --prompt_file"
    )


def _leads_out_by_links(path: Path, folders: Sequence[Path]) -> bool:
    """Whether a path leads out of all of these folders when links are followed."""
    return not any(path.resolve().is_relative_to(folder.resolve()) for folder in folders)


def _usable_voice(name: str, digest: object, folders: Sequence[Path]) -> str | None:
    """The name itself, or the path of a file with the digest; None if the name is a path that may not be opened."""
    inside = not _leads_out(name) or any(_is_below(name, folder) for folder in (Path(), *folders))
    usual: list[Path] = []  # the file that the name leads to, if any
    if inside:
        with contextlib.suppress(VoiceError):
            path = find_voice(name, folders)
            if path is None:  # a preset
                return name
            usual.append(path)
    names = (name, PureWindowsPath(name).name) if inside else (PureWindowsPath(name).name,)
    candidates = () if digest is None else (*usual, *_files(names, folders))
    same = next((path for path in candidates if _digest_of(path) == digest), None)
    if same is not None and same not in usual:
        return str(same)
    return name if inside else None


def _cloned_voice(recording: str, digest: object, folder: Path) -> Path | None:
    """The voice that was cloned from a recording when the clip was made, if it is still beside the manifest."""
    stem = glob.escape(safe_stem(PureWindowsPath(recording).stem))
    candidates = [] if digest is None else sorted(folder.glob(f"{stem}*.npz"))
    return next((path for path in candidates if _digest_of(path) == digest), None)


def _files(names: Sequence[str], folders: Sequence[Path]) -> Iterator[Path]:
    """Existing voice files with these names, in the current folder and the given ones."""
    for path in (folder / n for name in names if name for folder in (Path(), *folders) for n in (name, f"{name}.npz")):
        with contextlib.suppress(OSError, ValueError):  # names that no file can have
            if path.is_file():
                yield path


def _leads_out(name: str) -> bool:
    """Whether a path is absolute or has a `..`, by the rules of any system."""
    kinds = (PurePosixPath(name), PureWindowsPath(name))
    return name.startswith("~") or any(path.anchor or ".." in path.parts for path in kinds)


def _is_below(name: str, folder: Path) -> bool:
    """Whether a path lies in a folder, judged by the text of the path alone."""
    if name.startswith(("//", "\\\\", "~")) or (
        "\\" in name and os.sep == "/"
    ):  # a network path, or a Windows path on another system
        return False
    return Path(os.path.abspath(name)).is_relative_to(os.path.abspath(folder))


def _digest_of_entry(voice: object) -> object:
    return voice.get("sha256") if isinstance(voice, dict) else None


def _digest_of(path: Path) -> str | None:
    try:
        return Voice.load(path).digest()
    except VoiceError:
        return None
