"""Cover images: their kind and size, by their content. No pixel is decoded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

MAX_COVER_BYTES = 20_000_000
_MAX_SIDE = 8192  # pixels; larger than photographs of telephones, and FFmpeg decodes it in little memory
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"  # the first bytes
_SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of JPEG segments that hold the size
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD8)}


@dataclass(frozen=True)
class Cover:
    """The cover of a book: a JPEG or a PNG without an `image_fault`."""

    image: bytes = field(repr=False)

    @cached_property
    def sha256(self) -> str:
        """The digest of the image, which every clip of a run asks for."""
        return hashlib.sha256(self.image).hexdigest()

    @property
    def suffix(self) -> str:
        """What is added to the name of a clip for its cover."""
        return f".cover{image_suffix(self.image)}"


def image_kind(data: bytes) -> Literal["jpeg", "png"] | None:
    """The kind of an image; None if it is neither a JPEG nor a PNG."""
    return "jpeg" if data.startswith(_JPEG) else "png" if data.startswith(_PNG) else None


def image_suffix(data: bytes) -> str:
    """The ending of the names of files with a JPEG or a PNG."""
    return ".png" if image_kind(data) == "png" else ".jpg"


def image_fault(data: bytes) -> str | None:
    """Why an image cannot be a cover, as the end of a sentence that begins with its name; None if it can."""
    kind = image_kind(data)
    if kind is None:
        return "is neither a JPEG nor a PNG; convert it"
    if len(data) > MAX_COVER_BYTES:
        return f"has more than the {MAX_COVER_BYTES // 1_000_000} MB that a cover may have; make it smaller"
    size = _jpeg_size(data) if kind == "jpeg" else _png_size(data)
    if size is None or 0 in size:
        return f"is damaged or cut off; save it again as a {kind.upper()}"
    if max(size) > _MAX_SIDE:
        return f"has {size[0]} x {size[1]} pixels, more than {_MAX_SIDE} on a side; make it smaller"
    return None


def _png_size(data: bytes) -> tuple[int, int] | None:
    """Width and height, if the chunks up to the last one are there (PNG specification, 5.3 and 11.2.2)."""
    at = len(_PNG)
    kinds: list[bytes] = []
    while at + 12 <= len(data) and (not kinds or kinds[-1] != b"IEND"):
        kinds.append(data[at + 4 : at + 8])
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    if not kinds or kinds[0] != b"IHDR" or kinds[-1] != b"IEND" or b"IDAT" not in kinds or at > len(data):
        return None
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Width and height, from the first frame header (ITU-T T.81, B.2.2)."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _SIZES:
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        if marker == 0xFF:  # padding
            at += 1
        elif marker in _WITHOUT_LENGTH:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
