"""Writes subtitles as SubRip, WebVTT, SubStation Alpha, LRC and JSON, with what each format cannot hold replaced."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from ..errors import UsageError

SUBTITLE_SUFFIXES = {"srt": ".srt", "vtt": ".vtt", "ass": ".ass", "lrc": ".lrc", "json": ".subtitles.json"}
SUBTITLES_BY = ("segment", "sentence", "word")
_FORMAT_VERSION = 1
_LONG_GAP = 1.0  # seconds behind a line of LRC after which it is no longer shown


@dataclass(frozen=True)
class TimedWord:
    """A word, and when it is spoken, in seconds from the beginning of the clip."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class Cue:
    """Lines that are shown from `start` to `end`, in seconds. `segment`: of the clip, counted from 1."""

    start: float
    end: float
    lines: tuple[str, ...]
    segment: int
    speaker: str | None = None  # None: the narrator
    words: tuple[tuple[TimedWord, ...], ...] = ()  # of each line; () where times of words are not asked for


@dataclass(frozen=True)
class Subtitles:
    """The subtitles of a clip."""

    title: str
    seconds: float  # length of the clip
    times: str  # how exact they are
    cues: tuple[Cue, ...]
    chapters: tuple[tuple[float, str], ...] = ()  # where each begins, in seconds, and its title
    by: str = "segment"


def read_formats(given: str) -> tuple[str, ...]:
    """The formats that --subtitles names. Raises UsageError."""
    names = [name.strip().lower() for name in given.split(",")]
    for name in names:
        if name not in SUBTITLE_SUFFIXES:
            raise UsageError(
                f"--subtitles {given[:100]}: {name!r} is not one of {', '.join(SUBTITLE_SUFFIXES)}; "
                "give one or several of them, with commas between"
            )
    return tuple(dict.fromkeys(names))


def format_subtitles(subtitles: Subtitles, format: str) -> str:
    """The content of a file in this format, one of `SUBTITLE_SUFFIXES`."""
    return "".join(f"{line}\n" for line in _FORMATS[format](subtitles))


# ---- formats ---------------------------------------------------------------------------------------------------------


def _srt(subtitles: Subtitles) -> Iterator[str]:
    cues = _word_cues(subtitles.cues) if subtitles.by == "word" else subtitles.cues
    for number, (start, end, cue) in enumerate(_ticks(cues, 1000), 1):
        yield str(number)
        yield f"{_clock(start, 1000, ',')} --> {_clock(end, 1000, ',')}"
        yield from map(_srt_text, cue.lines)
        yield ""


def _srt_text(text: str) -> str:
    """Text without what players take for times or formatting: SubRip has no way to say that it is none."""
    return re.sub(r"<(?=/?[A-Za-z])", "‹", text).replace("{\\", "(\\").replace("-->", "→")


def _vtt(subtitles: Subtitles) -> Iterator[str]:
    yield from ("WEBVTT", "", f"NOTE Times: {_vtt_note(subtitles.times)}", "")
    cues = _word_cues(subtitles.cues) if subtitles.by == "word" else subtitles.cues
    chapters = list(subtitles.chapters)
    for start, end, cue in _ticks(cues, 1000):
        while chapters and chapters[0][0] <= cue.start:
            yield from (f"NOTE Chapter: {_vtt_note(chapters.pop(0)[1])}", "")
        yield f"{_clock(start, 1000, '.')} --> {_clock(end, 1000, '.')}"
        voice = "" if cue.speaker is None else f"<v {_vtt_text(cue.speaker)}>"
        yield voice + "\n".join(map(_vtt_text, cue.lines))
        yield ""


