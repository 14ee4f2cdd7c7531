"""Reads the spoken text of subtitle files (SubRip, WebVTT, SubStation Alpha), tolerating common deviations."""

from __future__ import annotations

import html
import re
from collections.abc import Container, Iterator, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from ..errors import TextError
from ..text.tags import MAX_PAUSE, format_start

SubtitleKind = Literal["srt", "vtt", "ass"]

_SUFFIXES: dict[str, SubtitleKind] = {".srt": "srt", ".vtt": "vtt", ".ass": "ass", ".ssa": "ass"}
_COUNTER = re.compile(r"\d{1,9}")
_TIME = r"\d+(?:\s*:\s*\d+){1,2}(?:\s*[,.:]\s*\d+)?"
_TIME_LINE = re.compile(rf"(?P<start>{_TIME})\s*-+>\s*(?P<end>{_TIME})")  # may be followed by a position on the screen
_LINE_BREAK = re.compile(r"<br\s*/?>|\\[Nn]", re.IGNORECASE)
_RUBY = re.compile(r"<rt\b[^<>]*>.*?(?:</rt>|(?=</ruby>|$))", re.IGNORECASE | re.DOTALL)  # annotations of pronunciation
_FORMATTING = re.compile(r"</?[a-zA-Z][^<>]*>|<\d[\d:.]*>|\{\\[^{}]*\}|\{/?[bisuBISU]\}")  # <i>, <00:01.0>, {\an8}, {b}
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][\da-fA-F]{1,6}|\w{1,32});")
_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?\s+(?P<name>[^<>]+)>", re.IGNORECASE)  # of WebVTT: <v Anna>
_NEW_SPEAKER = re.compile(r"^\s*(?:-\s*)?>>+")  # ">>", as broadcasters mark a change of speaker
_IS_VTT = re.compile(r"\s*WEBVTT(?=[ \t\n]|$)")
_IS_SRT = re.compile(rf"\s*(?:\d+[ \t]*\n+[ \t]*)?{_TIME_LINE.pattern}")
_IS_ASS = re.compile(r"\s*(?:;.*\n|!.*\n)*\[Script Info\]", re.IGNORECASE)
_MAX_GAP = 0.1  # most seconds between a cue and the next one that shows its lines again
_ROLLING_SHARE = 0.3  # least share of cues that show earlier lines again in a file of rolling captions


class Cue(NamedTuple):
    """Lines of text that are shown from `start` to `end`, in seconds. `speaker`: whose they are, if the file says it."""

    start: float
    end: float
    lines: tuple[str, ...]
    speaker: str | None = None


def subtitles_by_name(name: str) -> SubtitleKind | None:
    """The kind of subtitles by the file's ending; None if it is not one of subtitles."""
    return next((kind for suffix, kind in _SUFFIXES.items() if name.lower().endswith(suffix)), None)


def subtitles_by_content(text: str) -> SubtitleKind | None:
    """The kind of subtitles by the start of the text; None if it is not subtitles."""
    if _IS_VTT.match(text):
        return "vtt"
    if _IS_ASS.match(text):
        return "ass"
    return "srt" if _IS_SRT.match(text) else None


def text_of_cues(text: str, cast: Container[str] = ()) -> str:
    """The text of all cues in order, one line per cue. Lines that rolling captions repeat appear once.

    `cast`: names of speakers, who are named before their cues. Raises TextError if there is no cue.
    """
    return "\n".join(_line(cue, cast) for cue in read_cues(text))


def timed_script(text: str, cast: Container[str] = ()) -> str:
    """As `text_of_cues`, as a script where each cue begins at its time. Raises TextError for too long a silence, too."""
    before, lines = 0.0, []
    for cue in sorted(read_cues(text), key=lambda cue: cue.start):
        if cue.start - before > MAX_PAUSE:
            raise TextError(
                f"the cue {_line(cue, ())[:40]!r} begins {cue.start - before:.0f} s after the one before it, and a silence "
                f"has at most {MAX_PAUSE:.0f} s; shift the times"
            )
        lines += [format_start(round(cue.start, 6)), _line(cue, cast)]
        before = cue.start
    return "\n".join(lines)


def read_cues(text: str) -> list[Cue]:
    """The cues of a subtitle file that have a text, without what rolling captions repeat. Raises TextError if there is none."""
    text = text.replace("\ufeff", "")
    read = {"vtt": _read_vtt, "ass": _read_ass}.get(subtitles_by_content(text) or "srt", _read_srt)
    cues = read(text.splitlines())
    if not cues:
        raise TextError(
            "this is no subtitle file, having no line like 00:00:01,000 --> 00:00:04,000; rename it to .txt to have it "
            "spoken as it is"
        )
    return [cue for cue in _without_repeats(cues) if any(cue.lines)]


def _line(cue: Cue, cast: Container[str]) -> str:
    """The text of a cue in one line, behind its speaker's name if he is in the cast."""
    line = " ".join(filter(None, cue.lines))
    return f"{cue.speaker}: {line}" if cue.speaker is not None and cue.speaker in cast else line


# ---- formats ---------------------------------------------------------------------------------------------------------


def _read_srt(text_lines: Sequence[str]) -> list[Cue]:
    lines = [line.strip() for line in text_lines]
    times = {i: match for i, line in enumerate(lines) if (match := _TIME_LINE.match(line))}
    first = next(iter(times), 0)
    counter = _number(lines[first - 1]) if first else None
    cues = []
    for start, end in pairwise([*times, len(lines) + 1]):
        cue = lines[start + 1 : end]
        if end < len(lines) and (place := _counter_place(cue, counter)) is not None:
            counter = _number(cue[place])
            del cue[place:]
        cues.append(_cue(times[start], cue))
    return cues


