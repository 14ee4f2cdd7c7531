"""Every example of docs/scripts.md says what stands below it, every spelling of a pause is one, and the sample scripts are read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bark_infinity.errors import ScriptError
from bark_infinity.text.events import Chapter, Event, Pause, Place, Script, Sound, Speaker, Speech, StartAt
from bark_infinity.text.pronunciation import parse_pronunciations
from bark_infinity.text.script import format_script, parse_script, script_kind

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "scripts.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```(plain|dialogue|ssml)\n(.*?)\n```\n```(events|error)\n(.*?)\n```", PAGE, re.DOTALL | re.M)
PAUSES = re.findall(r"^\| `(\[pause.*?\])` \| ([\d.]+) \|$", PAGE, re.M | re.I)
CAST = {name: Speaker(name, f"v2/{name}") for name in ("Anna", "Bob")}


def shown(event: Event) -> str:
    """An event as the page shows it."""
    match event:
        case Pause(seconds):
            return f"pause {seconds:g}"
        case Sound(file):
            return f"sound {file}"
        case StartAt(seconds):
            return f"at {seconds:g}"
        case Chapter(title):
            return f"chapter {title}"
        case Speech(text, _, speaker, voice, settings):
            who = f"voice {voice}" if voice else speaker or "narrator"
            return " ".join(
                [who, *(f"{key}:{value}" for key, value in settings.items()), json.dumps(text, ensure_ascii=False)]
            )


@pytest.mark.parametrize(("kind", "text", "outcome", "expected"), EXAMPLES)
def test_example_says_what_stands_below_it(kind, text, outcome, expected):
    cast = {} if text.startswith("+++") else CAST
    assert script_kind(text, None, bool(cast) and kind == "dialogue") == kind
    if outcome == "error":
        with pytest.raises(ScriptError) as error:
            parse_script(text, kind, cast)
        assert str(error.value) == expected
    else:
        script = parse_script(text, kind, cast)
        assert [shown(event) for event in script.events] == expected.splitlines()
        assert parse_script(format_script(script), "dialogue") == script


def test_the_page_has_an_example_of_every_kind():
    assert len(EXAMPLES) == PAGE.count("\n```events") + PAGE.count("\n```error") > 12
    assert {kind for kind, *_ in EXAMPLES} == {"plain", "dialogue", "ssml"}


@pytest.mark.parametrize(("tag", "seconds"), PAUSES)
@pytest.mark.parametrize("kind", ["plain", "dialogue"])
def test_every_spelling_of_a_pause(tag, seconds, kind):
    assert parse_script(tag, kind) == Script((Pause(float(seconds), Place(1, 1)),))


def test_all_spellings_that_were_promised_are_there():
    assert {"[pause]", "[pause:1.5s]", "[pause:800ms]", "[pause 1.2s]", "[pause:2]"} <= {tag for tag, _ in PAUSES}


def test_the_pronunciation_file_is_read():
    (file,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    text, used = parse_pronunciations(file).spoken("Mr. Nguyen ran 12 km to new york, and let us see the US.")
    assert text == "Mr. Win ran 12 kilometers to Noo York, and let us see the U S."
    assert len(used) == 4


def test_the_sample_scripts():
    text = (ROOT / "prompts" / "night_watch.txt").read_text(encoding="utf-8")
    script = parse_script(text, script_kind(text, "night_watch.txt", has_cast=False))
    assert {event.speaker for event in script.events if isinstance(event, Speech)} == {None, "Ines", "Walt"}
    assert [event.title for event in script.events if isinstance(event, Chapter)] == [
        "The Night Watch",
        "The Morning After",
    ]
    assert script.look_alikes == ()
    chapter = (ROOT / "prompts" / "chapter_with_pauses.txt").read_text(encoding="utf-8")
    script = parse_script(chapter, script_kind(chapter, None, has_cast=False))
    pauses = [event.seconds for event in script.events if isinstance(event, Pause)]
    assert pauses == [1.2, 2, 0.8, 0.8, 1, 1.5, 3]
    file = parse_pronunciations((ROOT / "prompts" / "pronunciations.toml").read_text(encoding="utf-8"))
    assert "Luh-fevv" in file.spoken(chapter)[0] and "Wooster" in file.spoken(chapter)[0]


def test_links_within_the_page_lead_to_headings():
    headings = {re.sub(r"\W+", "-", title.lower()) for title in re.findall(r"^#+ (.*)$", PAGE, re.M)}
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= headings
