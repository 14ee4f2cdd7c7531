"""The text of a run as a script: its kind, what it declares, and the prompts that are cut out of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..errors import ScriptError, TextError, UsageError
from ..options.table import Options
from ..options.toml import read_toml_text
from ..readers.book import Book
from ..readers.plain_book import read_plain_book
from ..text.events import Pause, Script, Speaker, Speech, StartAt
from ..text.front_matter import declares_cast, parse_cast, read_front_matter, split_front_matter
from ..text.pronunciation import Pronunciations, parse_pronunciations
from ..text.script import ScriptKind, format_script, parse_script, script_kind
from ..text.tags import MAX_PAUSE, MAX_START
from .book_source import (
    ScriptChapter,
    chapters_of_book,
    chapters_of_script,
    chosen_chapters,
    events_of,
    tags_of,
)
from .prompts import cut_source
from .script_cutting import script_of
from .script_names import ScriptNames, with_names

_MAX_BYTES = 10_000_000  # of a file with pronunciations


@dataclass(frozen=True)
class ScriptSource:
    """What a run speaks. `text`: where it comes from one; `script`: all of it, with cast and pronunciations complete.

    `chapters`: all that there are, also those that are not spoken. `cover`: the image of a book that has its own.
    """

    text: str | None
    kind: ScriptKind
    script: Script | None  # None: no text is given
    own_cast: bool = False  # whether the text itself declares a cast
    chapters: Sequence[ScriptChapter] = ()
    cover: bytes | None = field(default=None, repr=False)
    names: ScriptNames | None = field(default=None, repr=False)  # None: a script names files as they are

    @classmethod
    def read(
        cls,
        text: str | Book | None,
        options: Options,
        before: Script | None = None,
        names: ScriptNames | None = None,
    ) -> ScriptSource:
        """What `read_source` gave, read as --script says. Raises ScriptError, UsageError, TextError for --pronunciations.

        `before`: the script that the text replaces; its cast and its pronunciations stay where the text declares none.
        `names`: finds the files that the text names, which then comes from a stranger.
        """
        if text is None:
            return cls(None, "plain", None)
        if isinstance(text, Book):
            check_flags_of_text(options)
            return cls._of_book(text, options, before, names)
        given = {} if options.cast is None else parse_cast(options.cast)
        front_matter, _ = split_front_matter(text) or ("", text)
        own_cast = declares_cast(front_matter)
        stays = {} if before is None or own_cast else before.cast
        kind = _kind(text, options, bool(stays or given))
        if kind == "ssml" and options.split_input_into_separate_prompts_by is not None:
            raise UsageError("--split_input_into_separate_prompts_by cannot cut SSML; leave it out")
        if kind == "plain" and given:
            raise UsageError("--cast does nothing in plain text; leave it out, or give --script dialogue")
        cast = {} if kind == "plain" else recast(stays, given)
        script = _parsed(text, kind, cast, options)
        if own_cast and given and kind == "dialogue":  # what the front matter sets for speakers stays
            cast = recast(read_front_matter(front_matter).cast, given)
            script = dataclasses.replace(script, cast=cast)
        if names is not None:
            script = with_names(script, names)
        check_flags_of_books(options, "footnotes")
        if _may_be_book(kind, front_matter, options) and (book := read_plain_book(text)) is not None:
            return cls._of_book(book, options, before, names, has_tags=True)
        check_flags_of_books(options, "speak_titles")
        script = _with_pronunciations_of(before, with_pronunciations(script, options), options)
        chapters = chapters_of_script(script)
        if options.chapters is not None:
            events = events_of(chosen_chapters(chapters, options.chapters))
            script = dataclasses.replace(script, events=events)
        return cls(text, kind, script, own_cast, chapters, names=names)

    @classmethod
    def _of_book(
        cls, book: Book, options: Options, before: Script | None, names: ScriptNames | None, has_tags: bool = False
    ) -> ScriptSource:
        """The chapters of a book that options choose. `has_tags`: it is a text, with tags. Raises UsageError, TextError."""
        chapters = chapters_of_book(book, options.speak_titles, has_tags)
        if names is not None:
            named = (with_names(Script(chapter.events), names).events for chapter in chapters)
            pairs = zip(chapters, named, strict=True)
            chapters = [dataclasses.replace(chapter, events=events) for chapter, events in pairs]
        try:
            chosen = chosen_chapters(chapters, options.chapters)
        except TextError as error:
            if not options.list_chapters:
                raise TextError(f"--prompt_file {options.prompt_file}: {error}") from None
            chosen = []
        script = with_pronunciations(Script(events_of(chosen), book=tags_of(book)), options)
        script = _with_pronunciations_of(before, script, options)
        return cls(None, "dialogue", script, True, chapters, book.cover)

    @classmethod
    def recorded(cls, script: Script, options: Options) -> ScriptSource:
        """The script of a manifest, with the voices of --cast, and --pronunciations in place of its own."""
        if options.cast is not None:
            script = dataclasses.replace(script, cast=recast(script.cast, parse_cast(options.cast)))
        if options.pronunciations is not None:
            script = dataclasses.replace(script, pronunciations=Pronunciations())
        return cls(None, "dialogue", with_pronunciations(script, options))

    @classmethod
    def of_script(cls, script: Script, options: Options) -> ScriptSource:
        """A script that a program made. Raises UsageError for one that cannot be spoken or written down."""
        if any(isinstance(event, Pause) and not 0 <= event.seconds <= MAX_PAUSE for event in script.events):
            raise UsageError(f"the script has a pause that is not from 0 to {MAX_PAUSE:.0f} s; change its seconds")
        if any(isinstance(event, StartAt) and not 0 <= event.seconds <= MAX_START for event in script.events):
            raise UsageError(f"the script has a time that is not from 0 to {MAX_START:.0f} s; change its seconds")
        try:
            format_script(script)  # as the manifest keeps it
        except ValueError as error:
            raise UsageError(f"the script has an event that is not possible: {error}") from None
        if options.cast is not None:
            script = dataclasses.replace(script, cast=recast(script.cast, parse_cast(options.cast)))
        return cls(None, "dialogue", with_pronunciations(script, options))

    def prompts(self, options: Options, drawn_seed: int) -> list[Script]:
        """The prompts, one clip each. `drawn_seed` seeds cuts at random places. Raises UsageError or TextError."""
        if self.script is None:
            return [script_of(text) for text in cut_source(None, options, drawn_seed)]
        if self.text is None or options.split_input_into_separate_prompts_by is None:
            return [self.script]
        _, body = split_front_matter(self.text) or ("", self.text)
        return list(self._cut(body, options, drawn_seed))

    def _cut(self, body: str, options: Options, drawn_seed: int) -> Iterator[Script]:
        """Yield the prompts in the text of a script; what the script declares is for all of them."""
        whole = self.script
        assert whole is not None
        for number, text in enumerate(cut_source(body, options, drawn_seed), 1):
            try:
                prompt = parse_script(text, self.kind, whole.cast)
            except ScriptError as error:
                raise TextError(f"prompt {number} as it is cut: {error}") from None
            if self.names is not None:
                prompt = with_names(prompt, self.names)
            yield dataclasses.replace(prompt, pronunciations=whole.pronunciations)


def check_flags_of_text(options: Options) -> None:
    """Raise UsageError for flags that do nothing for a book, whose text has no markup."""
    for name in ("cast", "split_input_into_separate_prompts_by"):
        if getattr(options, name) is not None:
            raise UsageError(
                f"--{name} does nothing for a book; leave it out, or apply it to what --export_script writes"
            )
    if options.script in ("dialogue", "ssml"):
        raise UsageError(f"--script {options.script} does nothing for a book, which has no markup; leave it out")


def check_flags_of_books(options: Options, name: str) -> None:
    """Raise UsageError for a flag of the command line that only books know, for what is none."""
    if name in options.changed() and (options.given is None or name in options.given):
        raise UsageError(f"--{name} does nothing for a text that is no book; leave it out")


def _may_be_book(kind: ScriptKind, front_matter: str, options: Options) -> bool:
    """Whether chapters are looked for in a text: in a file without markup of its own, of which one clip is made."""
    is_plain = kind == "plain" and options.script == "auto" and not front_matter
    return is_plain and options.prompt_file is not None and options.split_input_into_separate_prompts_by is None


def _with_pronunciations_of(before: Script | None, script: Script, options: Options) -> Script:
    """The script with the pronunciations of the one that it replaces, where it has none and none are given."""
    if before is None or script.pronunciations.entries or options.pronunciations is not None:
        return script
    return dataclasses.replace(script, pronunciations=before.pronunciations)


def recast(cast: Mapping[str, Speaker], given: Mapping[str, Speaker]) -> dict[str, Speaker]:
    """A cast with other voices and further speakers; the settings of speakers stay."""
    voices = {
        name: dataclasses.replace(cast[name], voice=speaker.voice) if name in cast else speaker
        for name, speaker in given.items()
    }
    return {**cast, **voices}


def with_pronunciations(script: Script, options: Options) -> Script:
    """The script with the pronunciations of --pronunciations too; its own win. Raises TextError, UsageError."""
    if options.pronunciations is None:
        return script
    own = script.pronunciations.over(_read_pronunciations(options.pronunciations))
    return dataclasses.replace(script, pronunciations=own)


class NamedVoice(NamedTuple):
    """The voice of a speaker, as a script names it."""

    voice: str | None  # None: that of the run
    where: str  # in the script, for messages


def voices_in(script: Script) -> dict[str, NamedVoice]:
    """The voices of all speakers but the narrator, by speaker as `SegmentPlan.speaker` has him."""
    found = {name: NamedVoice(speaker.voice, f"{name} in the cast") for name, speaker in script.cast.items()}
    for event in script.events:
        if isinstance(event, Speech) and event.voice is not None:
            where = f"line {event.place.line}, column {event.place.column}"
            found.setdefault(event.voice, NamedVoice(event.voice, where))
    return found


def script_folder(options: Options) -> Path:
    """The folder where the files that a script names lie."""
    beside = options.prompt_file
    return Path() if beside is None or beside == "-" else Path(beside).parent


def _kind(text: str, options: Options, has_cast: bool) -> ScriptKind:
    match options.script:
        case "plain" | "dialogue" | "ssml" as kind:
            return kind
    return script_kind(text, options.prompt_file, has_cast)


def _parsed(text: str, kind: ScriptKind, cast: Mapping[str, Speaker], options: Options) -> Script:
    try:
        return parse_script(text, kind, cast)
    except ScriptError as error:
        where = "" if options.prompt_file is None else f"--prompt_file {options.prompt_file}, "
        raise ScriptError(f"{where}{error}") from None


def _read_pronunciations(name: str) -> Pronunciations:
    """The pronunciations in a file. Raises UsageError or TextError."""
    text = read_toml_text("pronunciations", name, _MAX_BYTES)
    try:
        return parse_pronunciations(text)
    except TextError as error:
        raise TextError(f"--pronunciations {name}: {error}") from None
