"""What an audio file says of itself: texts such as its title, a cover, and the titles of its chapters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_LANGUAGES = {  # ISO 639-2/T, which MP4 and ID3 want, of the languages that have shorter codes in BCP 47
    "ar": "ara", "bg": "bul", "ca": "cat", "cs": "ces", "da": "dan", "de": "deu", "el": "ell", "en": "eng", "es": "spa",
    "et": "est", "fa": "fas", "fi": "fin", "fr": "fra", "he": "heb", "hi": "hin", "hr": "hrv", "hu": "hun", "id": "ind",
    "it": "ita", "ja": "jpn", "ko": "kor", "la": "lat", "lt": "lit", "lv": "lav", "nb": "nob", "nl": "nld", "no": "nor",
    "pl": "pol", "pt": "por", "ro": "ron", "ru": "rus", "sk": "slk", "sl": "slv", "sr": "srp", "sv": "swe", "th": "tha",
    "tr": "tur", "uk": "ukr", "vi": "vie", "zh": "zho",
}  # fmt: skip


@dataclass(frozen=True)
class Tags:
    """`texts`: by name, of title, comment, software, artist, album, narrator, genre, language (BCP 47) and track ("3/12").

    A kind of file leaves out what it has no place for; other programs read at most 2 KB of a WAV tag.
    `cover`: a JPEG or a PNG without an `image_fault`. `chapters`: titles of all chapters that the file may get, so that
    space is kept for them.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    cover: bytes | None = field(default=None, repr=False)
    chapters: tuple[str, ...] = ()


def language_code(language: str) -> str | None:
    """The three letters of ISO 639-2 for a language tag as in BCP 47; None for one that is not known."""
    primary = language.split("-")[0].split("_")[0].lower()
    if len(primary) == 3 and primary.isascii() and primary.isalpha():
        return primary
    return _LANGUAGES.get(primary)
