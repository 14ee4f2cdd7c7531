"""What an uploaded file is, by its content: each kind is read by the reader that will read it again later."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, get_args

from ..audio.images import MAX_COVER_BYTES, image_fault, image_kind
from ..audio.reading import AudioError, read_audio
from ..errors import BarkError, TextError, UploadError
from ..files import read_bounded
from ..readers.archive import is_zip
from ..readers.books import MAX_BYTES, MAX_TEXT_BYTES, book_kind, read_book
from ..readers.encodings import decode_text
from ..readers.subtitles import subtitles_by_content, subtitles_by_name
from ..voices.library import is_recording
from ..voices.voice import Voice

UploadKind = Literal["book", "subtitles", "text", "recording", "voice", "image"]
KINDS: tuple[UploadKind, ...] = get_args(UploadKind)

_HEAD_BYTES = 1024
_HEARD_S = 5  # seconds of a recording that are read to know that it is one
_AUDIO = re.compile(  # how files of sound begin; \xff\xfe begins UTF-16
    rb"RIFF|RF64|OggS|fLaC|ID3|\xff[\xe0-\xfd\xff]|FORM|\.snd|caff|wvpk|MAC |TTA1|#!AMR|\x1aE\xdf\xa3|....ftyp|0&\xb2u",
    re.S,
)
_CONTROLS = re.compile(r"[\0-\x08\x0e-\x1a\x1c-\x1f]")  # characters that texts do not have; 1b begins an escape
_MOST_CONTROLS = 1e-3  # share of them in a text, as damage


def kind_of_file(path: Path, name: str) -> UploadKind:
    """The kind of a file. `name`: as the client has it. Raises UploadError, naming the file so."""
    with open(path, "rb") as file:
        head = file.read(_HEAD_BYTES)
    try:
        return _kind(path, name, head)
    except BarkError as error:
        message = str(error).replace(str(path), name)
        raise UploadError(message if name in message else f"{name}: {message}") from None
    except OSError as error:
        raise UploadError(f"{name} cannot be read ({error.strerror}); upload it again") from None


def _kind(path: Path, name: str, head: bytes) -> UploadKind:
    if not head:
        raise UploadError(f"{name} is empty; upload a text, a book, subtitles, a recording, a voice or a cover")
    if is_zip(head) and name.lower().endswith(".npz"):
        Voice.load(path)
        return "voice"
    if image_kind(head) is not None:
        if (fault := image_fault(read_bounded(path, MAX_COVER_BYTES))) is not None:
            raise UploadError(f"{name} {fault}")
        return "image"
    if _AUDIO.match(head) or is_recording(name):
        try:
            read_audio(path, _HEARD_S)
            return "recording"
        except AudioError as error:
            if is_recording(name):
                raise UploadError(f"{name} {error}") from None  # else it may be a text, about a RIFF say
    data = read_bounded(path, MAX_BYTES)
    if book_kind(data, name) is not None:
        read_book(data, name)
        return "book"
    return _kind_of_text(data, name)


def _kind_of_text(data: bytes, name: str) -> UploadKind:
    if len(data) > MAX_TEXT_BYTES:
        raise UploadError(f"{name} has more than the {MAX_TEXT_BYTES / 1e6:.0f} MB of a text; split it")
    unknown = UploadError(f"{name} is no text, book, recording, voice or image that is known here; convert it")
    try:
        text = decode_text(data).text
    except TextError:
        raise unknown from None
    if len(_CONTROLS.findall(text)) > _MOST_CONTROLS * len(text):
        raise unknown
    is_subtitles = subtitles_by_name(name) is not None or subtitles_by_content(text) is not None
    return "subtitles" if is_subtitles else "text"
