"""Writing files that appear whole or not at all, file names for all systems, and reading files up to a maximum size."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from .errors import OutputError

MAX_STEM_BYTES = 160  # of the 255 that a name may have: leaves room for `_12.segments.npz` and for temporary suffixes
_REFUSED = '<>:"/\\|?*'  # characters that Windows does not allow in file names
_UNSEEN_CATEGORIES = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")  # Unicode categories of invisible characters
_RESERVED = re.compile(r"(con|prn|aux|nul|com[\d¹²³]|lpt[\d¹²³])", re.IGNORECASE)  # device names on Windows


_TEMPORARY = re.compile(r"\.bark-infinity-[0-9a-f]{16}\.tmp(\.\w+)?")  # the last part is an encoder's
_STALE_SECONDS = 86_400  # a day: longer than any single file takes to write
PARTIAL_SUFFIX = ".partial"  # of folders of unfinished clips
_WRITER_SECONDS = 5.0  # how long to wait for a writer of a named pipe
_SECONDS_BEFORE_NOTICE = 1.0  # of waiting for a pipe, before a notice is shown


def read_bounded(
    path: str | Path,
    max_bytes: int,
    on_wait: Callable[[], None] | None = None,
    max_bytes_of: Callable[[bytes], int] | None = None,
) -> bytes:
    """The content of a file, device or pipe. Raises OSError, also if it has more than `max_bytes`.

    `max_bytes_of`: as for `read_stream`.

    A named pipe is read to its end. With `on_wait`, this waits for a writer as long as it takes, as `cat` does, and
    calls `on_wait` after a second; without it, OSError is raised if nobody writes to the pipe for some seconds.
    """
    try:
        opened = _open_to_read(path, on_wait)
    except ValueError:  # a NUL character
        raise OSError(errno.EINVAL, "no file can have that name") from None
    with opened as file:
        return read_stream(file, max_bytes, max_bytes_of)


def read_stream(file: BinaryIO, max_bytes: int, max_bytes_of: Callable[[bytes], int] | None = None) -> bytes:
    """The rest of an open file. Raises OSError if that is more than `max_bytes`.

    `max_bytes_of`: how long a file that is longer may be, by its beginning.
    """
    data = file.read(max_bytes + 1)
    if len(data) > max_bytes and max_bytes_of is not None and (larger := max_bytes_of(data)) > max_bytes:
        max_bytes = larger
        data += file.read(max_bytes + 1 - len(data))
    if len(data) > max_bytes:
        raise OSError(errno.EFBIG, f"it has more than the {max_bytes / 1e6:,.1f} MB that such a file may have")
    return data


def file_sha256(path: Path) -> bytes:
    """SHA-256 of a file, read in pieces. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.digest()


def _open_to_read(path: str | Path, on_wait: Callable[[], None] | None) -> BinaryIO:
    if not stat.S_ISFIFO(os.stat(path).st_mode):
        return open(path, "rb")
    if on_wait is None:
        return _open_pipe_in_time(path)
    timer = threading.Timer(_SECONDS_BEFORE_NOTICE, on_wait)
    timer.daemon = True
    timer.start()
    try:
        return open(path, "rb")  # returns when somebody opens the other end
    finally:
        timer.cancel()


def _open_pipe_in_time(path: str | Path) -> BinaryIO:
    """Open a pipe for reading. Raises OSError, also if there is no writer within `_WRITER_SECONDS`."""
    opened: list[BinaryIO] = []
    errors: list[OSError] = []

    def open_pipe() -> None:
        try:
            opened.append(open(path, "rb"))  # noqa: SIM115
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=open_pipe, daemon=True)
    thread.start()
    thread.join(_WRITER_SECONDS)
    if thread.is_alive():
        with suppress(OSError):
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))  # unblocks the thread, which then ends
        raise OSError(errno.ETIMEDOUT, "it is a pipe that nobody writes to")
    if errors:
        raise errors[0]
    return opened[0]


