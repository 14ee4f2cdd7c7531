"""The voices that a client of the server may speak with: by name, by one of OpenAI's names, or by the id of an upload."""

from __future__ import annotations

import contextlib
import difflib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import constants as c
from ..errors import UnknownUploadError, VoiceError
from ..files import PARTIAL_SUFFIX, errors_naming, make_folder, portable_stem
from ..voices.compatibility import DEMO_SEMANTIC_VOCAB_SIZE, PUBLISHED_MODELS
from ..voices.library import HUB_PRESETS, find_in, language_of_voice, list_voices
from ..voices.recorded_voices import find_recorded_voice
from .uploads import Upload, Uploads

# OpenAI's names, each for a voice of about the same kind; Bark's only English preset of a woman is v2/en_speaker_9.
_OPENAI_NAMES: Mapping[str, tuple[str, str]] = {  # the voice among Bark's presets, and that of the demo
    "alloy": ("v2/en_speaker_6", "demo_female"),
    "ash": ("v2/en_speaker_2", "demo_male"),
    "ballad": ("v2/en_speaker_7", "demo_male"),
    "cedar": ("v2/en_speaker_3", "demo_male"),
    "coral": ("v2/en_speaker_9", "demo_female"),
    "echo": ("v2/en_speaker_1", "demo_male"),
    "fable": ("v2/en_speaker_5", "demo_male"),
    "marin": ("v2/en_speaker_9", "demo_female"),
    "nova": ("v2/en_speaker_9", "demo_female"),
    "onyx": ("v2/en_speaker_8", "demo_male"),
    "sage": ("v2/en_speaker_9", "demo_female"),
    "shimmer": ("v2/en_speaker_9", "demo_female"),
    "verse": ("v2/en_speaker_4", "demo_male"),
}
DEFAULT_VOICE = "alloy"  # of requests that name none
_MAX_NAME_LENGTH = 200  # characters
_NOT_IN_NAMES = frozenset('\\:*?"<>|')  # a drive or another way of writing a path, on some systems
_MAX_STEM_BYTES = 80  # of the file of a voice that is added
_SHOWN_NAMES = 12  # in the message about a voice that is not there


@dataclass(frozen=True)
class ShelfVoice:
    """A voice that clients may name.

    `path`: its file, or the folder of recordings that are not cloned yet; None for a preset, which is downloaded when it is
    first used. `seconds`: None where its length is not known. `models`: names of the models that it suits; empty if unknown.
    """

    name: str
    language: str = ""  # code; empty if unknown
    seconds: float | None = None
    path: Path | None = None
    models: str = ""
    cloned: bool = True  # False: it is cloned from recordings when it is first used


