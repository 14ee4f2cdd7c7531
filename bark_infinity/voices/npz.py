"""Reads `.npz` and `.npy` files from untrusted sources: memory is bounded, and nothing is unpickled."""

from __future__ import annotations

import contextlib
import io
import math
import os
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np

from .. import constants as c
from ..errors import VoiceError

VOICE_ARRAYS = {  # name in the file: (dimensions, first dimension, ids, dtype in published files)
    "semantic_prompt": (1, None, c.SEMANTIC_VOCAB_SIZE, np.int64),
    "coarse_prompt": (2, c.N_COARSE_CODEBOOKS, c.CODEBOOK_SIZE, np.int64),
    "fine_prompt": (2, c.N_FINE_CODEBOOKS, c.CODEBOOK_SIZE, np.int32),
}
_MAX_TOKENS = 16_000_000  # 7 hours of fine codes; a header that promises more is damage or malice
_MAX_HEADER_BYTES = 10_000  # of an `.npy`, as NumPy has it
_MAX_READ = 2**20  # bytes of an archive at once; its table of contents has 50 to 100 for each member


def read_npz(path: Path, names: Iterable[str] = tuple(VOICE_ARRAYS)) -> dict[str, np.ndarray]:
    """The named arrays of an `.npz`, without missing ones. Raises VoiceError."""
    with open_voice_file(path) as file, zipfile.ZipFile(BoundedFile(file)) as archive:
        members = set(archive.namelist())
        return {name: read_member(archive, f"{name}.npy") for name in names if f"{name}.npy" in members}


def read_npy(path: Path) -> np.ndarray:
    """The array of an `.npy`. Raises VoiceError unless it has plain numbers and a bounded size."""
    with open_voice_file(path) as file:
        _check_header(file, path.name)
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)


@contextlib.contextmanager
def open_voice_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading; any exception while it is read becomes a VoiceError."""
    try:
        if path.exists() and not path.is_file():  # opening a pipe could wait for ever
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
    except (
        Exception
    ) as error:  # zip, zlib and Python's parser, which reads array headers, raise exceptions of many types
        reason = str(error) or type(error).__name__
        raise VoiceError(
            f"{path} cannot be read safely ({reason[:200]}); copy it again or choose another voice"
        ) from None


class BoundedFile(io.BufferedIOBase):
    """A file that refuses large reads: `zipfile` reads an archive's whole table of contents before it can be checked."""

    def __init__(self, file: BinaryIO, limit: int = _MAX_READ):
        self._file, self._limit = file, limit

    def read(self, size: int | None = -1) -> bytes:
        data = self._file.read(size if size is not None and 0 <= size <= self._limit else self._limit + 1)
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
    """One array of an archive. Raises ValueError unless its header has plain numbers and a bounded size."""
    with open_member(archive, member) as file:
        _check_header(file, member)
    with open_member(archive, member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def open_member(archive: zipfile.ZipFile, member: str) -> IO[bytes]:
    """Open a member of an archive. Raises ValueError for compressions that `zipfile` unpacks without a bound."""
    if archive.getinfo(member).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{member} is compressed as NumPy never does")
    return archive.open(member)


def _check_header(file: IO[bytes], member: str) -> None:
    """Raise ValueError unless an `.npy` stream promises plain numbers of a bounded size."""
    shape, dtype = read_npy_header(file)
    if dtype.hasobject:
        raise ValueError(f"{member} holds Python objects, which could run code")
    if dtype.itemsize > 8 or math.prod(n or 1 for n in shape) > _MAX_TOKENS:
        raise ValueError(f"{member} claims the shape {shape} of {dtype}")


def read_npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of an `.npy` stream, without reading the array. Raises ValueError if it is none."""
    version = np.lib.format.read_magic(file)
    length = file.read(2 if version == (1, 0) else 4)
    if int.from_bytes(length, "little") > _MAX_HEADER_BYTES:  # NumPy would read it first and then complain
        raise ValueError(f"its header claims {int.from_bytes(length, 'little')} bytes")
    header = io.BytesIO(length + file.read(int.from_bytes(length, "little")))
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(header)
    return shape, dtype
