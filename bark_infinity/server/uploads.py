"""Uploaded files: kept by their hash in a hidden folder of the output folder, bounded, and known by their content."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

from ..errors import OutputError, TooLargeError, UnknownUploadError
from ..files import errors_naming, make_folder, portable_stem
from .upload_kinds import KINDS, UploadKind, kind_of_file

FOLDER = ".uploads"  # in the output folder
_INCOMING = ".incoming-"  # begins the names of folders whose files are not whole
_ID = re.compile(r"[0-9a-f]{32}")
_MAX_NAME_BYTES = 120
_STALE_S = 86_400  # after which a folder that was never completed is from a killed process
_KEPT_S = 86_400  # for which an upload stays after it was used, whatever comes in


@dataclass(frozen=True)
class Upload:
    """An uploaded file. `id`: a hash of its name and content. `name`: as it is shown, and the name of the file at `path`."""

    id: str
    name: str
    kind: UploadKind
    n_bytes: int
    path: Path  # a whole path
    used: float  # Unix seconds: when it was uploaded or last asked for


class Uploads:
    """The uploaded files of an output folder. Its methods may be called from any thread.

    Each has a folder of its own, named by its id and its kind. Once all of them have more than `most_bytes_in_all`, those
    that were not used for longest are removed, but none that was used within a day: a job may wait for it.
    """

    def __init__(self, output_folder: Path, most_bytes: int, most_bytes_in_all: int):
        """`most_bytes`: of one file."""
        self.folder = (output_folder / FOLDER).absolute()
        self.most_bytes, self._most_bytes_in_all = most_bytes, most_bytes_in_all
        self._lock = threading.Lock()

    def receive(self, name: str) -> IncomingFile:
        """A file that is being uploaded, to be used in a `with` statement. Raises OutputError."""
        make_folder(self.folder)
        self._remove_stale()
        return IncomingFile(self, shown_name(name))

    def find(self, id: str) -> Upload:
        """The upload with this id, which counts as used now. Raises UnknownUploadError."""
        if _ID.fullmatch(id):
            for kind in KINDS:
                folder = self.folder / f"{id}.{kind}"
                with contextlib.suppress(OSError):
                    os.utime(folder)
                    if (upload := _read(folder)) is not None:
                        return upload
        raise UnknownUploadError(
            f"there is no upload {_shown(id)}; upload the file, and take the id that the answer has"
        )

    def named(self, name: str, *kinds: UploadKind) -> Upload:
        """The upload of one of these kinds with this id, name or path; of several with one name, the latest.

        Raises UnknownUploadError.
        """
        for upload in self.all():
            if upload.kind in kinds and name in (upload.id, upload.name, str(upload.path)):
                return self.find(upload.id)
        raise UnknownUploadError(f"there is no uploaded {' or '.join(kinds)} {_shown(name)}; upload the file first")

    def all(self) -> list[Upload]:
        """All uploads, the latest first."""
        try:
            folders = list(self.folder.iterdir())
        except FileNotFoundError:
            return []
        found = (_read(folder) for folder in folders if not folder.name.startswith("."))
        return sorted((upload for upload in found if upload is not None), key=lambda upload: -upload.used)

    def remove(self, id: str) -> None:
        """Remove an upload. Raises UnknownUploadError."""
        shutil.rmtree(self.find(id).path.parent, ignore_errors=True)

    def take_in(self, incoming: Path, name: str, digest: str) -> Upload:
        """Give a file that is complete its place among the uploads. Raises UploadError, OutputError."""
        kind = kind_of_file(incoming / name, name)
        with self._lock:
            self._make_room((incoming / name).stat().st_size)
            place = self.folder / f"{digest}.{kind}"
            with errors_naming(self.folder):
                if place.exists():  # the same file again
                    shutil.rmtree(incoming, ignore_errors=True)
                else:
                    os.replace(incoming, place)
        return self.find(digest)

    def _make_room(self, n_bytes: int) -> None:
        """Remove uploads until a file of this size fits. Raises OutputError."""
        uploads = self.all()
        left = self._most_bytes_in_all - n_bytes - sum(upload.n_bytes for upload in uploads)
        for upload in reversed(uploads):
            if left >= 0:
                return
            if upload.used < time.time() - _KEPT_S:
                shutil.rmtree(upload.path.parent, ignore_errors=True)
                left += upload.n_bytes
        if left < 0:
            raise OutputError(
                f"the uploads have the {self._most_bytes_in_all / 1e6:,.0f} MB that they may have; remove some of them"
            )

    def _remove_stale(self) -> None:
        """Remove what killed processes left."""
        for folder in self.folder.glob(f"{_INCOMING}*"):
            with contextlib.suppress(OSError):
                if folder.stat().st_mtime < time.time() - _STALE_S:
                    shutil.rmtree(folder, ignore_errors=True)


class IncomingFile:
    """A file that is being uploaded. It is one of the uploads once it is complete, and removed if it never is."""

    def __init__(self, uploads: Uploads, name: str):
        self._uploads, self.name = uploads, name
        self._digest = hashlib.sha256(name.encode() + b"\0")
        self._n_bytes = 0
        self._folder = uploads.folder / f"{_INCOMING}{secrets.token_hex(8)}"
        with errors_naming(self._folder):
            self._folder.mkdir()
            self._file: BinaryIO = open(self._folder / name, "xb")  # noqa: SIM115

    def __enter__(self) -> IncomingFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def write(self, data: bytes) -> None:
        """The next bytes. Raises TooLargeError, OutputError."""
        self._n_bytes += len(data)
        if self._n_bytes > self._uploads.most_bytes:
            raise TooLargeError(f"{self.name} has more than the {self._uploads.most_bytes / 1e6:,.0f} MB of an upload")
        self._digest.update(data)
        with errors_naming(self._folder / self.name):
            self._file.write(data)

    def complete(self) -> Upload:
        """The upload, once all bytes are written. Raises UploadError for a file that nothing can be made of, OutputError."""
        with errors_naming(self._folder / self.name):
            self._file.close()
        return self._uploads.take_in(self._folder, self.name, self._digest.hexdigest()[:32])


def shown_name(name: str) -> str:
    """The last part of a client's file name, of characters that every system takes and shows."""
    last = " ".join(PureWindowsPath(PurePosixPath(name.replace("\0", "_")).name).name.split())
    stem, dot, ending = last.rpartition(".")
    if not dot or not stem or len(ending) > 10:
        return portable_stem(last, _MAX_NAME_BYTES)
    return portable_stem(f"{portable_stem(stem, _MAX_NAME_BYTES)}.{ending}")


def with_shown_names(value: object, output_folder: Path) -> object:
    """The value of a flag with the names of uploads, as they are shown, in place of their paths."""
    place = re.escape(str((output_folder / FOLDER).absolute()))
    return re.sub(rf"{place}[/\\][^/\\]*[/\\]", "", value) if isinstance(value, str) else value


def _read(folder: Path) -> Upload | None:
    """The upload in a folder; None if it is none."""
    id, _, kind = folder.name.partition(".")
    known = next((own for own in KINDS if own == kind), None)
    if known is None or not _ID.fullmatch(id):
        return None
    try:
        (path,) = folder.iterdir()
        return Upload(id, path.name, known, path.stat().st_size, path, folder.stat().st_mtime)
    except (OSError, ValueError):  # it is being removed
        return None


def _shown(name: str) -> str:
    return name if len(name) <= 100 and name.isprintable() else repr(name[:100])
