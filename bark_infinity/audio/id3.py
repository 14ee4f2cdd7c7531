"""ID3 tags for the front of an MP3, in version 2.4 (id3.org/id3v2.4.0-structure, -frames) with its addendum for chapters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .chapters import Chapter
from .images import image_kind
from .tags import Tags, language_code

_TEXT_FRAMES = {
    "title": b"TIT2", "artist": b"TPE1", "album": b"TALB", "narrator": b"TCOM", "genre": b"TCON", "track": b"TRCK",
    "software": b"TSSE",
}  # fmt: skip
_UTF8 = b"\x03"
_FRONT_COVER = b"\x03"
_TOP_LEVEL_ORDERED, _ORDERED = b"\x03", b"\x01"
_NO_OFFSET = b"\xff\xff\xff\xff"  # chapters are found by their times
_MOST_ENTRIES = 255  # of one table of contents, which counts them in a byte
_MAX_MS = 0xFFFFFFFF  # 49 days


def id3(tags: Tags, chapters: Sequence[Chapter] = (), size: int = 0) -> bytes:
    """A tag, padded with zeros to `size` bytes; without anything to say and without a size there is none."""
    frames = b"".join([*_texts(tags), *_cover(tags.cover), *_chapters(chapters)])
    if not frames and not size:
        return b""
    frames += bytes(max(0, size - 10 - len(frames)))
    return b"ID3\x04\0\0" + _synchsafe(len(frames)) + frames


def id3_space(tags: Tags) -> int:
    """The size of the tag with all of `tags.chapters`."""
    return len(id3(tags, [Chapter(title, 0, 0) for title in tags.chapters]))


def _texts(tags: Tags) -> Iterator[bytes]:
    for name, frame in _TEXT_FRAMES.items():
        if name in tags.texts:
            yield _text(frame, tags.texts[name])
    if "comment" in tags.texts:
        yield _frame(b"COMM", _UTF8 + b"eng\0" + tags.texts["comment"].encode())
    if (language := language_code(tags.texts.get("language", ""))) is not None:
        yield _text(b"TLAN", language)


def _cover(image: bytes | None) -> Iterator[bytes]:
    if image is not None:
        yield _frame(b"APIC", _UTF8 + f"image/{image_kind(image)}".encode() + b"\0" + _FRONT_COVER + b"\0" + image)


def _chapters(chapters: Sequence[Chapter]) -> Iterator[bytes]:
    """Tables of contents and chapters. A table that would be too long has tables as its entries."""
    names = [b"chp%d" % number for number in range(len(chapters))]
    groups = [names[start : start + _MOST_ENTRIES] for start in range(0, len(names), _MOST_ENTRIES)]
    if len(groups) == 1:
        yield _contents(b"toc", _TOP_LEVEL_ORDERED, names)
    elif groups:
        tables = [b"toc%d" % number for number in range(len(groups))]
        yield _contents(b"toc", _TOP_LEVEL_ORDERED, tables[:_MOST_ENTRIES])
        yield from (_contents(name, _ORDERED, group) for name, group in zip(tables, groups, strict=True))
    for name, chapter in zip(names, chapters, strict=True):
        times = (min(ms, _MAX_MS).to_bytes(4, "big") for ms in (chapter.start_ms, chapter.stop_ms))
        yield _frame(b"CHAP", name + b"\0" + b"".join(times) + 2 * _NO_OFFSET + _text(b"TIT2", chapter.title))


def _contents(name: bytes, flags: bytes, entries: Sequence[bytes]) -> bytes:
    return _frame(b"CTOC", name + b"\0" + flags + bytes([len(entries)]) + b"".join(entry + b"\0" for entry in entries))


def _text(frame: bytes, text: str) -> bytes:
    return _frame(frame, _UTF8 + text.encode())


def _frame(name: bytes, body: bytes) -> bytes:
    return name + _synchsafe(len(body)) + b"\0\0" + body


def _synchsafe(n: int) -> bytes:
    """Seven bits a byte, so that no size looks like the start of a frame of sound."""
    return bytes(n >> shift & 127 for shift in (21, 14, 7, 0))
