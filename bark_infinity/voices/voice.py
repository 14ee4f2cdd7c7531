"""Voices: the tokens of a few seconds of speech that Bark goes on from ("history prompts").

Shapes: n semantic tokens, m acoustic frames, m / n = 1.503.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import io
import math
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .. import constants as c
from ..errors import VoiceError
from ..files import PARTIAL_SUFFIX, write_whole

_RATIO = c.FRAME_RATE_HZ / c.SEMANTIC_RATE_HZ  # frames a semantic token
_MAX_TOKENS = 16_000_000  # 7 hours of fine codes; a header that promises more is damage or malice
_MAX_HEADER_BYTES = 10_000  # of an `.npy`, as NumPy has it
_MAX_READ = 2**20  # bytes of an archive at once; its table of contents has 50 to 100 for each member
VOICE_ARRAYS = {  # name in the file: (dimensions, first dimension, ids, dtype in published files)
    "semantic_prompt": (1, None, c.SEMANTIC_VOCAB_SIZE, np.int64),
    "coarse_prompt": (2, c.N_COARSE_CODEBOOKS, c.CODEBOOK_SIZE, np.int64),
    "fine_prompt": (2, c.N_FINE_CODEBOOKS, c.CODEBOOK_SIZE, np.int32),
}


@dataclass(frozen=True, eq=False)
class Voice:
    """Tokens of one recording or generation: semantic (n,), coarse (2, m), fine (8, m)."""

    semantic: np.ndarray
    coarse: np.ndarray
    fine: np.ndarray

    @property
    def seconds(self) -> float:
        return self.fine.shape[1] / c.FRAME_RATE_HZ

    def prompts(self) -> dict[str, np.ndarray]:
        """The three arrays under the names and types of a published voice file."""
        arrays = (self.semantic, self.coarse, self.fine)
        return {name: a.astype(VOICE_ARRAYS[name][3]) for name, a in zip(VOICE_ARRAYS, arrays, strict=True)}

    def read_only(self) -> Voice:
        """The same tokens, for those who are not to change them."""
        views = [tokens.view() for tokens in (self.semantic, self.coarse, self.fine)]
        for view in views:
            view.flags.writeable = False
        return Voice(*views)

    def digest(self) -> str:
        """SHA-256 of the tokens: the same for the same voice, whatever the file's types."""
        tokens = (self.semantic, self.coarse, self.fine)
        return hashlib.sha256(b"".join(np.asarray(t, "<i8").tobytes() for t in tokens)).hexdigest()

    @classmethod
    def from_prompts(cls, prompts: Mapping[str, np.ndarray], source: str) -> Voice:
        """Check and take the arrays of a voice file or of the original's dict. `source` names them in a VoiceError."""
        faults = list(_faults(prompts))
        if faults:
            raise VoiceError(f"{source} is no usable voice: {'; '.join(faults)}; make it again or choose another")
        return cls(*(np.asarray(prompts[name]).astype(np.int64) for name in VOICE_ARRAYS))

    @classmethod
    def load(cls, path: str | Path) -> Voice:
        """Read an `.npz` voice file. Nothing is unpickled, and no array of more than 7 hours is opened."""
        return cls.from_prompts(read_npz(Path(path)), str(path))

    def save(self, path: str | Path, overwrite: bool = True) -> None:
        """Write an `.npz` that every Bark program reads; whole or not at all. Raises OutputError, FileExistsError."""
        write_whole(Path(path), lambda file: np.savez(file, **self.prompts()), overwrite)

    def aligned(self) -> Voice | None:
        """This voice, its start trimmed where needed to the published ratio of frames to semantic tokens (1.5, rounded).

        Generations of a few tokens miss the ratio by rounding, and other programs refuse such files. None if nothing
        usable is left.
        """
        if len(self.semantic) and round(self.fine.shape[1] / len(self.semantic), 1) == 1.5:
            return self
        pairs = min(len(self.semantic) // 2, int(self.fine.shape[1] / (2 * _RATIO)))
        n, m = 2 * pairs, int(2 * pairs * _RATIO)
        return Voice(self.semantic[-n:], self.coarse[:, -m:], self.fine[:, -m:]) if n else None

    @classmethod
    def concatenate(cls, voices: Sequence[Voice]) -> Voice:
        """One voice of several generations, in order."""
        return cls(
            np.concatenate([v.semantic for v in voices]),
            np.concatenate([v.coarse for v in voices], axis=1),
            np.concatenate([v.fine for v in voices], axis=1),
        )


def _faults(prompts: Mapping[str, np.ndarray]) -> Iterator[str]:
    """Everything that is wrong with these arrays, each in a few words."""
    missing = [name for name in VOICE_ARRAYS if name not in prompts]
    if missing:
        yield f"it has no {' and no '.join(missing)} (a voice needs {', '.join(VOICE_ARRAYS)})"
    sound = not missing
    for name, (dims, rows, n_ids, _) in VOICE_ARRAYS.items():
        if name in missing:
            continue
        array = np.asarray(prompts[name])
        shape = f"({rows}, frames)" if rows else "(tokens,)"
        if array.ndim != dims or (rows and array.shape[0] != rows) or not array.size:
            sound = False
            yield f"'{name}' has shape {array.shape} instead of {shape}"
        elif array.dtype.kind not in "iu":
            sound = False
            yield f"'{name}' holds {array.dtype} instead of integers"
        elif array.min() < 0 or array.max() >= n_ids:
            yield f"'{name}' has values {array.min()}..{array.max()} outside 0..{n_ids - 1}"
    if not sound:
        return
    n, m = np.size(prompts["semantic_prompt"]), np.shape(prompts["fine_prompt"])[1]
    if np.shape(prompts["coarse_prompt"])[1] != m:
        yield f"'coarse_prompt' has {np.shape(prompts['coarse_prompt'])[1]} frames and 'fine_prompt' {m}"
    if round(m / n, 1) != 1.5:
        yield f"{m} frames to {n} semantic tokens is {m / n:.2f} to 1 instead of 1.5"


def read_npz(path: Path, names: Iterable[str] = tuple(VOICE_ARRAYS)) -> dict[str, np.ndarray]:
    """Arrays of an `.npz`, those that are there. Raises VoiceError. Nothing is unpickled."""
    with _voice_file(path) as file, zipfile.ZipFile(Frugal(file)) as archive:
        members = set(archive.namelist())
        return {name: read_member(archive, f"{name}.npy") for name in names if f"{name}.npy" in members}


def read_npy(path: Path) -> np.ndarray:
    """The array of an `.npy`, of plain numbers and a bounded size. Raises VoiceError."""
    with _voice_file(path) as file:
        _check_header(file, path.name)
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)


