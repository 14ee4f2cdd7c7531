"""Files in the hub's cache: checks their checksums, and downloads them so that a broken download can be resumed.

The library `huggingface_hub` talks to the server and defines the layout of the cache. But from version 2.0 on it discards
an interrupted download, and no version compares more than the size.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import TypedDict

from ..errors import CheckpointError, OutputError
from ..files import to_disk, write_whole

_NOTES = ".bark_infinity"  # in a repository's folder: size, date and checksum of each file when it was last verified
_CHUNK_BYTES = 2**17  # written at a time: an incomplete chunk is lost in a break, and the library's have 10 MB
_SHA256 = re.compile(r"[0-9a-f]{64}")  # a large file's ETag is its SHA-256; that of a small one is git's hash
_FILE_NAME = re.compile(r"\w[\w.-]{0,199}", re.ASCII)  # names that are accepted from a server


@dataclass(frozen=True)
class RemoteFile:
    """A file as the server describes it; `size` in bytes, None if unknown."""

    url: str
    name: str
    etag: str
    commit: str
    size: int | None


class CachedRepo:
    """The folder of a hub repository in a cache (None: the hub's own)."""

    def __init__(self, repo: str, cache: str | None):
        from huggingface_hub import constants
        from huggingface_hub.file_download import repo_folder_name

        self._repo, self._root = repo, Path(cache or constants.HF_HUB_CACHE)
        self._folder = self._root / repo_folder_name(repo_id=repo, repo_type="model")

    def find(self, name: str) -> Path | None:
        """The path of a cached file, damaged or not, or None."""
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(self._repo, name, cache_dir=self._root)
        return Path(found) if isinstance(found, str) else None

    def is_sound(self, name: str, path: Path) -> bool:
        """False when the content of a cached file no longer has its known checksum.

        The file is read completely (seconds for gigabytes) only if its size or date has changed since it was verified.
        """
        try:
            note, now = self._note(name), _state(path)
            if all(note.get(what) == value for what, value in now.items()):
                return True
            if not os.access(self._folder, os.W_OK):  # no note can be kept, and it would be read at every start
                return True
            etag, found = now["etag"], _sha256(path)
        except OSError:  # the reader of the file raises the error
            return True
        expected = etag if _SHA256.fullmatch(etag) else note.get("sha256", found) if note.get("etag") == etag else found
        if expected != found:
            return False
        self._write_note(name, now, found)
        return True

    def ask(self, name: str) -> RemoteFile:
        """Ask the server for a file's version and size, once. Raises CheckpointError and the HTTP client's errors."""
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        url = hf_hub_url(self._repo, name)
        found = get_hf_file_metadata(url)
        etag, commit = found.etag or "", found.commit_hash or ""
        for what, value in (("ETag", etag), ("X-Repo-Commit", commit)):
            if not _FILE_NAME.fullmatch(value):
                raise CheckpointError(
                    f"{url} answers without a usable {what}, so it is no hub; check HF_ENDPOINT, proxy and firewall"
                )
        return RemoteFile(url, name, etag, commit, found.size)

    def download(self, remote: RemoteFile, again: bool) -> Path:
        """Download a file into the cache, resuming an earlier attempt; with `again` also a file that is there.

        Raises OSError, CheckpointError for wrong content, and errors of the library's HTTP client.
        """
        from huggingface_hub import hf_hub_download
        from huggingface_hub.utils import WeakFileLock

        blob = self._folder / "blobs" / remote.etag
        lock = self._root / ".locks" / self._folder.name / f"{remote.etag}.lock"  # the library's own
        for folder in (blob.parent, lock.parent):
            folder.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(lock):
            found = _sha256(blob) if blob.is_file() and not again else None
            if found != remote.etag:
                found = _fetch(remote, blob)
        pointer = self._folder / "snapshots" / remote.commit / remote.name
        if not pointer.is_symlink():  # a copy, where the system does not allow links
            pointer.unlink(missing_ok=True)
        path = Path(hf_hub_download(self._repo, remote.name, cache_dir=self._root))
        if not path.is_symlink():
            blob.unlink(missing_ok=True)
        self._write_note(remote.name, _state(path), found)
        return path

    def _note(self, name: str) -> Mapping[str, object]:
        with contextlib.suppress(OSError, ValueError, RecursionError):
            content = json.loads((self._folder / _NOTES / f"{name}.json").read_bytes())
            if isinstance(content, dict):
                return content
        return {}

    def _write_note(self, name: str, state: _State, sha256: str) -> None:
        path = self._folder / _NOTES / f"{name}.json"
        with contextlib.suppress(OSError, OutputError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, lambda file: file.write(json.dumps({**state, "sha256": sha256}).encode()))


class _State(TypedDict):
    etag: str
    size: int
    mtime_ns: int


def _state(path: Path) -> _State:
    """ETag, size and date of a cached file, which show cheaply whether it has changed.

    `etag` is empty where the cache has copies in place of links.
    """
    status = path.stat()
    etag = Path(os.readlink(path)).name if path.is_symlink() else ""
    return {"etag": etag, "size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _fetch(remote: RemoteFile, blob: Path) -> str:
    """Download a file to `blob`, completely or not at all, and return its SHA-256."""
    part = blob.with_name(f"{blob.name}.incomplete")
    for _ in range(2):  # the first attempt may have resumed a damaged part
        _resume(remote, part)
        found = _sha256(part)
        if found == remote.etag or not _SHA256.fullmatch(remote.etag):
            os.replace(part, blob)
            return found
        part.unlink()
    raise CheckpointError(
        f"{remote.url} has sent {remote.name} with a wrong checksum twice; try again later, or another HF_ENDPOINT"
    )


def _resume(remote: RemoteFile, part: Path) -> None:
    """Download the missing part of a file; after a break it is tried again as long as data arrives."""
    from huggingface_hub.utils import build_hf_headers

    http_get = _http_get_in_small_chunks()
    headers = build_hf_headers() | {"Accept-Encoding": "identity"}  # a compressed response cannot be resumed
    while True:
        start = _size(part)
        if remote.size is None or start > remote.size:  # nothing that can be resumed
            part.unlink(missing_ok=True)
            start = 0
        try:
            with open(part, "ab") as file:
                http_get(
                    remote.url,
                    file,
                    resume_size=start,
                    headers=dict(headers),
                    expected_size=remote.size,
                    displayed_filename=remote.name,
                )
                to_disk(file)
            return
        except Exception:  # each major version of the library has another HTTP client
            if not start < _size(part) <= (remote.size or 0):
                raise


def _http_get_in_small_chunks() -> Callable[..., None]:
    """A copy of the library's `http_get` that reads and writes `_CHUNK_BYTES` at once.

    The library takes the chunk size from a constant of a module. Assigning to that would change it for everybody who
    uses the library in this process, so the copy looks its constants up in a view of that module instead.
    """
    from huggingface_hub import constants, file_download

    class Constants:
        DOWNLOAD_CHUNK_SIZE = _CHUNK_BYTES

        def __getattr__(self, name: str) -> object:
            return getattr(constants, name)

    original = inspect.unwrap(file_download.http_get)
    names = {**vars(file_download), "constants": Constants()}
    copy = FunctionType(original.__code__, names, None, original.__defaults__, original.__closure__)
    copy.__kwdefaults__ = original.__kwdefaults__
    names["http_get"] = copy  # it calls itself to resume after a break
    return copy


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(2**20):
            digest.update(block)
        return digest.hexdigest()
