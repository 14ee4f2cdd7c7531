"""The streaming encoder of MP4 files (mp4, m4a, m4b), with chapters and cover, by FFmpeg's libraries in PyAV."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from ..errors import OutputError, UsageError
from .av_frames import audio_frame
from .av_parameters import AvParameters
from .chapters import Chapter
from .encoding import Encoding
from .guarded_file import GuardedFile
from .images import image_kind
from .tags import Tags, language_code

if TYPE_CHECKING:  # loading it takes a while, and only some runs need it
    from av.container import OutputContainer

_BRANDS = {"m4a": "M4A ", "m4b": "M4B "}  # of a file's first atom, by which Apple's programs tell music from audiobooks
_MP4_NAMES = {"narrator": "composer", "software": "encoding_tool"}  # as players of audiobooks and FFmpeg call them
_NOT_TEXTS = {"language"}  # of the stream, not of the file
_AUDIOBOOK = {"media_type": "2"}
_MILLISECONDS = Fraction(1, 1000)


class AvEncoder:
    """Encodes to AAC in MP4, or as `encoding.parameters` say.

    The index of the file is at its front, for players that read it from the network. Writing and closing raise the system's
    OSError, and OutputError for what FFmpeg refuses.
    """

    def __init__(self, file: BinaryIO, path: Path, tags: Tags, encoding: Encoding):
        """`file`: open for writing and reading. `path`: the final path, for messages. Raises OutputError."""
        self._file, self._path = GuardedFile(file), path
        self._rate, self._samples = encoding.sample_rate, 0
        asked = AvParameters.parse(encoding.parameters)
        with self._errors(), contextlib.ExitStack() as stack:
            self._container = _open_container(self._file, encoding, asked)
            stack.callback(self._close_unfinished)
            self._container.metadata.update(_metadata(tags.texts, encoding.format, asked.metadata))
            self._stream = asked.add_stream(self._container, self._rate)
            if (language := language_code(tags.texts.get("language", ""))) is not None:
                self._stream.metadata["language"] = language
            if tags.cover is not None:
                self._add_cover(tags.cover)
            self._resources = stack.pop_all()

    def write(self, block: np.ndarray) -> None:
        """Samples (n,) float32 in -1..1."""
        frame = audio_frame(block, self._rate, self._samples)
        self._samples += len(block)
        with self._errors():
            self._container.mux(self._stream.encode(frame))

    def close(self, chapters: Sequence[Chapter] = ()) -> None:
        """Write the last samples, the index and the chapters; the file itself stays open."""
        with self._errors():
            self._container.mux(self._stream.encode(None))
            self._container.set_chapters(
                [
                    {
                        "id": number,
                        "start": chapter.start_ms,
                        "end": chapter.stop_ms,
                        "time_base": _MILLISECONDS,
                        "metadata": {"title": chapter.title},
                    }
                    for number, chapter in enumerate(chapters)
                ]
            )
            self._container.close()

    def discard(self) -> None:
        """Free what FFmpeg holds, finished or not."""
        self._resources.close()

    def _add_cover(self, image: bytes) -> None:
        """Add the image as FFmpeg wants it: a video of one picture, which becomes the file's cover."""
        import av
        from av.stream import Disposition

        with av.open(io.BytesIO(image), format=f"{image_kind(image)}_pipe") as source:
            (picture,) = source.streams.video
            stream = self._container.add_stream_from_template(picture)
            stream.disposition = Disposition.attached_pic
            for packet in source.demux(picture):
                if packet.size:
                    packet.stream = stream
                    self._container.mux(packet)

    def _close_unfinished(self) -> None:
        self._file.ignore()  # else FFmpeg would write the end of a file
        with contextlib.suppress(Exception):
            self._container.close()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Raises errors of the file as they are, and those of FFmpeg as OutputError."""
        import av

        try:
            with self._file.errors_raised(av.FFmpegError):
                yield
        except (av.FFmpegError, UsageError) as error:
            raise OutputError(
                f"FFmpeg cannot write {self._path} ({_reason(error)}); "
                "change --output_format_ffmpeg_parameters or choose another --output_format"
            ) from None


def check_parameters(parameters: str) -> None:
    """Raise UsageError for a value of --output_format_ffmpeg_parameters with which nothing can be encoded."""
    import av

    asked = AvParameters.parse(parameters)
    try:
        with _open_container(GuardedFile(io.BytesIO()), Encoding("m4a"), asked) as container:
            asked.add_stream(container, Encoding.sample_rate)
    except av.FFmpegError as error:
        raise UsageError(
            f"--output_format_ffmpeg_parameters {parameters}: FFmpeg does not take them ({_reason(error)}); change them"
        ) from None


def _reason(error: Exception) -> str:
    """The reason of an error, on one line."""
    return " ".join(str(getattr(error, "strerror", None) or error).split())[:300] or type(error).__name__


def _open_container(file: GuardedFile, encoding: Encoding, asked: AvParameters) -> OutputContainer:
    import av

    options = {"movflags": "+faststart", "movie_timescale": str(encoding.sample_rate)}  # so that lengths are exact
    options |= {"brand": _BRANDS[encoding.format]} if encoding.format in _BRANDS else {}
    return av.open(
        file,
        "w",
        format="mp4",
        container_options=options | dict(asked.container_options),
        io_open=lambda *_: file.reader(),  # FFmpeg reads what it has written to move the index to the front
    )


def _metadata(texts: Mapping[str, str], format: str, asked: Mapping[str, str]) -> dict[str, str]:
    own = {_MP4_NAMES.get(name, name): text for name, text in texts.items() if name not in _NOT_TEXTS}
    return own | (_AUDIOBOOK if format == "m4b" else {}) | dict(asked)