@contextlib.contextmanager
def _voice_file(path: Path) -> Iterator[BinaryIO]:
    """An open file; whatever is raised while it is read becomes a VoiceError."""
    try:
        if path.exists() and not path.is_file():  # a pipe would have us wait
            raise VoiceError(f"{path} is no file; give an .npz voice file, or copy it again")
        with open(path, "rb") as file:
            yield file
    except FileNotFoundError:
        raise VoiceError(
            f"there is no voice file {path}; give a path that exists or a name of --list_speakers"
        ) from None
    except zipfile.BadZipFile:
        raise VoiceError(f"{path} is damaged or no .npz voice file; copy or download it again") from None
    except VoiceError:
        raise
    except Exception as error:  # zip, zlib and Python's parser, which reads array headers, raise whatever they like
        reason = str(error) or type(error).__name__
        raise VoiceError(
            f"{path} cannot be read safely ({reason[:200]}); copy it again or choose another voice"
        ) from None


class Frugal(io.BufferedIOBase):
    """A file of which nobody reads much at once: `zipfile` reads an archive's whole table of contents before we see it."""

    def __init__(self, file: BinaryIO, limit: int = _MAX_READ):
        self._file, self._limit = file, limit

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size if 0 <= size <= self._limit else self._limit + 1)
        if len(data) > self._limit:
            raise ValueError(f"it has more than {self._limit} bytes in one piece")
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


