"""Locks on files, for runs in one folder at once. A lock ends with its process, however that ends."""

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


# of folders on some networks, where no run is kept out of another's
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
_LOCKED_BYTE = 2**30  # beyond whatever is written, for Windows keeps others from reading what is locked


def open_locked(path: Path) -> BinaryIO | None:
    """A file open for reading and for writing at its end, locked until it is closed; None if another process has it.

    It is made where it is missing; its folder must be there. Where the file system has no locks it is open without one.
    Raises OSError.
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
        if _is_there(file, path):
            return file
        file.close()  # whoever had it has removed it in the meantime


def _is_there(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False
