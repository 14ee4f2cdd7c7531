"""The spoken text of SubRip subtitles (.srt), as people and programs really write them."""

from __future__ import annotations

import html
import re
from itertools import pairwise

from ..errors import TextError

_COUNTER = re.compile(r"\d{1,9}")
_TIME = r"\d+(?:\s*:\s*\d+){1,2}(?:\s*[,.:]\s*\d+)?"
_TIME_LINE = re.compile(rf"{_TIME}\s*-+>\s*{_TIME}")  # behind it may stand where on the screen
_LINE_BREAK = re.compile(r"<br\s*/?>|\\[Nn]", re.IGNORECASE)
_FORMATTING = re.compile(r"</?[a-zA-Z][^<>]*>|\{\\[^{}]*\}|\{/?[bisuBISU]\}")  # <i>, {\an8}, {b}
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][\da-fA-F]{1,6}|\w{1,32});")


def subtitle_text(text: str) -> str:
    """What the cues say, in order, one line a cue. Raises TextError if there is no time line."""
    lines = [line.strip() for line in text.replace("\ufeff", "").splitlines()]
    times = [i for i, line in enumerate(lines) if _TIME_LINE.match(line)]
    if not times:
        raise TextError(
            "this is no subtitle file, having no line like 00:00:01,000 --> 00:00:04,000; rename it to .txt to have it "
            "spoken as it is"
        )
    counter = _number(lines[times[0] - 1]) if times[0] else None
    cues = []
    for start, end in pairwise([*times, len(lines) + 1]):
        cue = lines[start + 1 : end]
        if end < len(lines) and (place := _counter_place(cue, counter)) is not None:
            counter = _number(cue[place])
            del cue[place:]
        cues.append(_spoken(" ".join(cue)))
    return "\n".join(filter(None, cues))


def _counter_place(cue: list[str], before: int | None) -> int | None:
    """Where the next cue's counter stands in the lines between two time lines; `before` is the counter of this cue.

    A last line such as "42" may as well be what is said: then it does not go on counting, and no blank line or no other
    text is before it.
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
    return int(line) if _COUNTER.fullmatch(line) else None


def _spoken(cue: str) -> str:
    cue = _FORMATTING.sub("", _LINE_BREAK.sub(" ", cue))
    return " ".join(_ENTITY.sub(lambda entity: html.unescape(entity.group()), cue).split())