def read_member(archive: zipfile.ZipFile, member: str) -> np.ndarray:
    """One array, once its header has promised plain numbers of a bounded size."""
    with _open_member(archive, member) as file:
        _check_header(file, member)
    with _open_member(archive, member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _open_member(archive: zipfile.ZipFile, member: str) -> BinaryIO:
    """Raises ValueError for what `zipfile` would unpack without a bound."""
    if archive.getinfo(member).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{member} is compressed as NumPy never does")
    return archive.open(member)


def _check_header(file: BinaryIO, member: str) -> None:
    """Raise ValueError unless an `.npy` stream promises plain numbers of a bounded size."""
    shape, dtype = read_npy_header(file)
    if dtype.hasobject:
        raise ValueError(f"{member} holds Python objects, which could run code")
    if dtype.itemsize > 8 or math.prod(n or 1 for n in shape) > _MAX_TOKENS:
        raise ValueError(f"{member} claims the shape {shape} of {dtype}")


def read_npy_header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of an `.npy` stream, without reading the array. Raises ValueError if it is none."""
    version = np.lib.format.read_magic(file)
    length = file.read(2 if version == (1, 0) else 4)
    if int.from_bytes(length, "little") > _MAX_HEADER_BYTES:  # NumPy would read it first and then complain
        raise ValueError(f"its header claims {int.from_bytes(length, 'little')} bytes")
    header = io.BytesIO(length + file.read(int.from_bytes(length, "little")))
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(header)
    return shape, dtype


# ---- finding by name ------------------------------------------------------------------------------------------------

HUB_PRESETS = ("announcer",) + tuple(
    f"{folder}{language}_speaker_{i}" for folder in ("v2/", "") for language in c.LANGUAGES for i in range(10)
)


def voice_folders(output_dir: str | Path) -> tuple[Path, ...]:
    """Where voices are looked up by name, in order."""
    return Path("prompts"), Path("custom_speakers"), Path(output_dir)


def find_voice(name: str, folders: Sequence[Path]) -> Path | None:
    """The file of a voice given as path or name; None for the name of a hub preset.

    Raises VoiceError with the nearest known names if there is neither.
    """
    wanted = Path(os.path.expanduser(name))
    for candidate in (wanted, *(folder / n for folder in folders for n in (name, f"{name}.npz"))):
        with contextlib.suppress(OSError, ValueError):  # names that no file can have
            if candidate.is_file():
                return candidate
    if name.removesuffix(".npz") in HUB_PRESETS:
        return None
    if wanted.is_absolute() or (wanted.parent != Path(".") and wanted.suffix == ".npz"):
        raise VoiceError(f"there is no voice file {name}; give a path that exists or a name of --list_speakers")
    known = sorted({*HUB_PRESETS, *(v.name for v in list_voices(folders))})
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"did you mean {', '.join(near)}?" if near else "--list_speakers shows those there are"
    raise VoiceError(f"there is no voice '{name}' in {', '.join(map(str, folders))} or among Bark's presets; {hint}")


@dataclass(frozen=True)
class FoundVoice:
    """One line of --list_speakers; `seconds` is None for a file that is no voice."""

    name: str
    path: Path
    seconds: float | None

    @property
    def language(self) -> str:
        """Language code from the usual form of the name (`v2/en_speaker_6`), or an empty string."""
        code = Path(self.name).name.split("_")[0]
        return code if code in c.LANGUAGES else ""


def voice_files(folder: Path) -> list[Path]:
    """All `.npz` files below a folder, in order, but for the tokens of clips and for what is hidden or of clips under way."""
    found = (path for path in sorted(folder.rglob("*.npz")) if not path.name.endswith(".segments.npz"))
    return [path for path in found if not any(map(_is_no_folder_of_voices, path.relative_to(folder).parts))]


def _is_no_folder_of_voices(name: str) -> bool:
    return name.startswith(".") or name.endswith(PARTIAL_SUFFIX)


def list_voices(folders: Sequence[Path]) -> list[FoundVoice]:
    """All `.npz` files below these folders, by name, but for the tokens of clips; only array headers are read."""
    found = {}
    for folder in folders:
        for path in voice_files(folder):
            name = path.relative_to(folder).with_suffix("").as_posix()
            found.setdefault(name, FoundVoice(name, path, _seconds(path)))
    return sorted(found.values(), key=lambda voice: (voice.language, voice.name))


def _seconds(path: Path) -> float | None:
    try:
        with _voice_file(path) as voice, zipfile.ZipFile(Frugal(voice)) as archive:
            with _open_member(archive, "fine_prompt.npy") as file:
                shape, _ = read_npy_header(file)
        return shape[1] / c.FRAME_RATE_HZ
    except Exception:  # as in `read_npz`
        return None
