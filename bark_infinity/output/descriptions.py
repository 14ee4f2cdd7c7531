"""Metadata in the files of a clip: title and tags of the audio, settings of the manifest.

These files are often shared, so no path of the user's machine is in them unless it is needed to make the clip again.
"""

from __future__ import annotations

import os
import re

from ..options.flag import Flag
from ..options.recognizer_name import WHISPER, is_public_recognizer
from ..options.table import Options, flags
from ..run.planning import ClipPlan
from ..voices.library import HUB_PRESETS

SOFTWARE = "Bark Infinity"
_AUDIOBOOK = "Audiobook"  # the genre, by which players know one
_TITLE_CHARACTERS = 80
_TAG_BYTES = 1500  # libsndfile cannot read a WAV tag of 2 KB
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_RECOGNIZER = "recognizer"
_CLONED_FROM = "audio_file_as_history_prompt"


def one_line_title(text: str) -> str:
    """The first words of a text on one line, with an ellipsis if the text is longer."""
    line = " ".join(text.split())
    if len(line) <= _TITLE_CHARACTERS:
        return line
    start = line[: _TITLE_CHARACTERS - 1]
    return f"{start.rpartition(' ')[0] or start}…"


def clip_title(plan: ClipPlan) -> str:
    """The title of a clip: that of its book, or the first words of its text."""
    return plan.book.title or one_line_title(plan.text)


def clip_tags(plan: ClipPlan, options: Options) -> dict[str, str]:
    """Tags of the audio: what is known of the book, software, and a comment with the seed and the changed settings.

    Paths are without folders.
    """
    table = {line.name: line for line in flags() if line.sound or line.name == _CLONED_FROM}
    changed = {name: value for name, value in options.changed().items() if name in table}
    words = [f"--{name} {_without_folder(table[name], value)}" for name, value in changed.items()]
    comment = f"seed {plan.seed}; {' '.join(words)}".encode(errors="replace")[:_TAG_BYTES].decode(errors="ignore")
    book = plan.book
    of_book = {
        "artist": book.author,
        "album": book.title,
        "narrator": book.narrator,
        "language": book.language,
        "genre": _AUDIOBOOK if options.output_format == "m4b" or book.title or book.author else None,
    }
    tags = {"title": clip_title(plan), "software": SOFTWARE, "comment": comment}
    return tags | {name: text for name, text in of_book.items() if text}


def recorded_settings(options: Options) -> dict[str, object]:
    """The settings for the manifest: those that differ from their defaults, without paths that the audio does not depend on."""
    table = {line.name: line for line in flags()}
    changed = options.changed()
    kept = {name: value for name, value in changed.items() if table[name].sound or not table[name].path}
    for name in (
        _CLONED_FROM,
        _RECOGNIZER,
    ):  # as information: the cloned voice is saved, and a manifest loads no folder
        if name in changed:
            kept[name] = _without_folder(table[name], changed[name])
    return kept


def voice_name(options: Options, *settings: str) -> str | None:
    """The voice that the first given one of these settings names, as strangers may see it; None if none is given."""
    table = {line.name: line for line in flags()}
    given = ((table[name], value) for name in settings if (value := getattr(options, name)) is not None)
    return next((str(_without_folder(line, value)) for line, value in given), None)


def _without_folder(line: Flag, value: object) -> object:
    """A setting that may be shared: a path is reduced to its file name; presets and hub repositories stay whole."""
    if not line.path or not isinstance(value, str):
        return value
    if line.name == _RECOGNIZER:
        return value if is_public_recognizer(value) else f"{WHISPER}:{bare_name(value.removeprefix(f'{WHISPER}:'))}"
    if line.name == "model" and _REPOSITORY.fullmatch(value) and not os.path.exists(value):
        return value
    return bare_name(value)


def bare_name(path: str) -> str:
    """The name of a file or voice that may be shared: without its folder, but presets stay whole."""
    return path if path in HUB_PRESETS else re.split(r"[/\\]", path.rstrip("/\\"))[-1].removesuffix(".npz")
