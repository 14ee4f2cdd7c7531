"""Reads the headers of all frames of an MP3 file, which say its bit rates. Layout: ISO 11172-3, section 2.4.1.3."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from pathlib import Path

_KBITS = {  # layer III, by whether it is MPEG-1; index 0 means free, 15 is not allowed
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}  # by version
_MPEG1, _LAYER_3, _MONO = 3, 1, 3
_HEADER_BYTES = 4
_ID3_HEADER_BYTES = 10
_MOST_GARBAGE = 2**16  # bytes between frames that are skipped


@dataclass
class MpegFrames:
    """What the frames of a file say."""

    n_frames: int = 0
    kbits: set[int] = field(default_factory=set)  # bit rates, in kbit/s
    channels: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class _Header:
    kbits: int
    channels: int
    n_bytes: int  # of the whole frame
    n_side: int  # bytes of side information, behind the header


def read_frames(path: Path) -> MpegFrames:
    """The frames of an MP3 file, without the one that only describes the others; none for a file of another kind.

    Raises OSError.
    """
    found = MpegFrames()
    with path.open("rb") as file:
        if not file.seek(0, 2):
            return found
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _read(data, found)
    return found


def _read(data: mmap.mmap, found: MpegFrames) -> None:
    at = _after_id3(data)
    while at + _HEADER_BYTES <= len(data):
        header = _header(data[at : at + _HEADER_BYTES])
        if header is None or (not found.n_frames and not _follows(data, at + header.n_bytes)):
            at = _next_sync(data, at)
            if at < 0:
                return
            continue
        mark = at + _HEADER_BYTES + header.n_side
        describes = b"" if found.n_frames else data[mark : mark + 4]
        if describes not in (b"Xing", b"Info"):
            found.n_frames += 1
            found.kbits.add(header.kbits)
            found.channels.add(header.channels)
        at += header.n_bytes


def _after_id3(data: mmap.mmap) -> int:
    """Where an ID3 tag at the beginning ends."""
    if data[:3] != b"ID3" or len(data) < _ID3_HEADER_BYTES:
        return 0
    size = 0
    for byte in data[6:_ID3_HEADER_BYTES]:
        size = size << 7 | byte & 127
    return _ID3_HEADER_BYTES + size


def _next_sync(data: mmap.mmap, at: int) -> int:
    """The next byte from which a frame may begin; -1 if there is none nearby."""
    return data.find(b"\xff", at + 1, at + _MOST_GARBAGE)


def _follows(data: mmap.mmap, at: int) -> bool:
    """Whether a frame begins there, or the file ends."""
    return at >= len(data) or _header(data[at : at + _HEADER_BYTES]) is not None


def _header(data: bytes) -> _Header | None:
    """The header of a layer III frame; None for other bytes."""
    if len(data) < _HEADER_BYTES or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return None
    version, layer = data[1] >> 3 & 3, data[1] >> 1 & 3
    bit_rate, rate, padding = data[2] >> 4, data[2] >> 2 & 3, data[2] >> 1 & 1
    if version not in _RATES or layer != _LAYER_3 or not 1 <= bit_rate <= 14 or rate > 2:
        return None
    is_mpeg1, is_mono = version == _MPEG1, data[3] >> 6 == _MONO
    kbits = _KBITS[is_mpeg1][bit_rate - 1]
    n_bytes = (144 if is_mpeg1 else 72) * 1000 * kbits // _RATES[version][rate] + padding
    side = (17 if is_mono else 32) if is_mpeg1 else (9 if is_mono else 17)
    return _Header(kbits, 1 if is_mono else 2, n_bytes, side)
