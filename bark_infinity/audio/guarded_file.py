"""A file for the callbacks of C libraries, in which Python's exceptions get lost."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import BinaryIO, TypeVar

_T = TypeVar("_T")


class GuardedFile:
    """A file whose methods raise nothing: the first exception is stored, and raised by `errors_raised`.

    After an exception, and after `ignore`, calls do nothing. Offset 0 is the position of `file` at the start.
    """

    def __init__(self, file: BinaryIO):
        self._file, self._start = file, file.tell()
        self._error: BaseException | None = None
        self._ignores = False

    @contextlib.contextmanager
    def errors_raised(self, *consequences: type[BaseException]) -> Iterator[None]:
        """Wraps every call of the library: raises the stored exception in place of its `consequences`."""
        try:
            yield
        except consequences:
            if self._error is None:
                raise
        if self._error is not None:
            raise self._error

    def ignore(self) -> None:
        """Do nothing from now on, so that the library can be closed without writing."""
        self._ignores = True

    def write(self, data: bytes) -> int:
        return self._guarded(lambda: self._file.write(data), 0)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = self._start if whence == os.SEEK_SET else 0
        return self._guarded(lambda: self._file.seek(start + offset, whence) - self._start, 0)

    def tell(self) -> int:
        return self._guarded(lambda: self._file.tell() - self._start, 0)

    def reader(self) -> _Reader:
        """The same file for reading, with a position of its own."""
        return _Reader(self)

    def read_at(self, position: int, n_bytes: int) -> bytes:
        """Bytes from `position` on; the position of writing stays. Empty at the end and after an exception."""

        def read() -> bytes:
            before = self._file.tell()
            self._file.seek(self._start + position)
            data = self._file.read(n_bytes)
            self._file.seek(before)
            return data

        return self._guarded(read, b"")

    def _guarded(self, act: Callable[[], _T], otherwise: _T) -> _T:
        """The result of `act`, or `otherwise` if it raises, which is stored, or if there was an error before."""
        try:
            if self._error is None and not self._ignores:
                return act()
        except BaseException as error:  # Ctrl-C too
            self._error = error
        return otherwise


class _Reader:
    """The reading side of a guarded file that is being written."""

    def __init__(self, file: GuardedFile):
        self._file, self._position = file, 0

    def read(self, n_bytes: int) -> bytes:
        data = self._file.read_at(self._position, n_bytes)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        assert whence != os.SEEK_END  # FFmpeg seeks so only to learn a file's size, and does without
        self._position = offset + (self._position if whence == os.SEEK_CUR else 0)
        return self._position

    def tell(self) -> int:
        return self._position
