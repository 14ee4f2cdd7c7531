"""Sound as a stream of bytes in the formats of OpenAI's speech API: what is finished is there at once, nothing is a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import av
import numpy as np

from .. import constants as c
from ..audio.av_frames import audio_frame

SpeechFormat = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]

_STREAMED = {"flush_packets": "1", "fflags": "+bitexact"}  # each packet at once; no times and versions of programs


@dataclass(frozen=True)
class StreamedFormat:
    """How a format is made by FFmpeg's libraries, by their names, and how it is called in a header."""

    media_type: str
    muxer: str
    codec: str
    rate: int = c.SAMPLE_RATE  # Hz
    codec_options: Mapping[str, str] = field(default_factory=dict)
    muxer_options: Mapping[str, str] = field(default_factory=dict)


# Bit rates: as `audio.formats` and `audio.av_parameters` have them; that of MP3 is constant, since a stream has no table at its
# front from which players could tell a place's time.
STREAMED_FORMATS: Mapping[SpeechFormat, StreamedFormat] = {
    "mp3": StreamedFormat(
        "audio/mpeg",
        "mp3",
        "libmp3lame",
        codec_options={"b": "96000"},
        muxer_options={"write_xing": "0", "id3v2_version": "0"},
    ),
    "opus": StreamedFormat(
        "audio/ogg",
        "ogg",
        "libopus",
        48_000,  # the rate of all decoders
        {"b": "64000"},
        {"page_duration": "60000"},  # microseconds; a page of a second, as usual, would wait for the next segment
    ),
    "aac": StreamedFormat("audio/aac", "adts", "aac", codec_options={"b": "96000", "aac_coder": "fast"}),
    "flac": StreamedFormat("audio/flac", "flac", "flac"),
    "wav": StreamedFormat("audio/wav", "wav", "pcm_s16le"),  # both sizes in the header are 0xFFFFFFFF
    "pcm": StreamedFormat("audio/pcm", "s16le", "pcm_s16le"),  # 16 bits, little-endian, one channel, without a header
}


class SpeechEncoder:
    """Encodes a stream of sound in memory: blocks in, bytes out."""

    def __init__(self, format: SpeechFormat):
        kind = STREAMED_FORMATS[format]
        self._sink, self._samples = _Sink(), 0
        self._container = av.open(
            self._sink, "w", format=kind.muxer, container_options={**_STREAMED, **kind.muxer_options}
        )
        stream = self._container.add_stream(kind.codec, rate=kind.rate)
        assert isinstance(stream, av.AudioStream)
        stream.codec_context.layout = "mono"
        stream.codec_context.options = {"flags": "+bitexact", **kind.codec_options}
        stream.codec_context.open()
        self._container.start_encoding()  # writes the header
        self._stream = stream

    def write(self, block: np.ndarray) -> bytes:
        """What is finished of the stream after samples (n,) more, float32 at 24 kHz; louder ones than 1 are cut."""
        if len(block):
            self._container.mux(self._stream.encode(audio_frame(block, c.SAMPLE_RATE, self._samples)))
            self._samples += len(block)
        return self._sink.take()

    def close(self) -> bytes:
        """The rest. A stream without a sample has its header."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._sink.take()


class _Sink:
    """A file that can only be written to, as FFmpeg's libraries see it, and that is emptied now and then."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """What was written since the last time."""
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken
