"""The manifest, the `.json` beside a clip: it records how the clip was generated, so that it can be made again."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from .. import __version__
from .. import constants as c
from ..errors import TextError, UsageError
from ..files import read_bounded, write_whole
from ..options.recognizer_name import is_public_recognizer
from ..options.resolve import NEEDS_RECOGNIZER, check_coarse_input, resolve
from ..options.table import Options, flags
from ..run.pauses import NO_GAP, PAUSE_KINDS, GapSound, Pause, PauseKind
from ..run.script_cutting import ScriptPart
from ..run.trimming import Trim
from ..seeds import MAX_SEED, Seeds
from ..text.events import BookTags, Script
from ..text.script import parse_script, script_kind
from ..text.script_settings import read_speaker_setting
from ..text.tags import MAX_PAUSE, MAX_START

FORMAT_VERSION = 1
_T = TypeVar("_T")
_LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "soundfile")
_MOST_SECONDS = 100 * MAX_PAUSE  # of a silence: several pauses may follow each other
_MAX_BYTES = 100_000_000  # most that is read of a manifest; a week of speech has less
_ENVIRONMENT = ("stages", "versions", "machine")  # what the audio depends on besides settings
RUNS_CODE = "custom_audio_processing_function"
READS_FILE = "audio_file_as_history_prompt"
_RECOGNIZER = "recognizer"  # which a manifest does not name by its folder or hub repository
_VOICES = ("history_prompt", "bark_speaker_as_the_prompt")  # compared by their tokens, not by their names


def versions() -> dict[str, str]:
    """Versions of this program, of Python and of the libraries that the audio depends on."""
    from importlib import metadata  # late: it is slow to import, and only a finished clip needs it

    own = {"bark_infinity": __version__, "python": platform.python_version()}
    return own | {name: metadata.version(name) for name in _LIBRARIES}


def machine() -> dict[str, object]:
    """The properties of the machine on which the rounding of sums depends."""
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    return {"processor": platform.machine(), "instructions": capability, "threads": torch.get_num_threads()}


def seconds(samples: int) -> float:
    """A number of samples in seconds, exact enough that `round(seconds * 24000)` gives it back."""
    return round(samples / c.SAMPLE_RATE, 6)


def write_manifest(path: Path, content: Mapping[str, object]) -> None:
    """Write readable JSON; the file appears whole or not at all. Raises FileExistsError if the name is taken."""
    text = json.dumps({"format": FORMAT_VERSION, **content}, indent=1, ensure_ascii=False)
    # file names may hold bytes that are not UTF-8; as JSON's \uXXXX escapes they survive
    write_whole(path, lambda file: file.write(text.encode("utf-8", "backslashreplace") + b"\n"), overwrite=False)


# ---- making a clip again --------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Manifest:
    """The content of a manifest. `settings`: those that the audio depends on; `options`: the same, resolved."""

    text: str
    seed: int
    prompt: int
    take: int
    segments: tuple[tuple[str, Seeds], ...]
    parts: tuple[ScriptPart, ...]  # what the script says of each segment; the paths of sounds are as recorded
    lead: Pause  # before the first segment
    script: Script | None  # None: the text has no markup
    settings: Mapping[str, object]
    own_settings: tuple[Mapping[str, object] | None, ...]  # of each segment; None: the clip's
    book: BookTags
    cover_sha256: str | None
    trims: tuple[Trim | None, ...]  # where each segment was cut
    content: Mapping[str, Any]  # parsed JSON from an untrusted file; only what the other fields hold is checked

    @cached_property
    def options(self) -> Options:
        return resolve(Options.from_settings(self.settings))


def read_manifest(name: str) -> Manifest:
    """Read an untrusted manifest: settings that name files to write or code to run are left out. Raises UsageError."""
    content = read_content(name)
    try:
        if content["format"] != FORMAT_VERSION:
            found = _shown(content["format"])
            raise UsageError(f"--from_manifest {name} has format {found}; this program reads {FORMAT_VERSION}")
        segments = tuple((_typed(s, "text", str), _seeds(s)) for s in _typed(content, "segments", list))
        if not segments:
            raise ValueError("no segments")
        return Manifest(
            _typed(content, "text", str),
            _number(content["seed"]),
            _number(content["prompt"]),
            _number(content["take"]),
            segments,
            tuple(map(_part, content["segments"])),
            _pause(content["lead"]) if "lead" in content else NO_GAP,
            _script(content),
            _sound_settings(_typed(content, "settings", dict)),
            tuple(_own_settings(s) for s in content["segments"]),
            *_book(content),
            tuple(map(_trim, content["segments"])),
            content,
        )
    except UsageError as error:
        raise error if name in str(error) else UsageError(f"--from_manifest {name}: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"--from_manifest {name} is not the manifest of a clip ({str(error)[:200]}); give the .json beside its audio"
        ) from None


def read_content(name: str) -> Mapping[str, Any]:
    """The JSON object in a file. Raises UsageError."""
    try:
        content = json.loads(read_bounded(name, _MAX_BYTES))
    except OSError as error:
        raise UsageError(f"--from_manifest {name} cannot be read ({error.strerror}); check the path") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--from_manifest {name} is not JSON ({str(error)[:100]}); give a clip's .json") from None
    if not isinstance(content, dict):
        raise UsageError(f"--from_manifest {name} is not the manifest of a clip; give the .json beside its audio")
    return content


def _sound_settings(settings: Mapping[str, object]) -> dict[str, object]:
    """The settings that the audio depends on, checked; without folders to write in and code to run."""
    table = {line.name: line for line in flags() if line.sound and line.name != RUNS_CODE}
    known = {name: table[name].read(value) for name, value in settings.items() if name in table}
    if not is_public_recognizer(str(known.get(_RECOGNIZER, Options.recognizer))):
        known = {name: value for name, value in known.items() if name not in (_RECOGNIZER, *NEEDS_RECOGNIZER)}
    for name, value in known.items():
        table[name].check(value)
    return known


def _own_settings(segment: Mapping[str, Any]) -> Mapping[str, object] | None:
    """The checked settings of a segment that has its own. Raises UsageError."""
    if "settings" not in segment:
        return None
    own = _sound_settings(_typed(segment, "settings", dict))
    check_coarse_input(Options.from_settings(own))
    return own


def check_unasked(manifest: Manifest, name: str, options: Options) -> None:
    """Raise UsageError if the clip needs code to run or a recording to read, which only the user may ask for.

    With --restitch it needs neither, because its tokens are kept.
    """
    if options.restitch:
        return
    settings = manifest.content["settings"]
    if (used := settings.get(RUNS_CODE)) is not None and options.custom_audio_processing_function is None:
        raise UsageError(
            f"--from_manifest {name} was made with the function {_shown(used)}, which is not run unasked; "
            f"if you trust it, give it as --{RUNS_CODE}"
        )
    if (used := settings.get(READS_FILE)) is not None and _is_without_voice(options):
        raise UsageError(
            f"--from_manifest {name} was made with a voice cloned from {_shown(used)}; "
            "give the .npz that was saved then as --history_prompt"
        )


def _is_without_voice(options: Options) -> bool:
    return options.history_prompt is None and options.audio_file_as_history_prompt is None


def _shown(value: object) -> str:
    """An untrusted value as a message quotes it, in at most 200 characters."""
    return str(value)[:200] if isinstance(value, str | int | float) else type(value).__name__


def _typed(content: Mapping[str, Any], name: str, kind: type[_T]) -> _T:
    """The value of `name`. Raises KeyError if it is missing, TypeError for another type, ValueError for a lone surrogate."""
    value = content[name]
    if type(value) is not kind:
        raise TypeError(f"{name} is not a {kind.__name__}")
    if isinstance(value, str):
        value.encode()  # raises for a lone surrogate
    return value


def _script(content: Mapping[str, Any]) -> Script | None:
    """The script of a clip, with its cast and pronunciations. Raises ValueError for one that cannot be read."""
    if "script" not in content:
        return None
    text = _typed(content, "script", str)
    try:
        return parse_script(text, script_kind(text, None, has_cast=False))
    except TextError as error:
        raise ValueError(f"its script: {error}") from None


def _book(content: Mapping[str, Any]) -> tuple[BookTags, str | None]:
    """What is recorded of the book, and the digest of its cover."""
    book = _typed(content, "book", dict) if "book" in content else {}
    names = ("title", "author", "narrator", "language")
    tags = BookTags(**{name: _typed(book, name, str) for name in names if name in book})
    return tags, _typed(book, "cover_sha256", str) if "cover_sha256" in book else None


def _part(segment: Mapping[str, Any]) -> ScriptPart:
    """What the script says of a segment."""
    texts = {name: _typed(segment, name, str) for name in ("speaker", "written", "chapter") if name in segment}
    own = _typed(segment, "own_settings", dict) if "own_settings" in segment else {}
    start = _start(segment["start_at"]) if "start_at" in segment else None
    settings = dict(read_speaker_setting(name, value) for name, value in own.items())
    # Manifests of earlier versions have no pauses, which means the shortest.
    pause = _pause(segment["pause"]) if "pause" in segment else Pause()
    return ScriptPart(_typed(segment, "text", str), pause, own=settings, start_at=start, **texts)


def _start(seconds: Any) -> float:
    """The time at which a segment begins. Raises ValueError for anything else."""
    if type(seconds) not in (int, float) or not 0 <= seconds <= MAX_START:
        raise ValueError(f"{_shown(seconds)} is no time at which a segment begins")
    return float(seconds)


def _pause(content: object) -> Pause:
    """A gap, whose silence counts only where the script asks for it: else it follows from the options."""
    if not isinstance(content, dict):
        raise TypeError("a pause is not a dict")
    sounds = _typed(content, "sounds", list) if "sounds" in content else []
    return Pause(*_silence(content), tuple(map(_sound, sounds)))


def _silence(content: Mapping[str, Any]) -> tuple[PauseKind, float]:
    kind, seconds = _typed(content, "kind", str), content.get("seconds", 0.0)
    if kind not in PAUSE_KINDS:
        raise ValueError(f"{_shown(kind)} is no pause")
    if kind == "asked" and not (type(seconds) in (int, float) and 0 <= seconds <= _MOST_SECONDS):
        raise ValueError(f"{_shown(seconds)} is no length of a pause")
    return kind, float(seconds) if kind == "asked" else 0.0


def _sound(content: Mapping[str, Any]) -> GapSound:
    names = (_typed(content, name, str) for name in ("file", "path", "sha256"))
    file, path, sha256 = names
    return GapSound(file, Path(path), sha256, _number(content["samples"]), *_silence(content))


def _seeds(segment: Mapping[str, Any]) -> Seeds:
    return Seeds(**{name: _number(seed) for name, seed in _typed(segment, "seeds", dict).items()})


def _trim(segment: Mapping[str, Any]) -> Trim | None:
    if "trimmed" not in segment:
        return None
    trimmed = _typed(segment, "trimmed", dict)
    return Trim(_number(trimmed["frames"]), _number(trimmed["of_frames"]))


def _number(value: object) -> int:
    """A seed, the index of a prompt or take, or a number of frames. Raises ValueError for anything else."""
    if type(value) is not int or not 0 <= value <= MAX_SEED:
        raise ValueError(f"{_shown(value)} is not a number from 0 to {MAX_SEED}")
    return value


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Differences between two manifests that the audio depends on, each described in a few words."""
    settings = [_sound_settings(_defaults() | content["settings"]) for content in (old, new)]
    found = [change for change in _changes((), *settings) if change[0][0] not in _VOICES]
    for part in _ENVIRONMENT:
        found += _changes((part,), old.get(part), new.get(part))
    words = [f"{' '.join(where)} was {_shown(was)} and is {_shown(now)}" for where, was, now in found]
    words += [
        f"the {part.replace('_', ' ')} is a different one"
        for part in ("voice", "spoken_voice")
        if recorded_digest(old, part) != recorded_digest(new, part)
    ]
    words += [f"the voice of {speaker} is a different one" for speaker in _speakers_with_other_voices(old, new)]
    if _texts_and_seeds(old) != _texts_and_seeds(new):
        words.append("texts, seeds or settings of segments differ")
    return words


