"""Reads files in a zip archive from a stranger, within bounds: nothing is unpacked to disk, and no bomb fills the memory."""

from __future__ import annotations

import struct
import zipfile
import zlib
from io import BytesIO

from ..errors import TextError

MAX_FILES = 20_000  # in an archive
MAX_DIRECTORY_BYTES = 4_000_000  # of the list of its files: 200 for each
MAX_FILE_BYTES = 20_000_000  # of one file, unpacked
MAX_TOTAL_BYTES = 200_000_000  # of all files that are read, unpacked

_END_RECORD = struct.Struct("<4s4H2LH")
_END_SIGNATURE = b"PK\x05\x06"
_MAX_COMMENT_BYTES = 65_535
_ZIP64_SIGNATURE = b"PK\x06\x07"
_ZIP64_BYTES = 20  # of the record with this signature, which stands before the end record of archives beyond 4 GB
_ENCRYPTED = 0x1  # in the flags of a file
_DAMAGED = "it is a damaged zip archive; get it again"


class Archive:
    """The files of a zip archive by their paths, which are relative and have slashes."""

    def __init__(self, data: bytes) -> None:
        """Raises TextError if the data is no zip archive, or too large a one."""
        self._left = MAX_TOTAL_BYTES
        _check_directory(data)
        try:
            self._zip = zipfile.ZipFile(BytesIO(data))
        except (zipfile.BadZipFile, ValueError, OverflowError, NotImplementedError, struct.error):
            raise TextError(_DAMAGED) from None
        infos = {info.filename.replace("\\", "/"): info for info in self._zip.infolist()}
        self._files = {path: info for path, info in infos.items() if path and not path.endswith("/")}
        self._in_any_case = {path.casefold(): path for path in self._files}

    @property
    def paths(self) -> list[str]:
        """The paths of all files."""
        return list(self._files)

    def __contains__(self, path: str) -> bool:
        return path.casefold() in self._in_any_case

    def read(self, path: str, max_bytes: int = MAX_FILE_BYTES) -> bytes:
        """The content of a file, whose name may be in other capitals. Raises KeyError if it is missing, TextError."""
        info = self._files[path if path in self._files else self._in_any_case[path.casefold()]]
        if info.flag_bits & _ENCRYPTED:
            raise TextError("it is encrypted; remove the password first")
        limit = min(max_bytes, self._left)
        try:
            with self._zip.open(info) as file:
                content = file.read(limit + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError, OSError):
            raise TextError(_DAMAGED) from None
        if len(content) > limit:
            raise TextError(
                f"{path[-80:]} in it is larger than {limit / 1e6:,.0f} MB when it is unpacked; split the book"
            )
        self._left -= len(content)
        return content


def is_zip(data: bytes) -> bool:
    """Whether data begins as a zip archive does."""
    return data.startswith(b"PK\x03\x04")


def _check_directory(data: bytes) -> None:
    """Raise TextError if the list of files is missing or too long, before `zipfile` makes an object of every entry."""
    start = data.rfind(_END_SIGNATURE, max(0, len(data) - _END_RECORD.size - _MAX_COMMENT_BYTES))
    if start < 0 or start + _END_RECORD.size > len(data):
        raise TextError(_DAMAGED)
    _, _, _, _, n_files, directory_bytes, _, _ = _END_RECORD.unpack_from(data, start)
    is_zip64 = data.startswith(_ZIP64_SIGNATURE, max(0, start - _ZIP64_BYTES))
    if n_files > MAX_FILES or directory_bytes > MAX_DIRECTORY_BYTES or is_zip64:
        raise TextError(f"it is an archive of more than {MAX_FILES:,} files; split the book")
