"""Streaming encoders of audio files: one uses libsndfile, the other an ffmpeg process."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np

from .. import constants as c
from ..errors import OutputError

_ID3_FRAMES = {"title": (b"TIT2", b""), "comment": (b"COMM", b"eng\0"), "software": (b"TSSE", b"")}
_FFMPEG_TAGS = {"software": "encoding_tool"}  # as MP4 calls it
_SFC_RF64_AUTO_DOWNGRADE = 0x1210  # sndfile.h; soundfile has no name for it


class SoundfileEncoder:
    """Encodes with libsndfile. Writing and closing raise the system's OSError; a discarded file is not complete."""

    def __init__(
        self,
        file: BinaryIO,
        tags: Mapping[str, str],
        container: str,
        codec: str,
        compression: float | None = None,
        sample_rate: int = c.SAMPLE_RATE,
        bitrate_mode: str | None = None,
    ):
        """`container`, `codec`: libsndfile's names; an RF64 that stays below 4 GiB becomes a WAV. `compression`: 0..1."""
        import soundfile

        if codec == "MPEG_LAYER_III":
            file.write(_id3(tags))
            tags = {}  # libsndfile's own ID3 tag declares UTF-8 text as Latin-1
        self._file = _GuardedFile(file)
        with self._file.errors_raised():
            self._sound = soundfile.SoundFile(
                self._file,
                "w",
                sample_rate,
                1,
                codec,
                format=container,
                compression_level=compression,
                bitrate_mode=bitrate_mode,
            )
            if container == "RF64":
                with contextlib.suppress(
                    AttributeError
                ):  # a private API of soundfile; without it a short file stays RF64
                    soundfile._snd.sf_command(self._sound._file, _SFC_RF64_AUTO_DOWNGRADE, soundfile._ffi.NULL, 1)
            for name, value in tags.items():
                setattr(self._sound, name, value)

    def write(self, block: np.ndarray) -> None:
        """Samples (n,) float32 in -1..1."""
        with self._file.errors_raised():
            self._sound.write(block)

    def close(self) -> None:
        """Write the last bytes; the file itself stays open."""
        with self._file.errors_raised():
            self._sound.close()

    def discard(self) -> None:
        """Free what libsndfile holds, finished or not."""
        with contextlib.suppress(RuntimeError):
            self._sound.close()


class _GuardedFile:
    """A file for libsndfile's callbacks, in which exceptions get lost.

    The first exception is stored, and raised by `errors_raised`; later calls do nothing. Offset 0 for libsndfile is the
    position of `file` at the start.
    """

    def __init__(self, file: BinaryIO):
        self._file, self._start = file, file.tell()
        self._error: BaseException | None = None

    @contextlib.contextmanager
    def errors_raised(self) -> Iterator[None]:
        """Wraps every call of libsndfile: raises the stored exception."""
        try:
            yield
        except (RuntimeError, AssertionError):  # raised by soundfile as a consequence
            if self._error is None:
                raise
        if self._error is not None:
            raise self._error

    def write(self, data: bytes) -> int:
        return self._guarded(lambda: self._file.write(data))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = self._start if whence == os.SEEK_SET else 0
        return self._guarded(lambda: self._file.seek(start + offset, whence) - self._start)

    def tell(self) -> int:
        return self._guarded(lambda: self._file.tell() - self._start)

    def _guarded(self, act: Callable[[], int]) -> int:
        """The result of `act`; 0 if it raises, which is stored, or if there was an error before."""
        try:
            if self._error is None:
                return act()
        except BaseException as error:  # Ctrl-C too
            self._error = error
        return 0


