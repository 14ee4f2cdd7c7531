"""Files in the hub's cache: compared with their checksums, and downloaded so that a broken download goes on later.

The library `huggingface_hub` talks to the server and lays the cache out. But versions of it from 2.0 on throw away what
an interrupted download had, and none compares more than the size.
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

from ..errors import CheckpointError, OutputError
from ..files import to_disk, write_whole

_NOTES = ".bark_infinity"  # in a repository's folder: what each file was when it was last read from end to end
_CHUNK_BYTES = 2**17  # that are written at once: what has come of one is lost in a break, and the library takes 10 MB
_SHA256 = re.compile(r"[0-9a-f]{64}")  # the ETag of a large file is its content's; that of a small one is git's
_FILE_NAME = re.compile(r"\w[\w.-]{0,199}", re.ASCII)  # what a server may name our files


@dataclass(frozen=True)
class RemoteFile:
    """What the server says of a file; `size` in bytes, None if it does not say."""

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
        """A file that is there, damaged or not."""
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(self._repo, name, cache_dir=self._root)
        return Path(found) if isinstance(found, str) else None

    def is_sound(self, name: str, path: Path) -> bool:
        """Whether a file that was found has the content it came with, as far as that is known.

        It is read from end to end (seconds for gigabytes) only if its size or date is not the one last noted.
        """
        try:
            note, now = self._note(name), _state(path)
            if all(note.get(what) == value for what, value in now.items()):
                return True
            if not os.access(self._folder, os.W_OK):  # without a note it would be read at every start
                return True
            etag, found = now["etag"], _sha256(path)
        except OSError:  # whoever reads it will say so
            return True
        expected = etag if _SHA256.fullmatch(etag) else note.get("sha256", found) if note.get("etag") == etag else found
        if expected != found:
            return False
        self._write_note(name, now, found)
        return True

    def ask(self, name: str) -> RemoteFile:
        """Ask the server for a file's version and size, once. Raises what the library's HTTP client does."""
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        url = hf_hub_url(self._repo, name)
        found = get_hf_file_metadata(url)
        for what, value in (("ETag", found.etag), ("X-Repo-Commit", found.commit_hash)):
            if not _FILE_NAME.fullmatch(value or ""):
                raise CheckpointError(
                    f"{url} answers without a usable {what}, so it is no hub; check HF_ENDPOINT, proxy and firewall"
                )
        return RemoteFile(url, name, found.etag, found.commit_hash, found.size)

    def download(self, remote: RemoteFile, again: bool) -> Path:
        """Bring a file into the cache, going on with what an earlier attempt has left; `again` even if it is there.

        Raises OSError, CheckpointError for wrong content, and what the library's HTTP client does.
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
        if not pointer.is_symlink():  # a copy, where the system has no links for everybody
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

    def _write_note(self, name: str, state: Mapping[str, object], sha256: str) -> None:
        path = self._folder / _NOTES / f"{name}.json"
        with contextlib.suppress(OSError, OutputError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, lambda file: file.write(json.dumps({**state, "sha256": sha256}).encode()))


def _state(path: Path) -> dict[str, object]:
    """What tells cheaply whether a cached file has changed. `etag` is empty where the cache has copies and no links."""
    status = path.stat()
    etag = Path(os.readlink(path)).name if path.is_symlink() else ""
    return {"etag": etag, "size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _fetch(remote: RemoteFile, blob: Path) -> str:
    """Download a file to `blob`, whole or not at all; its SHA-256."""
    part = blob.with_name(f"{blob.name}.incomplete")
    for _ in range(2):  # the first time it may have gone on with a part that was damaged
        _go_on(remote, part)
        found = _sha256(part)
        if found == remote.etag or not _SHA256.fullmatch(remote.etag):
            os.replace(part, blob)
            return found
        part.unlink()
    raise CheckpointError(
        f"{remote.url} has sent {remote.name} with a wrong checksum twice; try again later, or another HF_ENDPOINT"
    )


def _go_on(remote: RemoteFile, part: Path) -> None:
    """Download what is still missing of a file; after a break again, as long as something comes."""
    from huggingface_hub.utils import build_hf_headers

    http_get = _http_get_in_small_chunks()
    headers = build_hf_headers() | {"Accept-Encoding": "identity"}  # compressed, it could not go on in the middle
    while True:
        had = _size(part)
        if remote.size is None or had > remote.size:  # nothing to go on with
            part.unlink(missing_ok=True)
            had = 0
        try:
            with open(part, "ab") as file:
                http_get(
                    remote.url,
                    file,
                    resume_size=had,
                    headers=dict(headers),
                    expected_size=remote.size,
                    displayed_filename=remote.name,
                )
                to_disk(file)
            return
        except Exception:  # of the HTTP client, which is another in each major version
            if not had < _size(part) <= (remote.size or 0):
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
    names["http_get"] = copy  # it calls itself to go on after a break
    return copy


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(2**20):
            digest.update(block)
        return digest.hexdigest()
