"""Waveforms: silence, joining segments sample by sample, and audio files with their making written inside."""

from __future__ import annotations

import io
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from . import constants as c
from .errors import OutputError, UsageError
from .files import write_whole

_SOUNDFILE_FORMATS = {  # libsndfile's container, codec and compression, 0..1; bit rates are those of speech
    "wav": ("WAV", "PCM_16", None),
    "flac": ("FLAC", "PCM_16", None),
    "ogg": ("OGG", "VORBIS", 0.4),  # Vorbis quality 6 of 10, about 75 kbit/s
    "opus": ("OGG", "OPUS", (256 - 64) / (256 - 6)),  # counted from 256 kbit/s down to 6: here 64, music stays music
    "mp3": ("MP3", "MPEG_LAYER_III", 0.2),  # LAME's V2, about 65 kbit/s
}
_FFMPEG_ENCODERS = {name: ("-c:a", "aac", "-b:a", "96k") for name in ("mp4", "m4a")}
_FFMPEG_TAGS = {"software": "encoding_tool"}  # as MP4 calls it
_ID3_FRAMES = {"title": (b"TIT2", b""), "comment": (b"COMM", b"eng\0"), "software": (b"TSSE", b"")}
_BLOCK = 2**16  # samples that are encoded at once: libsndfile crashes on ten minutes of Vorbis in one call

FFMPEG_FORMATS = tuple(_FFMPEG_ENCODERS)
FORMATS = (*_SOUNDFILE_FORMATS, *FFMPEG_FORMATS)


@dataclass(frozen=True)
class Span:
    """Where a segment stands in its clip, in samples; `stop` is the first sample behind it."""

    start: int
    stop: int


def join(pieces: Sequence[np.ndarray], silence_seconds: float) -> tuple[np.ndarray, list[Span]]:
    """One waveform of several, float32 (samples,), with silence between (not behind the last), and each piece's span.

    An empty piece takes no silence: its span is empty.
    """
    gap = np.zeros(round(silence_seconds * c.SAMPLE_RATE), np.float32)
    parts: list[np.ndarray] = []
    spans: list[Span] = []
    position = 0
    for piece in pieces:
        if parts and len(piece):
            parts.append(gap)
            position += len(gap)
        spans.append(Span(position, position + len(piece)))
        if len(piece):
            parts.append(piece)
            position += len(piece)
    return np.concatenate(parts or [gap[:0]]), spans


# ---- files ----------------------------------------------------------------------------------------------------------


def check_format(format: str, ffmpeg_parameters: str) -> None:
    """Raise UsageError if this machine cannot write `format`, or the parameters cannot be had with it."""
    if format in FFMPEG_FORMATS:
        if shutil.which("ffmpeg") is None:
            raise UsageError(
                f"--output_format {format} needs the program ffmpeg, which is not on the PATH; install it or choose "
                f"another of {', '.join(_SOUNDFILE_FORMATS)}"
            )
        try:
            shlex.split(ffmpeg_parameters)
        except ValueError as error:
            raise UsageError(
                f"--output_format_ffmpeg_parameters {ffmpeg_parameters} cannot be split into words "
                f"({str(error).lower()}); close the quotes"
            ) from None
        return
    if ffmpeg_parameters.strip():
        raise UsageError(
            f"--output_format_ffmpeg_parameters are for {' and '.join(FFMPEG_FORMATS)}, and {format} does not go through "
            "ffmpeg; leave them out or choose --output_format m4a"
        )
    import soundfile

    container, codec, _ = _SOUNDFILE_FORMATS[format]
    if not soundfile.check_format(container, codec):
        raise UsageError(
            f"--output_format {format}: the libsndfile here ({soundfile.__libsndfile_version__}) is too old for it; "
            "update the package soundfile or choose wav"
        )


def write_audio(
    path: Path, samples: np.ndarray, tags: Mapping[str, str], format: str = "wav", ffmpeg_parameters: str = ""
) -> None:
    """An audio file of mono samples at 24 kHz in -1..1: what lies outside is clipped, what is no number is silence.

    `format`: one of FORMATS. `tags`: title, comment, software; a WAV's are read by others up to 2 KB each.
    Raises OutputError, and FileExistsError where the name is taken: results are never overwritten.
    """
    tags = {name: _clean(value) for name, value in tags.items() if value}
    if not len(samples) and format != "wav":
        samples = np.zeros(1, np.float32)  # of none at all most encoders make a file that nobody can read

    def write(file: BinaryIO) -> None:
        if format in FFMPEG_FORMATS:
            _encode_by_ffmpeg(file, path, samples, tags, format, ffmpeg_parameters)
        else:
            file.write(_encode(samples, tags, format))

    write_whole(path, write, overwrite=False)


def _clean(tag: str) -> str:
    """Without what neither libsndfile nor a command line takes: zeros, and bytes that were no UTF-8."""
    return tag.replace("\0", "").encode(errors="replace").decode()


def _blocks(samples: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(samples), _BLOCK):
        yield np.clip(np.nan_to_num(samples[start : start + _BLOCK]), -1, 1)


def _encode(samples: np.ndarray, tags: Mapping[str, str], format: str) -> bytes:
    """The bytes of a file by libsndfile; not straight into the file, as it loses what the system says of a full disk."""
    import soundfile

    container, codec, compression = _SOUNDFILE_FORMATS[format]
    # libsndfile's own ID3 tag says Latin-1 of what is UTF-8
    front, tags = (_id3(tags), {}) if format == "mp3" else (b"", tags)
    encoded = io.BytesIO()
    with soundfile.SoundFile(
        encoded, "w", c.SAMPLE_RATE, 1, codec, format=container, compression_level=compression
    ) as sound:
        for name, value in tags.items():
            setattr(sound, name, value)
        for block in _blocks(samples):
            sound.write(block)
    return front + encoded.getvalue()


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


def _encode_by_ffmpeg(
    file: BinaryIO, path: Path, samples: np.ndarray, tags: Mapping[str, str], format: str, parameters: str
) -> None:
    """Fill `file`, which will be `path`, by ffmpeg. Raises OutputError with its complaint."""
    metadata = [
        part for name, value in tags.items() for part in ("-metadata", f"{_FFMPEG_TAGS.get(name, name)}={value}")
    ]
    sound = b"".join(block.astype("<f4").tobytes() for block in _blocks(samples))
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder:
        made = Path(folder).absolute() / f"clip.{format}"  # MP4 needs a file to go back in, and a name of its own
        command = ["ffmpeg", "-hide_banner", "-loglevel", "error"]
        command += ["-f", "f32le", "-ar", str(c.SAMPLE_RATE), "-ac", "1", "-i", "pipe:0"]
        command += [*metadata, *_FFMPEG_ENCODERS[format], *shlex.split(parameters), str(made)]
        run = subprocess.run(command, input=sound, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if run.returncode or not made.exists():
            raise OutputError(
                f"ffmpeg cannot make {path} ({_complaint(run.stderr)}); "
                "change --output_format_ffmpeg_parameters or choose another --output_format"
            )
        with made.open("rb") as encoded:
            shutil.copyfileobj(encoded, file)


def _complaint(stderr: bytes) -> str:
    """ffmpeg's first line, which has the reason; what follows says that it could not go on."""
    lines = stderr.decode(errors="replace").split("\n")
    return re.sub(r"^\[[^]]*\] ", "", lines[0]).strip()[:300] or "it gives no reason"