def write_whole(path: Path, write: Callable[[BinaryIO], object], overwrite: bool = True) -> None:
    """Call `write` on a file beside `path`, flush it to disk, then give it its name.

    With `overwrite=False`, FileExistsError is raised if there already is a file with the name. Raises OutputError.
    """
    temporary = path.parent / f".bark-infinity-{secrets.token_hex(8)}.tmp"
    try:
        file = open(temporary, "x+b")  # noqa: SIM115
    except OSError as error:
        raise OutputError(f"cannot write in {path.parent} ({error.strerror}); choose another folder") from None
    try:
        with errors_naming(path):
            with file:
                write(file)
                to_disk(file)
            if overwrite:
                os.replace(temporary, path)
            else:
                _rename_to_new(temporary, path)
        sync_folder(path.parent)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)


def cache_home() -> Path:
    """The user's folder for caches, as the XDG specification and most Python libraries have it on every system."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser()


def remove_stale_temporaries(folder: Path) -> None:
    """Remove temporary files older than a day, which killed processes left in a folder."""
    with suppress(OSError):
        for entry in os.scandir(folder):
            if _TEMPORARY.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    if entry.stat().st_mtime < time.time() - _STALE_SECONDS:
                        os.unlink(entry.path)


def make_folder(folder: Path) -> None:
    """Create the output folder if it is missing. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the folder {folder} cannot be created ({error.strerror}); "
            "choose another with --output_dir or --output_filename"
        ) from None


@contextmanager
def errors_naming(path: Path) -> Iterator[None]:
    """Turn an OSError into an OutputError that names `path`; FileExistsError is passed on."""
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        raise OutputError(
            f"cannot write {path} ({error.strerror or error}); free space or choose another folder"
        ) from None


def to_disk(file: BinaryIO) -> None:
    """Flush a file to disk, so that it survives a power failure."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to disk, on systems that can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def name_together(moves: Sequence[tuple[Path, Path]]) -> None:
    """Rename files and folders within a file system: all of them, or none. `moves`: pairs (old path, new path).

    Raises FileExistsError if a new name is taken, OSError.
    """
    try:
        for hidden, path in moves:
            _rename_to_new(hidden, path)
    except BaseException:
        for hidden, path in reversed(moves):
            if not hidden.exists():
                os.replace(path, hidden)
            elif _is_same(hidden, path):  # interrupted while it had both names
                path.unlink()
        raise


def _is_same(one: Path, other: Path) -> bool:
    with suppress(OSError):
        return one.samefile(other)
    return False


def _rename_to_new(hidden: Path, path: Path) -> None:
    """Rename, or raise FileExistsError if the name is taken. A hard link does both in one step on every system."""
    try:
        os.link(hidden, path)
    except FileExistsError:
        raise
    except OSError:  # a folder, or a file system without hard links
        if path.exists():
            raise FileExistsError(path) from None
        os.replace(hidden, path)
    else:
        os.unlink(hidden)


def safe_stem(text: str, max_bytes: int = MAX_STEM_BYTES) -> str:
    """A file name, without ending, made from `text`: letters and digits of any script, `-` and `_`; never empty."""
    text = unicodedata.normalize("NFC", text)
    kept = "".join(ch if ch == "-" or unicodedata.category(ch)[0] in "LMN" else "_" for ch in text)
    kept = re.sub(r"__+", "_", kept).encode()[:max_bytes].decode(errors="ignore").strip("_-")
    if not any(character.isalnum() for character in kept):
        return "bark"
    return f"{kept}_" if _RESERVED.fullmatch(kept) else kept


def portable_stem(name: str, max_bytes: int = MAX_STEM_BYTES) -> str:
    """A chosen file name without the characters that some file system refuses or hides; never empty."""
    name = unicodedata.normalize("NFC", name)
    kept = "".join("_" if ch in _REFUSED or unicodedata.category(ch) in _UNSEEN_CATEGORIES else ch for ch in name)
    kept = kept.encode()[:max_bytes].decode(errors="ignore").lstrip(" .-").rstrip(" .") or "bark"
    first, dot, rest = kept.partition(".")
    return f"{first}_{dot}{rest}" if _RESERVED.fullmatch(first.rstrip()) else kept