def recorded_digest(content: Mapping[str, Any], voice: str) -> object:
    """The digest in a voice's entry; None where there is none."""
    return content[voice].get("sha256") if isinstance(content.get(voice), dict) else None


def recorded_cast(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The entries of the speakers' voices in a manifest; empty where there are none."""
    cast = content.get("cast")
    return cast if isinstance(cast, dict) else {}


def _speakers_with_other_voices(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    casts = [recorded_cast(content) for content in (old, new)]
    return [speaker for speaker in casts[1] if recorded_digest(casts[0], speaker) != recorded_digest(casts[1], speaker)]


def _texts_and_seeds(content: Mapping[str, Any]) -> list[tuple[object, ...]]:
    others = ("settings", "own_settings", "speaker")
    return [
        (segment["text"], segment["seeds"], *(segment.get(name) for name in others)) for segment in content["segments"]
    ]


def _defaults() -> dict[str, object]:
    default = resolve(Options())
    return {line.name: value for line in flags() if (value := getattr(default, line.name)) is not None}


def _changes(where: tuple[str, ...], was: object, now: object) -> Iterator[tuple[tuple[str, ...], object, object]]:
    """Yield (path of keys, old value, new value) for each value that differs between two JSON values."""
    if isinstance(was, dict) and isinstance(now, dict):
        for name in sorted(was.keys() | now.keys()):
            yield from _changes((*where, name), was.get(name), now.get(name))
    elif was != now:
        yield where, was, now
