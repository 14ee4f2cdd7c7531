"""Plans for making a finished clip again with other texts of single segments; the others stay as they are cut."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Container, Mapping, Sequence

from ..errors import TextError, UsageError
from ..options.table import Options
from ..run.planning import SEEDS, CountIds, SegmentCutter, SegmentPlan
from ..run.script_cutting import ScriptPart, is_plain, text_of
from ..seeds import derive_seed
from ..text.events import Event, Place, Script, Speech
from ..text.script import parse_script
from .manifest import Manifest
from .mending import Mended
from .remaking import plan_again, recorded_script

_PLACE = Place(1, 1)  # texts of segments have no lines


def edit(
    manifest: Manifest,
    texts: Mapping[int, str],
    options: Options,
    cutter: SegmentCutter,
    count_ids: CountIds | None = None,
    own_stems: Container[str] = (),
) -> Mended:
    """The plan of a manifest's clip with these texts in place of those of some segments, by index. Others keep their seeds.

    A text that is too long for one segment is cut into several, and a segment whose text is empty is left out. Raises
    TextError for a text with markup, if nothing is left, or for a text with nothing to say; UsageError.
    """
    if manifest.options.bark_speaker_as_the_prompt is not None:
        raise UsageError("the clip speaks the tokens of a voice and has no text; make a clip of a text in its place")
    before = plan_again(
        manifest,
        dataclasses.replace(options, **{name: getattr(manifest.options, name) for name in SEEDS}),
        own_stems=own_stems,
    )
    script = recorded_script(manifest)
    segments: list[SegmentPlan] = []
    unchanged: dict[int, int] = {}
    for k, segment in enumerate(before.segments):
        text = _new_text(texts[k], options) if k in texts else None
        if text is None or text == _without_affixes(segment.written or segment.text, options):
            unchanged[len(segments)] = k
            segments.append(segment)
        elif text:
            parts = cutter.cut(_said_alone(k, text, segment.speaker, script), manifest.seed, count_ids).parts
            segments += _in_place(segment, parts)
    if not segments:
        raise TextError("no segment with a text is left; leave one of them its text")
    changed = _edited_script(script, manifest, texts, options) or _script_of(segments, script)
    plan = dataclasses.replace(
        before,
        text=text_of(changed),
        segments=tuple(segments),
        script=None if is_plain(changed) else changed,
    )
    return Mended(plan, manifest, unchanged)


def _said_alone(index: int, text: str, speaker: str | None, script: Script) -> Script:
    """A script that says the new text of a segment. Raises TextError for markup in it."""
    events = parse_script(text, "plain").events
    if [type(event) for event in events] != [Speech]:
        raise TextError(f"the new text of segment {index + 1} has a tag for a pause, a sound or a time; leave it out")
    return dataclasses.replace(script, events=(_speech(text, speaker, script),))


def _speech(text: str, speaker: str | None, script: Script) -> Speech:
    in_cast = speaker in script.cast
    return Speech(text, _PLACE, speaker if in_cast else None, None if in_cast else speaker, new_paragraph=True)


def _in_place(segment: SegmentPlan, parts: Sequence[ScriptPart]) -> list[SegmentPlan]:
    """The segments that take the place of one, with its seeds, settings and time, and the gap behind the last of them."""
    made = []
    for k, part in enumerate(parts):
        seed = segment.seeds.segment
        seeds = (
            segment.seeds
            if not k or seed is None
            else dataclasses.replace(segment.seeds, segment=derive_seed(seed, "part", k))
        )
        made.append(
            dataclasses.replace(
                segment,
                text=part.text,
                written=part.written,
                seeds=seeds,
                settled=False,
                trim=None,
                pause=segment.pause if k == len(parts) - 1 else part.pause,
                start_at=None if k else segment.start_at,
            )
        )
    return made


def _edited_script(script: Script, manifest: Manifest, texts: Mapping[int, str], options: Options) -> Script | None:
    """The script with the new texts where the texts of the segments are; None if one of these is not found."""
    events: list[Event] = list(script.events)
    speeches = [k for k, event in enumerate(events) if isinstance(event, Speech)]
    here, offset = 0, 0  # where the text of the next segment is looked for: which speech, and where in it
    for k, part in enumerate(manifest.parts):
        words = _without_affixes(part.written or part.text, options).split()
        pattern = re.compile(r"\s+".join(map(re.escape, words)))
        for number in range(here, len(speeches)):
            speech = events[speeches[number]]
            assert isinstance(speech, Speech)
            if (match := pattern.search(speech.text, offset if number == here else 0)) is not None:
                break
        else:
            if k in texts:
                return None
            continue
        here, offset = number, match.end()
        if k in texts:
            new = _new_text(texts[k], options)
            rest = speech.text[match.end() :]
            text = speech.text[: match.start()] + new + (rest if new else rest.lstrip())
            events[speeches[number]] = dataclasses.replace(speech, text=text)
            offset = match.start() + len(new)
    said = tuple(event for event in events if not isinstance(event, Speech) or event.text.strip())
    return dataclasses.replace(script, events=said)


def _new_text(text: str, options: Options) -> str:
    """A new text as it is cut: in one line, without what is put around every segment."""
    return _without_affixes(" ".join(text.split()), options)


def _without_affixes(text: str, options: Options) -> str:
    """The text of a segment without --prompt_text_prefix and --prompt_text_suffix."""
    prefix, suffix = options.prompt_text_prefix or "", options.prompt_text_suffix or ""
    return text.removeprefix(prefix.strip()).removesuffix(suffix.strip()).strip()


def _script_of(segments: Sequence[SegmentPlan], script: Script) -> Script:
    """A script that says what these segments say, each in a paragraph of its own."""
    said = (_speech(segment.written or segment.text, segment.speaker, script) for segment in segments if segment.text)
    return dataclasses.replace(script, events=tuple(said))
