"""What a job would make, before it is started: its chapters, its cast, its segments and its times, or why it cannot be made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..narration import ClipSource
from ..options.numbers import chosen_numbers
from ..options.table import Options
from ..run.planning import ClipPlan
from ..run.script_names import ScriptNames
from .silence_bound import check_silence

MOST_TEXTS = 100  # segments whose texts are shown
_MOST_CLIPS = 50  # that are listed
_MOST_NAMES = 20  # of lines that look like a speaker's


@dataclass(frozen=True)
class ChapterPreview:
    """A chapter of a book or script. `skipped`: why it is not spoken unasked; None: it is."""

    number: int  # from 1
    title: str
    words: int
    seconds: float  # estimated
    skipped: str | None
    chosen: bool


@dataclass(frozen=True)
class SpeakerPreview:
    """A speaker. `name`: None is the narrator. `voice`: None is that of the job."""

    name: str | None
    voice: str | None
    segments: int
    seconds: float  # estimated


@dataclass(frozen=True)
class Preview:
    """What a job would make. `seconds`: of sound, estimated. `look_alikes`: words that look like speakers, with their lines."""

    seconds: float
    segments: int
    clips: list[dict[str, object]]
    texts: list[dict[str, object]]
    chapters: list[ChapterPreview] = field(default_factory=list)
    cast: list[SpeakerPreview] = field(default_factory=list)
    look_alikes: list[dict[str, object]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    title: str | None = None
    author: str | None = None

    def content(self) -> dict[str, Any]:
        """The preview as JSON has it."""
        return asdict(self)


def preview(options: Options, names: ScriptNames) -> Preview:
    """Plan what resolved options ask for. `names`: finds the files that the text names.

    Raises what creating the job would: TextError (of scripts, with line and column), UsageError.
    """
    notes: list[str] = []
    source = ClipSource(options, notes.append, names=names)
    plans, failed = source.plan()
    check_silence(plans, source.options)
    notes += [f"{prompt.error}; this prompt is left out" for prompt in failed]
    options, segments = source.options, [segment for plan in plans for segment in plan.segments]
    script = source.script
    look_alikes = [] if script is None else script.look_alikes[:_MOST_NAMES]
    book = None if script is None else script.book
    return Preview(
        seconds=sum(plan.seconds(options) for plan in plans),
        segments=len(segments),
        clips=[
            {"name": plan.stem, "segments": len(plan.segments), "seconds": plan.seconds(options)}
            for plan in plans[:_MOST_CLIPS]
        ],
        texts=[
            {"text": segment.text, "speaker": segment.speaker, "chapter": segment.chapter}
            for segment in segments[:MOST_TEXTS]
        ],
        chapters=list(_chapters(source)),
        cast=list(_cast(source, plans)),
        look_alikes=[{"name": name, "line": place.line, "column": place.column} for name, place in look_alikes],
        notes=notes,
        title=None if book is None else book.title,
        author=None if book is None else book.author,
    )


def _chapters(source: ClipSource) -> Iterator[ChapterPreview]:
    """Yield the chapters, where there are several to choose from."""
    chapters = source.chapters()
    if len(chapters) < 2:
        return
    wanted = source.options.chapters
    chosen = None if wanted is None else chosen_numbers(wanted, len(chapters), "chapters", "chapter", "book")
    for k, (chapter, seconds) in enumerate(chapters):
        is_chosen = chapter.skipped is None if chosen is None else k in chosen
        yield ChapterPreview(k + 1, chapter.title, chapter.n_words, seconds, chapter.skipped, is_chosen)


def _cast(source: ClipSource, plans: Sequence[ClipPlan]) -> Iterator[SpeakerPreview]:
    """Yield the speakers of a script that has a cast, the narrator first if there is one."""
    if not source.voices:
        return
    segments = [segment for plan in plans for segment in plan.segments]
    for name in dict.fromkeys([*(s.speaker for s in segments if s.speaker is None), *source.voices]):
        own = [segment for segment in segments if segment.speaker == name]
        voice = None if name is None else source.voices[name].voice
        yield SpeakerPreview(name, voice, len(own), sum(segment.seconds(source.options) for segment in own))
