"""Audio files in tests: a parametrization over every format, what FFmpeg's libraries read, and images for covers."""

from __future__ import annotations

import shutil
import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from bark_infinity.audio.formats import FORMATS

needs_ffmpeg = pytest.mark.skipif(not shutil.which("ffmpeg") or not shutil.which("ffprobe"), reason="no ffmpeg here")

any_format = pytest.mark.parametrize("format", FORMATS)


def decoded(path: Path) -> np.ndarray:
    """Samples (n,) of the first channel at the file's rate, by FFmpeg's libraries, as long as an MP4 says."""
    with av.open(str(path)) as container:
        sound = container.streams.audio[0]
        n = round(sound.duration * sound.time_base * sound.rate) if "mp4" in container.format.name else None
        blocks = [frame.to_ndarray()[0] for frame in container.decode(sound)]
    samples = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    samples = samples[:n]
    return samples if samples.dtype.kind == "f" else samples / -float(np.iinfo(samples.dtype).min)


def chapters(path: Path) -> list[tuple[str, int, int]]:
    """Title, start and end in milliseconds of each chapter, as FFmpeg's libraries read them."""
    with av.open(str(path)) as container:
        found = container.chapters()
    times = [[round(1000 * one[end] * one["time_base"]) for end in ("start", "end")] for one in found]
    return [(one["metadata"]["title"], start, end) for one, (start, end) in zip(found, times, strict=True)]


def tags(path: Path) -> dict[str, str]:
    """Texts of a file and of its sound, with names in lower case, as FFmpeg's libraries read them."""
    with av.open(str(path)) as container:
        found = container.streams.audio[0].metadata | container.metadata
    return {name.lower(): text for name, text in found.items()}


def cover(path: Path) -> bytes | None:
    """The picture in a file."""
    with av.open(str(path)) as container:
        if not container.streams.video:
            return None
        return next(bytes(packet) for packet in container.demux(container.streams.video[0]) if packet.size)


def png(width: int = 4, height: int = 3) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes(3 * width)) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def jpeg(width: int = 16, height: int = 8) -> bytes:
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = width, height, "yuvj420p", Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(np.zeros((height * 3 // 2, width), np.uint8), "yuvj420p")
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