class VoiceShelf:
    """The voices of a server that suit its model. A client names them; no path of a client is ever opened."""

    def __init__(
        self,
        folders: Sequence[Path],
        voice_dir: Path,
        uploads: Uploads,
        semantic_vocab_size: int = c.SEMANTIC_VOCAB_SIZE,
    ):
        """`folders`: as of `voices.library.voice_folders`. `semantic_vocab_size`: of the loaded model."""
        self._folders, self._voice_dir, self._uploads = tuple(folders), voice_dir, uploads
        self._is_demo = semantic_vocab_size == DEMO_SEMANTIC_VOCAB_SIZE
        self._presets = HUB_PRESETS if semantic_vocab_size == c.SEMANTIC_VOCAB_SIZE else ()

    def listed(self) -> list[ShelfVoice]:
        """All voices that are found by name: first those on this machine, by language and name, then Bark's presets."""
        own = [
            ShelfVoice(voice.name, voice.language, voice.seconds, voice.path, voice.models, voice.cloned)
            for voice in list_voices(self._folders, self._voice_dir)
            if self._suits(voice.models)
            and (voice.seconds is not None or not voice.cloned)
            and self._is_inside(voice.path)
        ]
        names = {voice.name for voice in own}
        presets = (name for name in self._presets if name not in names)
        return [
            *own,
            *(ShelfVoice(name, language_of_voice(name) or "", models=PUBLISHED_MODELS) for name in presets),
        ]

    def openai_names(self) -> dict[str, str]:
        """OpenAI's names of voices, and the names of those that stand for them with this model; empty if there are none."""
        if not (self._is_demo or self._presets):
            return {}
        return {name: demo if self._is_demo else preset for name, (preset, demo) in _OPENAI_NAMES.items()}

    def resolve(self, name: str) -> str:
        """A client's voice as --history_prompt takes it: a name that is found in the shelf alone, or the path of a file.

        `name`: that of a listed voice, one of OpenAI's, or the name or id of an uploaded voice. Raises VoiceError, with names
        of voices that are there.
        """
        found = self._find(name)
        if found is None and name in (openai_names := self.openai_names()):
            found = self._find(openai_names[name])
        if found is None:
            raise VoiceError(self._not_found(name))
        return found

    def add(self, upload: Upload, name: str) -> str:
        """Keep an uploaded voice or recording in --voice_dir, under a name. Returns the name, which is then a voice.

        A recording is cloned when the voice is first spoken with. Raises VoiceError for another kind of file, and for a
        name that is taken; OutputError.
        """
        stem = portable_stem(name, _MAX_STEM_BYTES)
        voice, folder = self._voice_dir / f"{stem}.npz", self._voice_dir / stem
        if upload.kind not in ("voice", "recording"):
            raise VoiceError(f"{upload.name} is no voice and no recording of one; upload an .npz, a wav, flac or mp3")
        if voice.exists() or folder.exists():
            raise VoiceError(f"there is a voice {stem} already; choose another name")
        make_folder(self._voice_dir)
        with errors_naming(self._voice_dir):
            if upload.kind == "voice":
                shutil.copyfile(upload.path, voice)
            else:
                folder.mkdir()
                shutil.copyfile(upload.path, folder / upload.name)
        return stem

    def _find(self, name: str) -> str | None:
        if _is_name(name):
            if find_recorded_voice(name, self._voice_dir) is not None:
                return name  # it is cloned again when the recordings change
            file = find_in(self._folders, name)
            if file is not None and file.suffix == ".npz" and self._is_inside(file):
                return str(file.absolute()) if Path(name).exists() else name  # a name may be a path to something else
            if name in self._presets:
                return name
        with contextlib.suppress(UnknownUploadError):
            return str(self._uploads.named(name, "voice").path)
        return None

    def _is_inside(self, path: Path) -> bool:
        """Whether a path leads to what is in one of the folders: links may lead out of them."""
        return any(path.resolve().is_relative_to(folder.resolve()) for folder in self._folders)

    def _suits(self, models: str) -> bool:
        """Whether a voice that suits these models, if it is known, suits the loaded one."""
        return not models or (models == "demo") == self._is_demo

    def _not_found(self, name: str) -> str:
        openai_names = self.openai_names()
        known = [*(voice.name for voice in self.listed()), *openai_names]
        near = difflib.get_close_matches(name[:_MAX_NAME_LENGTH], known, n=3, cutoff=0.5)
        shown = near or [*known[:_SHOWN_NAMES], *openai_names]
        rest = "" if near else " and more" if len(known) > len(shown) else ""
        there = f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(dict.fromkeys(shown))}{rest}"
        quoted = repr(name if len(name) <= _MAX_NAME_LENGTH else f"{name[:_MAX_NAME_LENGTH]}...")
        return f"there is no voice {quoted}; {there} (GET /v1/audio/voices has all)"


def _is_name(name: str) -> bool:
    """Whether this may name a voice: no path, nothing hidden, no part of a clip that is being made."""
    parts = name.split("/")
    return (
        0 < len(name) <= _MAX_NAME_LENGTH
        and name.isprintable()
        and not _NOT_IN_NAMES.intersection(name)
        and not any(not part or part.startswith(".") or part.endswith(PARTIAL_SUFFIX) for part in parts)
        and not name.removesuffix(".npz").endswith(".segments")
    )
