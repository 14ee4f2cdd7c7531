"""File locks between runs that use the same folder. The system releases a lock when its process ends, however it ends."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import BinaryIO

if sys.platform == "win32":
    import msvcrt

    def _lock(file: BinaryIO) -> None:
        file.seek(_LOCKED_BYTE)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


# Errors of network file systems without locks; runs there are not protected from each other.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
_LOCKED_BYTE = 2**30  # beyond the end of the content, because Windows keeps others from reading locked bytes


def open_locked(path: Path) -> BinaryIO | None:
    """Open a file for reading and appending, locked until it is closed; None if another process holds the lock.

    Creates the file if it is missing; its folder must exist. On a file system without locks the file is opened without
    one. Raises OSError.
    """
    while True:
        file = open(path, "a+b")  # noqa: SIM115
        try:
            _lock(file)
        except (BlockingIOError, PermissionError):  # the second on Windows
            file.close()
            return None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                file.close()
                raise
        if _is_same_file(file, path):
            return file
        file.close()  # the process that held the lock has removed the file in the meantime


def _is_same_file(file: BinaryIO, path: Path) -> bool:
    """Whether `path` still leads to the open file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False
