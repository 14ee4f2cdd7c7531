"""--voice_dir: folders of recordings, one for each voice, cloned when it is first used and again when its recordings change.

The voice is kept beside the recordings, as `NAME/NAME.npz`. A further array in it has their hash; programs that read voices
leave it alone. A `NAME.npz` without that array was put there by the user, and is taken as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import VoiceError
from ..files import file_sha256, write_whole
from .cloning import SECONDS, Cloned, check_clones, clone_recording
from .library import recordings_in
from .npz import read_npz
from .recording import Recording, choose_part, join_recordings, read_recording
from .voice import Voice

if TYPE_CHECKING:
    import torch

    from ..checkpoints.hub import Hub

_HASH = "recordings_sha256"  # (32,) uint8

Notify = Callable[[str], object]


@dataclass(frozen=True)
class RecordedVoice:
    """A voice of which --voice_dir has recordings."""

    name: str
    folder: Path
    recordings: tuple[Path, ...]

    @property
    def file(self) -> Path:
        """Where the cloned voice is kept."""
        return self.folder / f"{self.folder.name}.npz"

    @property
    def is_cloned(self) -> bool:
        """Whether the file has the voice of these recordings, or one that the user put there.

        Raises VoiceError if a file cannot be read.
        """
        if not self.file.exists():
            return False
        recorded = read_npz(self.file, (_HASH,)).get(_HASH)
        return recorded is None or recorded.tobytes() == self.digest()

    def digest(self) -> bytes:
        """SHA-256 of all recordings. Raises VoiceError."""
        digest = hashlib.sha256()
        for path in self.recordings:
            try:
                digest.update(file_sha256(path))
            except OSError as error:
                raise VoiceError(f"the voice {self.name}: {path} cannot be read ({error.strerror}); mend it") from None
        return digest.digest()

    def read(self, on_broken: Notify = lambda _: None) -> Recording:
        """The recordings, joined in the order of their names.

        Those that cannot be read are left out, and `on_broken` is called with the reason. Raises VoiceError if none is left,
        or if they hold too little speech.
        """
        usable: list[Recording] = []
        broken: list[VoiceError] = []
        for path in self.recordings:
            try:
                usable.append(read_recording(path, self._where))
            except VoiceError as error:
                broken.append(error)
        if not usable:
            kept = f"; what was cloned before is kept as {self.file}" if self.file.exists() else ""
            raise VoiceError(f"{broken[0]}{kept}")
        for reason in broken:
            on_broken(f"{reason}; the voice is made without it")
        joined = join_recordings(usable)
        choose_part(joined, self._path, SECONDS, self._where)
        return joined

    def clone(self, model: str, hub: Hub, device: torch.device, on_broken: Notify = lambda _: None) -> Cloned:
        """Clone the voice and keep it beside its recordings. Raises VoiceError, CheckpointError, OutputError."""
        digest = self.digest()  # first: what changes meanwhile must be noticed the next time
        cloned = clone_recording(self.read(on_broken), self._path, model, hub, device, of=self._where)
        voice = Voice.from_prompts(cloned.prompts, f"the voice cloned from {self._path}")
        arrays: dict[str, Any] = voice.prompts() | {_HASH: np.frombuffer(digest, np.uint8)}  # Any: as in `Voice.save`
        write_whole(self.file, lambda file: np.savez(file, **arrays))
        return cloned

    @property
    def _where(self) -> str:
        return f"the voice {self.name}: "

    @property
    def _path(self) -> Path:
        """What messages about all recordings name."""
        return self.recordings[0] if len(self.recordings) == 1 else self.folder


def find_recorded_voice(name: str, voice_dir: str | Path) -> RecordedVoice | None:
    """The voice of which `voice_dir` has recordings; None for a name that stands for a voice file, a preset, or nothing."""
    folder = Path(voice_dir) / name
    if not name or Path(name).name != name or Path(name).is_file():
        return None
    recordings = recordings_in(folder)
    if not recordings or any((Path(voice_dir) / file).is_file() for file in (name, f"{name}.npz")):
        return None
    return RecordedVoice(name, folder, recordings)


def voices_to_clone(names: Iterable[str | None], voice_dir: str | Path) -> list[RecordedVoice]:
    """The voices among these names that have to be cloned before they can be loaded, each once. Raises VoiceError."""
    found = (find_recorded_voice(name, voice_dir) for name in dict.fromkeys(names) if name is not None)
    return [voice for voice in found if voice is not None and not voice.is_cloned]


def check_recorded(voice: RecordedVoice, model: str, on_broken: Notify = lambda _: None) -> None:
    """Raise VoiceError, before anything is loaded, if `model` (as --model) cannot clone the voice."""
    voice.read(on_broken)
    check_clones(model)
