"""Cuts the events of a script into the parts that become segments, with the gap behind each."""

from __future__ import annotations

import dataclasses
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import ScriptError, TextError
from ..options.layers import layered
from ..options.table import Options
from ..text.breaks import TextSegment
from ..text.events import Chapter, Place, Script, Sound, Speech, StartAt, script_error
from ..text.events import Pause as AskedPause
from ..text.pronunciation import Pronunciation, SpokenText
from ..text.tags import MAX_PAUSE
from .pauses import NO_GAP, PAUSE_KINDS, GapSound, Pause, PauseKind, kind_of_break
from .sounds import FindSound

CutText = Callable[[str], Sequence[TextSegment]]
"""Cuts the text of one speech into segments; none for a text with nothing to say."""


@dataclass(frozen=True)
class ScriptPart:
    """What a script says of one segment. `SegmentPlan` describes the fields."""

    text: str
    pause: Pause = Pause()
    speaker: str | None = None
    own: Mapping[str, object] = field(default_factory=dict)
    written: str | None = None
    chapter: str | None = None
    start_at: float | None = None


@dataclass(frozen=True)
class CutScript:
    """A script cut into parts. `lead`: the gap before the first of them."""

    parts: Sequence[ScriptPart]
    lead: Pause = NO_GAP
    used: frozenset[Pronunciation] = frozenset()  # entries that changed the text


def script_of(text: str) -> Script:
    """A text without markup as a script."""
    return Script((Speech(text, Place(1, 1)),))


def text_of(script: Script) -> str:
    """What a script says, without markup. Of a script of one speech its whole text, unchanged."""
    speeches = [event.text for event in script.events if isinstance(event, Speech)]
    return speeches[0] if len(speeches) == 1 else "\n\n".join(map(str.strip, speeches))


def is_plain(script: Script) -> bool:
    """Whether a script is no more than a text."""
    return script == script_of(text_of(script))


def speaker_of(speech: Speech) -> str | None:
    """Who speaks: a name of the cast, the voice of a [voice:...] tag, or None for the narrator."""
    return speech.speaker if speech.voice is None else speech.voice


def cut_script(script: Script, cut: CutText, find_sound: FindSound, options: Options) -> CutScript:
    """Cut the speeches of a script one by one. Raises ScriptError for a sound that is missing or cannot be read."""
    parts: list[ScriptPart] = []
    used: set[Pronunciation] = set()
    gap = _Gap(options)  # since the last part
    lead = NO_GAP
    chapter: str | None = None
    timer = _Timer()
    for event in script.events:
        match event:
            case AskedPause(seconds):
                gap.ask(seconds)
            case Sound(file, place):
                gap.play(_found(file, place, find_sound))
            case StartAt(seconds, place):
                gap.ask(0.0)
                timer.set(seconds, place)
            case Chapter(title):
                chapter = title
                gap.begin_chapter()
            case Speech():
                spoken, texts = _cut_speech(event, script, cut)
                used |= spoken.used
                if not texts:
                    continue
                speaker = speaker_of(event)
                if parts:
                    same = speaker == parts[-1].speaker
                    gap.begin("speaker" if not same else "paragraph" if event.new_paragraph else "segment")
                    parts[-1] = dataclasses.replace(parts[-1], pause=gap.close())
                else:
                    lead = gap.close(leads=True)
                own = _own_settings(event, script)
                written = _written_texts(texts, event.text, spoken)
                for (text, end), as_written in zip(texts, written, strict=True):
                    pause = Pause.of(kind_of_break(end), options)
                    parts.append(ScriptPart(text, pause, speaker, own, as_written, chapter, timer.take()))
                gap = _Gap(options, parts[-1].pause.kind)
    if parts and not gap.is_empty:
        parts[-1] = dataclasses.replace(parts[-1], pause=gap.close())
    return CutScript(parts, lead, frozenset(used))


def _found(file: str, place: Place, find_sound: FindSound) -> GapSound:
    try:
        return find_sound(file)
    except TextError as error:
        raise script_error(place, str(error)) from None


def _own_settings(speech: Speech, script: Script) -> Mapping[str, object]:
    """The settings of a speech, by flag name: those of its tag over those of its speaker."""
    cast = script.cast.get(speech.speaker or "") if speech.voice is None else None
    if cast is None or not cast.settings:
        return speech.settings
    return layered(speech.settings, cast.settings) if speech.settings else cast.settings


