"""The front matter of scripts: TOML between two lines of `+++` at the beginning, with cast, settings and so on."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import starmap

from ..errors import ScriptError, UsageError
from ..options.toml import TomlError, find_key, format_toml, format_toml_key, parse_toml, show_key
from .dialogue import MAX_NAME_LENGTH, is_speaker_name
from .events import BookTags, Place, Speaker, script_error
from .pronunciation import Pronunciation, Pronunciations, read_pronunciations
from .script_settings import read_script_setting, read_speaker_setting, script_flags
from .spelling import Spelling

MAX_LENGTH = 1_000_000  # characters; a dictionary of 20,000 words has as many

_TABLES = ("cast", "settings", "pronunciations", "book")
_BOOK_KEYS = tuple(field.name for field in dataclasses.fields(BookTags))
_BEGINNING = re.compile(r"\s*^\+\+\+[ \t]*$\n?", re.MULTILINE)
_END = re.compile(r"^\+\+\+[ \t]*$\n?", re.MULTILINE)
_TOML = re.compile(r"""(?:\s|\#.*\n)*(?:\[[\w."' -]+\]|[\w."'-]+\s*=)""")  # how a table or a key begins
_CAST_TABLE = re.compile(r"""^[ \t]*\[[ \t]*["']?cast["']?[ \t]*[\].]""", re.MULTILINE)
_CAST_KEY = re.compile(r"""^[ \t]*["']?cast["']?[ \t]*[.=]""", re.MULTILINE)
_ANY_TABLE = re.compile(r"^[ \t]*\[", re.MULTILINE)
_TOML_END = " (at end of document)"
_TOML_PLACE = re.compile(r"\s*\(at line (?P<line>\d+), column (?P<column>\d+)\)")


@dataclass(frozen=True)
class FrontMatter:
    """What a script declares before its text."""

    cast: Mapping[str, Speaker] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    pronunciations: Pronunciations = field(default_factory=Pronunciations)
    book: BookTags = BookTags()


@dataclass(frozen=True)
class _Source:
    """The TOML of a front matter, and the line of the script in which it begins."""

    toml: str
    first_line: int

    def error(self, path: Sequence[str], message: str) -> ScriptError:
        """An error at a key, which the message begins with. `path`: the names that lead to the key."""
        line, column = find_key(self.toml, path)
        return script_error(Place(self.first_line + line - 1, column), f"{show_key(path)} {message}")


def split_front_matter(text: str) -> tuple[str, str] | None:
    """The front matter with its lines of `+++`, and the text after it; None if there is none.

    Lines of `+++` with anything but TOML between them are ornaments of the text.
    """
    beginning = _BEGINNING.match(text)
    if beginning is None or not _TOML.match(text, beginning.end()):
        return None
    end = _END.search(text, beginning.end())
    cut = end.end() if end is not None else len(text)
    return text[:cut], text[cut:]


def declares_cast(front_matter: str) -> bool:
    """Whether a front matter has a cast, judged by how its lines begin."""
    before_tables = _ANY_TABLE.split(front_matter, maxsplit=1)[0]
    return _CAST_TABLE.search(front_matter) is not None or _CAST_KEY.search(before_tables) is not None


def read_front_matter(front_matter: str) -> FrontMatter:
    """What a front matter declares. Raises ScriptError."""
    beginning = _BEGINNING.match(front_matter)
    assert beginning is not None
    end = _END.search(front_matter, beginning.end())
    first_line = 1 + front_matter.count("\n", 0, beginning.end())
    if end is None:
        raise script_error(Place(first_line - 1, 1), "the front matter has no end; put a line of +++ below it")
    if end.start() > MAX_LENGTH:
        raise script_error(
            Place(first_line, 1), f"the front matter has more than {MAX_LENGTH:,} characters; shorten it"
        )
    source = _Source(front_matter[beginning.end() : end.start()], first_line)
    content = _parse(source)
    for key, value in content.items():
        if key not in _TABLES:
            raise source.error((key,), f"is not known here; {_hint(key)}")
        if not isinstance(value, dict):
            raise source.error((key,), f"must be a table; begin it with a line [{key}]")
    return FrontMatter(
        {speaker.name: speaker for speaker in _speakers(_table(content, "cast"), source)},
        _settings(_table(content, "settings"), ("settings",), read_script_setting, source),
        read_pronunciations(
            _table(content, "pronunciations"),
            lambda path, message: source.error(("pronunciations", *path), message),
        ),
        _book(_table(content, "book"), source),
    )


def parse_cast(text: str) -> dict[str, Speaker]:
    """The speakers of --cast, as in `Anna=v2/en_speaker_9,Bob=prompts/bob.npz`, by name. Raises UsageError."""
    cast: dict[str, Speaker] = {}
    for entry in text.split(","):
        name, _, voice = (part.strip() for part in entry.partition("="))
        if not voice or not is_speaker_name(name):
            raise UsageError(
                "--cast takes names with their voices, as in Anna=v2/en_speaker_9,Bob=prompts/bob.npz, "
                f"not {entry.strip()[:MAX_NAME_LENGTH]!r}"
            )
        if name in cast:
            raise UsageError(f"--cast has {name} twice; leave one of them out")
        cast[name] = Speaker(name, voice)
    return cast


def format_front_matter(front_matter: FrontMatter, with_cast: bool) -> str:
    """A front matter that is read as an equal one; "" if it declares nothing. `with_cast`: write [cast] even if it is empty."""
    lines: list[str] = []
    if with_cast:
        lines += ["[cast]", *(_format_speaker(speaker) for speaker in front_matter.cast.values())]
    if front_matter.settings:
        lines += ["[settings]", *starmap(_format_setting, front_matter.settings.items())]
    for table in ("words", "patterns"):
        entries: tuple[Pronunciation, ...] = getattr(front_matter.pronunciations, table)
        if entries:
            lines += [f"[pronunciations.{table}]", *map(_format_pronunciation, entries)]
    tags = {name: value for name, value in dataclasses.asdict(front_matter.book).items() if value is not None}
    if tags:
        lines += ["[book]", *starmap(_format_setting, tags.items())]
    return "\n".join(["+++", *lines, "+++", ""]) if lines else ""


def _parse(source: _Source) -> dict[str, object]:
    try:
        return parse_toml(source.toml)
    except TomlError as error:
        message = str(error)
        found = _TOML_PLACE.search(message)
        if found is not None:
            line, column = int(found["line"]), int(found["column"])
        elif _TOML_END in message:
            line, column = source.toml.count("\n"), len(source.toml.splitlines()[-1]) + 1
        else:
            line, column = 1, 1
        why = _TOML_PLACE.sub("", message).replace(_TOML_END, "")
        place = Place(source.first_line + line - 1, column)
        raise script_error(place, f"the front matter is not TOML ({why}); mend that place") from None


def _table(content: Mapping[str, object], key: str) -> Mapping[str, object]:
    table = content.get(key, {})
    assert isinstance(table, dict)
    return table


def _hint(key: str) -> str:
    """Where a key is right that is not right at the top of a front matter."""
    nearest = Spelling(_TABLES).nearest(key)
    if nearest is not None:
        return f"did you mean [{nearest}]?"
    for table, keys in (("settings", script_flags()), ("book", _BOOK_KEYS)):
        if key in keys:
            return f"write it below [{table}]"
    return "there are [cast], [settings], [pronunciations] and [book]"


def _book(table: Mapping[str, object], source: _Source) -> BookTags:
    """What [book] says of the book. Every value is a text."""
    for key, value in table.items():
        if key not in _BOOK_KEYS:
            nearest = Spelling(_BOOK_KEYS).nearest(key)
            hint = f"did you mean {nearest}?" if nearest is not None else f"there are {', '.join(_BOOK_KEYS)}"
            raise source.error(("book", key), f"is not known here; {hint}")
        if not isinstance(value, str) or not value.strip():
            raise source.error(("book", key), f'must be a text; write {key} = "..."')
    return BookTags(**{key: str(value) for key, value in table.items()})


def _speakers(table: Mapping[str, object], source: _Source) -> Iterator[Speaker]:
    """Yield the speakers of [cast]. Each has a voice, or a table as in {voice = "v2/en_speaker_6", text_temp = 0.6}."""
    for name, value in table.items():
        path = ("cast", name)
        if not is_speaker_name(name):
            raise source.error(
                path, f"is no name; use letters, at most {MAX_NAME_LENGTH} characters, and none of : | [ ]"
            )
        details: dict[str, object] = dict(value) if isinstance(value, dict) else {"voice": value}
        voice = details.pop("voice", None)
        if not (isinstance(voice, str) and voice.strip()) and not (voice is None and isinstance(value, dict)):
            raise source.error(path, f'must be a voice; write {name} = "v2/en_speaker_6", say')
        settings = _settings(details, path, read_speaker_setting, source)
        yield Speaker(name, voice, settings)


def _settings(
    table: Mapping[str, object], path: Sequence[str], read: Callable[[str, object], tuple[str, object]], source: _Source
) -> dict[str, object]:
    """The settings of a table, by flag name. `path`: the names that lead to the table."""
    settings: dict[str, object] = {}
    for key, value in table.items():
        try:
            flag, setting = read(key, value)
        except UsageError as error:
            raise source.error((*path, key), f"cannot be used ({error})") from None
        if flag in settings:
            raise source.error((*path, key), f"is {flag}, which is given twice; leave one of them out")
        settings[flag] = setting
    return settings


def _format_speaker(speaker: Speaker) -> str:
    details = {**({} if speaker.voice is None else {"voice": speaker.voice}), **speaker.settings}
    if list(details) == ["voice"]:
        return f"{format_toml_key(speaker.name)} = {format_toml(speaker.voice)}"
    return f"{format_toml_key(speaker.name)} = {{{', '.join(starmap(_format_setting, details.items()))}}}"


def _format_setting(key: str, value: object) -> str:
    return f"{key} = {format_toml(value if value is not None else script_flags()[key].unset)}"


def _format_pronunciation(entry: Pronunciation) -> str:
    spoken = format_toml(entry.spoken)
    value = f"{{spoken = {spoken}, case = true}}" if entry.case else spoken
    return f"{format_toml_key(entry.written)} = {value}"