def _counter_place(cue: list[str], before: int | None) -> int | None:
    """The index of the next cue's counter in the lines between two time lines; None if there is none.

    `before`: the counter of this cue. A last line such as "42" may also be spoken text: then it is not the next number,
    and there is no blank line or no other text before it.
    """
    filled = [i for i, line in enumerate(cue) if line]
    number = _number(cue[filled[-1]]) if filled else None
    if number is None:
        return None
    place, is_only_text = filled[-1], len(filled) == 1
    is_next = before is not None and number == before + 1
    if place < len(cue) - 1:  # a blank line follows, which a counter should not have
        return place if is_next and not is_only_text else None
    is_apart = place > 0 and not cue[place - 1]
    return place if is_next or (is_apart and not (is_only_text and before is None)) else None


def _number(line: str) -> int | None:
    """The number in a line that has nothing else."""
    return int(line) if _COUNTER.fullmatch(line) else None


def _read_vtt(lines: Sequence[str]) -> list[Cue]:
    """The cues of WebVTT: blocks between empty lines. A block without a time line is a header, a note or a style."""
    cues: list[Cue] = []
    block: list[str] = []
    for k, line in enumerate([*lines, ""]):
        begins_cue = any(_TIME_LINE.match(following.strip()) for following in lines[k + 1 : k + 3])
        if line and (line.strip() or not begins_cue):  # a line of spaces does not end a cue
            block.append(line.strip())
            continue
        for place, part in enumerate(block[:2]):
            if times := _TIME_LINE.match(part):
                cues.append(_cue(times, block[place + 1 :]))
                break
        block = []
    return cues


def _read_ass(lines: Sequence[str]) -> list[Cue]:
    """The dialogue of SubStation Alpha, sorted by time."""
    cues: list[Cue] = []
    columns = ["layer", "start", "end", "style", "name", "marginl", "marginr", "marginv", "effect", "text"]
    for line in lines:
        kind, _, rest = line.strip().partition(":")
        if kind.lower() == "format" and "text" in rest.lower():
            columns = [column.strip().lower() for column in rest.split(",")]
        elif kind.lower() == "dialogue":
            values = dict(zip(columns, rest.split(",", len(columns) - 1), strict=False))
            text = values.get("text", "")
            if not re.search(r"\{[^{}]*\\p[1-9]", text):  # not a drawing
                parts = re.split(r"\\[Nn]", re.sub(r"\{[^{}]*\}", "", text).replace("\\h", " "))
                start, end = (_seconds(values.get(name, "")) for name in ("start", "end"))
                shown = tuple(filter(None, (" ".join(part.split()) for part in parts)))
                cues.append(Cue(start, end, shown, values.get("name", "").strip() or None))
    return sorted(cues, key=lambda cue: cue.start)


def _cue(times: re.Match[str], lines: Sequence[str]) -> Cue:
    shown = _RUBY.sub("", "\n".join(lines))
    spoken = (_spoken(line) for line in _LINE_BREAK.sub("\n", shown).split("\n"))
    voices = {" ".join(html.unescape(match["name"]).split()) for match in _VOICE.finditer(shown)}
    speaker = voices.pop() if len(voices) == 1 else None  # a cue of several speakers is not cut up
    return Cue(_seconds(times["start"]), _seconds(times["end"]), tuple(filter(None, spoken)), speaker)


def _seconds(time: str) -> float:
    """A time such as 00:01:02,500 in seconds."""
    *whole, fraction = re.split(r"[,.]", "".join(time.split())) if re.search(r"[,.]", time) else (time, "0")
    total = 0.0
    for part in re.findall(r"\d{1,9}", whole[0]):
        total = 60 * total + int(part)
    return total + (float(f"0.{fraction[:9]}") if fraction.isdecimal() else 0.0)


def _spoken(line: str) -> str:
    """A line without formatting and marks of speakers."""
    line = _FORMATTING.sub("", line)
    line = _ENTITY.sub(lambda entity: html.unescape(entity.group()), line)
    return " ".join(_NEW_SPEAKER.sub("", line).split())


# ---- rolling captions ------------------------------------------------------------------------------------------------


def _without_repeats(cues: Sequence[Cue]) -> Iterator[Cue]:
    """Yield each cue without the lines that it repeats from the cue before.

    Lines are repeated if the cue begins while the one before is still shown. In rolling captions, where many cues repeat
    lines, they are repeated also if it follows at once; elsewhere "No!" twice is spoken twice.
    """
    cues = [cue for cue in cues if cue.lines]
    shown_again = [0, *(_words_shown_again(*pair) for pair in pairwise(cues))]
    rolling = sum(map(bool, shown_again)) >= max(2, _ROLLING_SHARE * len(cues))
    for k, cue in enumerate(cues):
        overlaps = k > 0 and cue.start < cues[k - 1].end
        yield cue._replace(lines=_without_words(cue.lines, shown_again[k])) if rolling or overlaps else cue


def _words_shown_again(before: Cue, cue: Cue) -> int:
    """The number of words at the start of a cue that are the last lines, or all lines, of the cue before."""
    if not -_MAX_GAP <= cue.start - before.end <= _MAX_GAP and not before.start <= cue.start < before.end:
        return 0
    words = _words(cue.lines)
    for first in range(len(before.lines)):
        ending = _words(before.lines[first:])
        if ending and words[: len(ending)] == ending:
            return len(ending)
    return 0


def _words(lines: Sequence[str]) -> list[str]:
    return " ".join(lines).casefold().split()


def _without_words(lines: Sequence[str], n_words: int) -> tuple[str, ...]:
    return (" ".join(" ".join(lines).split()[n_words:]),)