class _Timer:
    """The time at which the next part begins, if the script says it."""

    def __init__(self) -> None:
        self._next: float | None = None
        self._last = 0.0

    def set(self, seconds: float, place: Place) -> None:
        """Raise ScriptError where that asks for a silence that is too long."""
        if seconds - self._last > MAX_PAUSE:
            raise script_error(
                place,
                f"{seconds:g} s is more than {MAX_PAUSE:.0f} s after what is before it, too long a silence; shift the times",
            )
        self._next = self._last = seconds

    def take(self) -> float | None:
        """The time for this part, which is not that of the parts behind it."""
        seconds, self._next = self._next, None
        return seconds


class _Gap:
    """The gap between two parts while it is read: stretches of silence, with sounds between them.

    A stretch that the script asks for is exactly as long as it says. Of the others, each is of the highest kind that
    something in it calls for: a scene break stands before the first sound, the change of the speaker behind the last one.
    """

    def __init__(self, options: Options, end_of_part: PauseKind = "segment") -> None:
        """`end_of_part`: what the end of the text before calls for."""
        self._options = options
        self._sounds: list[GapSound] = []
        # Of the stretches: the one before the first sound, and those behind each.
        self._kinds: list[PauseKind] = ["scene" if end_of_part == "scene" else "segment"]
        self._asked: list[float | None] = [None]  # seconds of the stretches

    @property
    def is_empty(self) -> bool:
        """Whether the script asks for nothing here."""
        return not self._sounds and self._asked == [None]

    def ask(self, seconds: float) -> None:
        self._asked[-1] = (self._asked[-1] or 0.0) + seconds

    def play(self, sound: GapSound) -> None:
        self._sounds.append(sound)
        self._kinds.append("segment")
        self._asked.append(None)

    def begin_chapter(self) -> None:
        self._kinds[-1] = "chapter"

    def begin(self, kind: PauseKind) -> None:
        """The next part begins. `kind`: what its beginning calls for."""
        self._kinds[-1] = max(self._kinds[-1], kind, key=PAUSE_KINDS.index)

    def close(self, leads: bool = False) -> Pause:
        """The gap. `leads`: it is before the first part, where nothing calls for silence but the script itself."""
        stretches = [
            Pause("asked", asked) if asked is not None else Pause.of(kind, self._options)
            for kind, asked in zip(self._kinds, self._asked, strict=True)
        ]
        if leads and self._asked[0] is None:
            stretches[0] = NO_GAP
        sounds = (
            dataclasses.replace(sound, kind=behind.kind, seconds=behind.seconds)
            for sound, behind in zip(self._sounds, stretches[1:], strict=True)
        )
        return dataclasses.replace(stretches[0], sounds=tuple(sounds))


# ---- texts as written ------------------------------------------------------------------------------------------------

_WORD = re.compile(r"\S+")


def _cut_speech(speech: Speech, script: Script, cut: CutText) -> tuple[SpokenText, Sequence[TextSegment]]:
    """The text of a speech as it is spoken, and its segments. Raises ScriptError for a pattern that takes too long."""
    try:
        spoken = script.pronunciations.apply(speech.text)
    except ScriptError:
        raise
    except TextError as error:
        raise script_error(speech.place, str(error)) from None
    return spoken, cut(spoken.text)


def _written_texts(segments: Sequence[TextSegment], written: str, spoken: SpokenText) -> Iterator[str | None]:
    """Yield the text of each segment as it is written; None where it is spoken as it is written."""
    if not spoken.passes:
        yield from (None for _ in segments)
        return
    words = list(_WORD.finditer(spoken.text))
    collapsed = " ".join(word.group() for word in words)
    starts = [0]  # of the words in the collapsed text
    for word in words:
        starts.append(starts[-1] + len(word.group()) + 1)

    def in_spoken(offset: int) -> int:
        k = min(bisect_right(starts, offset) - 1, len(words) - 1)
        return words[k].start() + offset - starts[k]

    done = 0
    for segment in segments:
        start = collapsed.find(segment.text, done)
        if start < 0:
            yield None
            continue
        done = start + len(segment.text)
        first, end = spoken.written(in_spoken(start), in_spoken(done - 1) + 1)
        text = " ".join(written[first:end].split())
        yield None if text == segment.text else text