def _id3(tags: Mapping[str, str]) -> bytes:
    """An ID3 tag in UTF-8, for the front of an MP3. Layout: id3.org/id3v2.4.0-structure."""

    def size(n: int) -> bytes:  # seven bits a byte, so that no size looks like the start of a frame of sound
        return bytes(n >> shift & 127 for shift in (21, 14, 7, 0))

    frames = b""
    for name, (frame, before) in _ID3_FRAMES.items():
        if name in tags:
            body = b"\x03" + before + tags[name].encode()  # 3: UTF-8
            frames += frame + size(len(body)) + b"\0\0" + body
    return b"ID3\x04\0\0" + size(len(frames)) + frames if frames else b""


class FfmpegEncoder:
    """Encodes by piping samples to an ffmpeg process. Raises OutputError with ffmpeg's error message."""

    def __init__(
        self,
        file: BinaryIO,
        path: Path,
        format: str,
        tags: Mapping[str, str],
        arguments: Sequence[str],
        sample_rate: int = c.SAMPLE_RATE,
    ):
        """`file`: must have a name. `path`: the final path, for messages. `format`: a file suffix that ffmpeg knows.

        `arguments`: further arguments for ffmpeg. ffmpeg writes its output beside `file`, so that it is removed with the
        folder of an unfinished clip.
        """
        self._file, self._path, self._format, self._rate = file, path, format, sample_rate
        metadata = [("-metadata", f"{_FFMPEG_TAGS.get(name, name)}={value}") for name, value in tags.items()]
        self._arguments = [*itertools.chain(*metadata), *arguments]
        self._process: subprocess.Popen[bytes] | None = None
        self._resources = contextlib.ExitStack()

    def write(self, block: np.ndarray) -> None:
        """Samples (n,)."""
        # Started here and not in the constructor, because from now on the caller discards it whatever happens.
        process = self._process or self._start()
        try:
            _input(process).write(block.astype("<f4").tobytes())
        except OSError:  # ffmpeg has ended: because of its arguments, or with an error, which is reported at once
            self._wait(process)

    def close(self) -> None:
        """Copy ffmpeg's output into the file, which stays open. Some samples must have been written before."""
        assert self._process is not None  # started by the first samples
        with contextlib.suppress(OSError):
            _input(self._process).close()
        self._wait(self._process)
        with self._encoded.open("rb") as encoded:
            shutil.copyfileobj(encoded, self._file)

    def discard(self) -> None:
        """End the process and remove its output, finished or not."""
        self._resources.close()

    def _start(self) -> subprocess.Popen[bytes]:
        self._encoded = Path(f"{self._file.name}.{self._format}").absolute()  # MP4 needs a seekable file
        stderr = tempfile.TemporaryFile()  # noqa: SIM115  # a pipe that nobody reads would fill up
        self._stderr = self._resources.enter_context(stderr)
        command = ["ffmpeg", "-hide_banner", "-loglevel", "error"]
        command += [
            "-f",
            "f32le",
            "-ar",
            str(self._rate),
            "-ac",
            "1",
            "-i",
            "pipe:0",
            *self._arguments,
            str(self._encoded),
        ]
        self._resources.callback(self._stop)
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._stderr)
        return self._process

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            with contextlib.suppress(OSError):
                _input(self._process).close()
            self._process.wait()
        self._encoded.unlink(missing_ok=True)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until ffmpeg has ended. Raises OutputError if it has written no file."""
        if process.wait() or not self._encoded.exists():
            self._stderr.seek(0)
            raise OutputError(
                f"ffmpeg cannot write {self._path} ({_error_line(self._stderr.read())}); "
                "change --output_format_ffmpeg_parameters or choose another --output_format"
            )


def _input(process: subprocess.Popen[bytes]) -> IO[bytes]:
    """The pipe to a process's standard input."""
    assert process.stdin is not None  # it was started with a pipe
    return process.stdin


def _error_line(stderr: bytes) -> str:
    """The first line of ffmpeg's messages, which has the reason; later ones only say that it failed."""
    lines = stderr.decode(errors="replace").split("\n")
    return re.sub(r"^\[[^]]*\] ", "", lines[0]).strip()[:300] or "it gives no reason"
