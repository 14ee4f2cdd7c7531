"""Downloads of a job: its files as one zip archive, and its clips in other formats, encoded when they are asked for."""

from __future__ import annotations

import io
import tempfile
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..audio.formats import FORMATS
from ..errors import UsageError
from ..options.table import Options
from ..output.restitching import restitch_file
from ..voices.rendering import Decode

_BLOCK_BYTES = 256 * 1024  # read of a file at a time
_MOST_KEPT = 8  # encoded clips; an audiobook in m4b has 30 MB an hour


class _Sink(io.RawIOBase):
    """A file without a beginning to go back to: it holds what was written since it was last emptied."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        part = bytes(data)  # type: ignore[call-overload]  # any buffer
        self._parts.append(part)
        return len(part)

    def empty(self) -> bytes:
        """What was written since the last call."""
        data = b"".join(self._parts)
        self._parts.clear()
        return data


def zip_stream(files: Sequence[Path], folder: Path) -> Iterator[bytes]:
    """Yield a zip archive of these files in blocks; its names are relative to `folder`. One block is in memory at a time.

    Files are stored as they are: audio and tokens are compressed already. A file that is gone by now is left out.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for path in files:
            name = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
            try:
                file = path.open("rb")
                info = zipfile.ZipInfo.from_file(path, name, strict_timestamps=False)
            except FileNotFoundError:
                continue
            with file, archive.open(info, "w", force_zip64=True) as entry:
                while block := file.read(_BLOCK_BYTES):
                    entry.write(block)
                    yield sink.empty()
    yield sink.empty()


class Exports:
    """Finished clips in other formats, made from their tokens in a folder that is removed at the end; the latest are kept.

    One clip is encoded at a time; methods may be called from any thread. `decode`: the codec, codes to samples.
    """

    def __init__(self, decode: Decode, most_kept: int = _MOST_KEPT):
        self._decode, self._most_kept = decode, most_kept
        self._lock = threading.Lock()
        self._folder: tempfile.TemporaryDirectory[str] | None = None  # made when first needed
        self._kept: OrderedDict[tuple[Path, int, str], Path] = OrderedDict()

    def export(self, manifest: Path, format: str) -> Path:
        """A finished clip, by its manifest, in another format. Raises UsageError, OutputError, also for missing tokens."""
        if format not in FORMATS:
            raise UsageError(f"{format!r} is no format of audio files; choose one of {', '.join(FORMATS)}")
        with self._lock:
            key = (manifest, _changed(manifest), format)
            if (made := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                return made
            while len(self._kept) >= self._most_kept:
                _, old = self._kept.popitem(last=False)
                _remove(old)
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="bark-exports-")
            home = Path(tempfile.mkdtemp(dir=self._folder.name))
            files = Options(always_save_speaker=False)
            self._kept[key] = restitch_file(manifest, self._decode, home / f"{manifest.stem}.{format}", files)
            return self._kept[key]


def _changed(manifest: Path) -> int:
    """When a clip was last written, in ns. Raises UsageError."""
    try:
        return manifest.stat().st_mtime_ns
    except OSError:
        raise UsageError(f"{manifest.stem} has no manifest any more, from which it could be encoded anew") from None


def _remove(made: Path) -> None:
    """Remove an encoded clip with what lies beside it."""
    for path in (*made.parent.iterdir(),):
        path.unlink(missing_ok=True)
    made.parent.rmdir()