def _vtt_text(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _vtt_note(text: str) -> str:
    return " ".join(text.split()).replace("-->", "→")


def _ass(subtitles: Subtitles) -> Iterator[str]:
    yield from ("[Script Info]", f"; Times: {subtitles.times}", f"Title: {subtitles.title}", *_ASS_HEAD, "", "[Events]")
    yield "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text"
    chapters = list(subtitles.chapters)
    for start, end, cue in _ticks(subtitles.cues, 100):
        while chapters and chapters[0][0] <= cue.start:
            begin, title = chapters.pop(0)
            at = _ass_clock(round(begin * 100))
            yield f"Comment: 0,{at},{at},Default,,0,0,0,,Chapter: {_ass_text(title)}"
        name = " ".join((cue.speaker or "").replace(",", " ").split())
        text = r"\N".join(map(_ass_text, cue.lines)) if not cue.words else _karaoke(cue, start, end)
        yield f"Dialogue: 0,{_ass_clock(start)},{_ass_clock(end)},Default,{name},0,0,0,,{text}"


_ASS_HEAD = (
    "ScriptType: v4.00+",
    "WrapStyle: 2",
    "ScaledBorderAndShadow: yes",
    "PlayResX: 1920",
    "PlayResY: 1080",
    "",
    "[V4+ Styles]",
    "Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, "
    "StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding",
    # white on a black outline; words that are not spoken yet are grey
    "Style: Default,Arial,64,&H00FFFFFF,&H00A0A0A0,&H00000000,&H80000000,0,0,0,0,100,100,0,0,1,3,1,2,80,80,60,1",
)


def _karaoke(cue: Cue, start: int, end: int) -> str:
    """The lines of a cue, each word with the hundredths of a second until the next one begins."""
    starts = [max(start, min(end, round(word.start * 100))) for line in cue.words for word in line]
    ends = iter([*starts[1:], end])
    begins = iter([start, *starts[1:]])
    return r"\N".join(
        " ".join(f"{{\\k{next(ends) - next(begins)}}}{_ass_text(word.text)}" for word in line) for line in cue.words
    )


def _ass_text(text: str) -> str:
    """Text without braces, which begin commands, and with a word joiner behind backslashes that would be taken for one."""
    return re.sub(r"\\(?=[Nnh])", "\\\\\u2060", text.replace("{", "(").replace("}", ")"))


def _ass_clock(hundredths: int) -> str:
    return _clock(hundredths, 100, ".").removeprefix("0")


def _lrc(subtitles: Subtitles) -> Iterator[str]:
    minutes, seconds = divmod(round(subtitles.seconds), 60)
    yield from (
        f"[ti:{_lrc_text(subtitles.title)}]",
        f"[length:{minutes:02}:{seconds:02}]",
        f"[#:Times: {subtitles.times}]",
    )
    cues = list(_ticks(subtitles.cues, 100))
    following = [start for start, _, _ in cues[1:]]
    for (start, end, cue), next_start in zip(cues, [*following, None], strict=True):
        words = [word for line in cue.words for word in line]
        if words:
            text = " ".join(f"<{_lrc_clock(round(word.start * 100))}>{_lrc_text(word.text)}" for word in words)
            yield f"[{_lrc_clock(start)}]{text}<{_lrc_clock(end)}>"
        else:
            yield f"[{_lrc_clock(start)}]{_lrc_text(' '.join(cue.lines))}"
        if next_start is None or next_start - end >= 100 * _LONG_GAP:
            yield f"[{_lrc_clock(end)}]"


def _lrc_text(text: str) -> str:
    """Text without what would be taken for a time; square brackets become round ones."""
    return re.sub(r"<(\d+:[\d.:]+)>", r"(\1)", text.replace("[", "(").replace("]", ")"))


def _lrc_clock(hundredths: int) -> str:
    minutes, rest = divmod(hundredths, 6000)
    return f"{minutes:02}:{rest // 100:02}.{rest % 100:02}"


def _json(subtitles: Subtitles) -> Iterator[str]:
    content = {
        "format": _FORMAT_VERSION,
        "title": subtitles.title,
        "seconds": round(subtitles.seconds, 6),
        "by": subtitles.by,
        "times": subtitles.times,
        "chapters": [{"start": round(start, 6), "title": title} for start, title in subtitles.chapters],
        "cues": [_json_cue(start / _US, end / _US, cue) for start, end, cue in _ticks(subtitles.cues, _US)],
    }
    yield json.dumps(content, indent=1, ensure_ascii=False)


_US = 1_000_000  # microseconds in a second


def _json_cue(start: float, end: float, cue: Cue) -> Mapping[str, object]:
    words = (word for line in cue.words for word in line)
    timed = [{"start": round(word.start, 6), "end": round(word.end, 6), "text": word.text} for word in words]
    return {
        "start": start,
        "end": end,
        "segment": cue.segment,
        **({} if cue.speaker is None else {"speaker": cue.speaker}),
        "lines": list(cue.lines),
        **({"words": timed} if timed else {}),
    }


_FORMATS: Mapping[str, Callable[[Subtitles], Iterator[str]]] = {
    "srt": _srt,
    "vtt": _vtt,
    "ass": _ass,
    "lrc": _lrc,
    "json": _json,
}


# ---- times -----------------------------------------------------------------------------------------------------------


def _word_cues(cues: Iterable[Cue]) -> Iterator[Cue]:
    """Yield a cue for each word."""
    for cue in cues:
        for word in (word for line in cue.words for word in line):
            yield dataclasses.replace(cue, start=word.start, end=word.end, lines=(word.text,), words=())


def _ticks(cues: Iterable[Cue], rate: int) -> Iterator[tuple[int, int, Cue]]:
    """Yield each cue with its start and end, in 1/rate s. They overlap nowhere, and no cue has no length."""
    before = 0
    for cue in cues:
        start = max(before, round(cue.start * rate))
        before = max(start + 1, round(cue.end * rate))
        yield start, before, cue


def _clock(ticks: int, rate: int, mark: str) -> str:
    """A time as hours, minutes, seconds and the rest, 1/rate s."""
    seconds, rest = divmod(ticks, rate)
    digits = len(str(rate)) - 1
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{mark}{rest:0{digits}}"
