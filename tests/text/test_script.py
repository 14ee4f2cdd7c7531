"""Scripts: what is no markup comes out unchanged, a script that is written again is equal, and errors name their place."""

from __future__ import annotations

import re
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bark_infinity.errors import ScriptError, TextError
from bark_infinity.text.events import Chapter, Event, Pause, Place, Script, Sound, Speaker, Speech
from bark_infinity.text.pronunciation import Pronunciation, Pronunciations
from bark_infinity.text.script import format_script, parse_script, script_kind

PROMPTS = sorted((Path(__file__).parents[2] / "prompts").glob("*.txt"))
CAST = {"Anna": Speaker("Anna", "v2/en_speaker_9"), "Bob": Speaker("Bob", None, {"text_temp": 0.6})}
HERE = Place(1, 1)
CONTRACT = """\
+++
[cast]
Anna = "v2/en_speaker_9"
Bob = {voice = "v2/en_speaker_6", text_temp = 0.6}
[settings]
add_silence_between_paragraphs = 0.4
[pronunciations]
"Nguyen" = "Win"
+++
# Chapter one
Anna: Did you hear that? [pause:1.5s]
Bob: [laughs] It was the door.
[sound: door.wav]
[Anna|seed:42|text_temp:0.5] I am not going down there.
The narrator goes on in the voice of the run.  [voice:Bob] until here [/voice] and back.
"""
SNIPPETS = (
    "\n",
    "\n\n",
    " ",
    "\t",
    "\n  ",
    "Anna:",
    "\nAnna: ",
    "Bob：",
    "[Anna]",
    "[Anna|seed:4]",
    "[Bob|text_temp:0|negative_text_prompt:]",
    "[voice:Anna]",
    "[voice:v2/de_speaker_1]",
    "\n[voice:Bob]",
    "[/voice]",
    "[pause]",
    "[pause:2]",
    "[at:61.5s]",
    "\n[at:1:02]\n",
    "[sound: a.wav]",
    "# One\n",
    "#",
    "***",
    "\n***\n",
    "...",
    '"',
    "—",
    "\\",
    "Hello",
    "Carl: ",
    "[laughs]",
    "♪",
    "MAN: ",
    "[",
    "]",
    "[pauze]",
    "+++",
    "\n+++\n",
    "a = 1",
    "<speak>",
    "+++\n[settings]\nseed = 1\n+++\n",
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
MARKUP = st.lists(st.sampled_from(SNIPPETS), max_size=14).map("".join)
KINDS = st.sampled_from(["plain", "dialogue"])
ELEMENTS = ("p", "s", "voice name='Anna'", "voice name='v2/x'", "prosody", "sub alias='as [pause] said'", "metadata")
SSML = st.recursive(
    st.sampled_from(
        [
            "Hello",
            " ",
            "\n",
            ".",
            "[laughs]",
            "[pause]",
            "&amp;",
            "***",
            "Anna: x",
            "# One",
            "<break/>",
            "<break time='2s'/>",
        ]
    ),
    lambda content: st.builds(
        lambda element, parts: f"<{element}>{''.join(parts)}</{element.split()[0]}>",
        st.sampled_from(ELEMENTS),
        st.lists(content, max_size=4),
    ),
    max_leaves=12,
)


def events(text: str, kind: str = "dialogue", cast: dict[str, Speaker] | None = None) -> tuple[Event, ...]:
    return parse_script(text, kind, CAST if cast is None else cast).events


def said(text: str, speaker: str | None = None, **settings: object) -> Speech:
    return Speech(text, HERE, speaker, None, settings)


def assert_written_again(script: Script) -> None:
    """That the script's text, as it is written, is read as an equal script, which is written alike."""
    text = format_script(script)
    again = parse_script(text, script_kind(text, None, has_cast=False))
    assert again == script
    assert format_script(again) == text


# ---- what is no markup -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PROMPTS, ids=lambda path: path.name)
@pytest.mark.parametrize("kind", ["plain", "dialogue"])
def test_sample_prompts_are_unchanged(path, kind):
    text = path.read_text(encoding="utf-8")
    if not text.startswith("+++") and "[pause" not in text:
        assert events(text, kind) == (said(text),)


@given(TEXTS.filter(lambda text: text.strip() and "[" not in text and not text.lstrip().startswith("+++")))
@example("  Hello.\n\n\n  ***\n\nAnna: no name here\r\n# no chapter\n\\ \\[x]\n\n")
def test_plain_text_without_tags_is_unchanged(text):
    assert events(text, "plain", {}) == (said(text),)


@given(TEXTS.filter(lambda text: text.strip() and not re.search(r"[\[#+]", text)))
@example(" MAN: Hm — well... ♪ la ♪ WOMAN: WAIT!\n\n* * *\n\nCarl: hello\n")
def test_a_dialogue_without_markup_is_unchanged(text):
    assert events(text) == (said(text),)


@pytest.mark.parametrize(
    "text",
    [
        "[laughs] MAN: Well... [clears throat] ♪ in the jungle ♪ — NO! [OLD MAN] [MAN] [WOMAN 2]",
        "[sighs] [music] [gasps] [applause] [laughter] [sounds of rain] [sound of a door] [voices] [voice breaking] [noise]",
        "[long pause for effect] [/] [] [ ] [15] [see http://a.b/c] [a|b] [x: y] [Chorus: all] [..] [cast] [paws]",
        "[Carl] [Carl|loudly] {pause} <break/> (pause) [Anna and Bob] [the seed: a story]",
        "C:\\temp \\[laughs] \\* \\Carl: x",
    ],
)
@pytest.mark.parametrize("kind", ["plain", "dialogue"])
def test_what_is_barks_stays_as_it_is(text, kind):
    assert events(text, kind) == (said(text),)


def test_in_plain_text_there_are_only_pauses_and_sounds():
    text = "Anna: Hi. [voice:Bob] Ho. [/voice] [Anna|seed:1] He.\n# One [pause] Two [sound: a.wav]"
    before = "Anna: Hi. [voice:Bob] Ho. [/voice] [Anna|seed:1] He.\n# One"
    assert events(text, "plain") == (said(before), Pause(1, HERE), said("Two"), Sound("a.wav", HERE))


# ---- the grammar -----------------------------------------------------------------------------------------------------


def test_the_example_of_the_contract():
    script = parse_script(CONTRACT, "dialogue")
    assert script.events == (
        Chapter("Chapter one", HERE),
        said("Did you hear that?", "Anna"),
        Pause(1.5, HERE),
        said("[laughs] It was the door.", "Bob"),
        Sound("door.wav", HERE),
        said("I am not going down there.", "Anna", seed=42, text_temp=0.5),
        said("The narrator goes on in the voice of the run."),
        said("until here", "Bob"),
        said("and back.\n"),
    )
    bob = Speaker("Bob", "v2/en_speaker_6", {"text_temp": 0.6})
    assert script.cast == {"Anna": Speaker("Anna", "v2/en_speaker_9"), "Bob": bob}
    assert script.settings == {"add_silence_between_paragraphs": 0.4}
    assert script.pronunciations == Pronunciations((Pronunciation("Nguyen", "Win"),))
    assert [(event.place.line, event.place.column) for event in script.events] == [
        *((10, 1), (11, 7), (11, 26), (12, 6), (13, 1), (14, 30), (15, 1), (15, 60), (15, 80))
    ]
    assert_written_again(script)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Anna: a\nb", [said("a", "Anna"), said("b")]),
        ("  Anna :a\nBob：b", [said("a", "Anna"), said("b", "Bob")]),
        ("Anna: a\nAnna: b", [said("a", "Anna"), said("b", "Anna")]),  # two turns
        ("Anna: a\n  b\n\tc\n\n  d", [said("a\n  b\n\tc", "Anna"), said("d")]),
        ("Anna: a\n  Bob: b", [said("a", "Anna"), said("b", "Bob")]),
        ("Anna:\na\nb\n\nc", [said("a\nb", "Anna"), said("c")]),
        ("Anna:\nBob: b\nc", [said("b", "Bob"), said("c")]),
        ("Anna:\n# One\na", [Chapter("One", HERE), said("a")]),
        ("[Anna|seed:1]\na\nb\n\nc", [said("a\nb", "Anna", seed=1), said("c")]),
        ("x [Anna|seed:1] a\nb", [said("x"), said("a", "Anna", seed=1), said("b")]),
        ("Anna: a [pause] b\nc", [said("a", "Anna"), Pause(1, HERE), said("b", "Anna"), said("c")]),
        ("Anna: a [voice:Bob] b [/voice] c\nd", [said("a", "Anna"), said("b", "Bob"), said("c", "Anna"), said("d")]),
        ("Anna: a [voice:Bob] b\nc [/voice] d", [said("a", "Anna"), said("b\nc", "Bob"), said("d")]),
        ("[voice:Bob] a [Anna] b [/voice] c\nd", [said("a", "Bob"), said("b  c", "Anna"), said("d")]),
        (
            "[voice:Bob] a [voice:Anna] b [/voice] c [/voice] d",
            [said("a", "Bob"), said("b", "Anna"), said("c", "Bob"), said("d")],
        ),
        ("[voice:Bob]\nAnna: a\nb\n[/voice]", [said("a", "Anna"), said("b", "Bob")]),
        ("a [VOICE: x.npz] b [/ Voice] c", [said("a"), Speech("b", HERE, None, "x.npz"), said("c")]),
        ("[anna|seed:1]", "there is no tag [anna|seed:1]; write [Anna|seed:1]"),
        ("# One #2 [pause]\na", [Chapter("One #2 [pause]", HERE), said("a")]),
        ("#One\n# * *\n#\n## Two", [said("#One\n# * *\n#\n## Two")]),
        ("[sound:  my door.ogg ]", [Sound("my door.ogg", HERE)]),
        ("[PAUSE: 1,5 s]", "write [pause:1.5s]"),
    ],
)
def test_who_says_what(text, expected):
    if isinstance(expected, str):
        with pytest.raises(ScriptError, match=re.escape(expected)):
            events(text)
    else:
        assert list(events(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Anna: a\n\n***\n\nBob: b", [said("a\n\n***", "Anna"), said("b", "Bob")]),
        ("Anna: a\n***\nb", [said("a\n***", "Anna"), said("b")]),
        ("a [pause]\n***\nb", [said("a \n***"), Pause(1, HERE), said("b")]),
        ("***\nAnna: a\n***", [said("a\n***", "Anna")]),
        ("***\na", [said("***\na")]),
        ("***", [said("***")]),
        ('"No," [voice:Bob] he said [/voice].', [said('"No,"'), said("he said.", "Bob")]),
        ("Wait [pause] ... [pause] now", [said("Wait..."), Pause(1, HERE), Pause(1, HERE), said("now")]),
        ("Anna: a\nBob: ...\nb", [said("a", "Anna"), said("...", "Bob"), said("b")]),
        ("a [pause] ♪ [pause] b", [said("a"), Pause(1, HERE), said("♪"), Pause(1, HERE), said("b")]),
    ],
)
def test_text_without_words_stays_with_the_speech_before(text, expected):
    assert list(events(text)) == expected


def test_undeclared_names_that_look_like_speakers_are_listed_once():
    text = "Carl: a\nAnna: b\n ANNA: c\nCarl: d\nOld Tom: e\nMAN: f\nOLD MAN 2: g\nnote: h\nThe end of it all: i\n12:30\nEva：j"
    script = parse_script(text, "dialogue", CAST)
    places = {name: (place.line, place.column) for name, place in script.look_alikes}
    assert places == {"Carl": (1, 1), "ANNA": (3, 2), "Old Tom": (5, 1), "Eva": (11, 1)}
    assert parse_script(text, "plain").look_alikes == ()


@pytest.mark.parametrize(
    ("text", "file_name", "has_cast", "kind"),
    [
        ("Hello", None, False, "plain"),
        ("Hello", "a.txt", True, "dialogue"),
        ("Hello", "a.SSML", True, "ssml"),
        ("<speak>", None, True, "ssml"),
        ('\n<?xml version="1.0"?>\n<!-- a -->\n<speak version="1.1">', "a.txt", False, "ssml"),
        ("<!DOCTYPE speak [", None, False, "ssml"),  # and is refused
        ("<speaker>", None, False, "plain"),
        ("+++\n[cast]\n+++\n", None, False, "dialogue"),
        ("\n+++\n# a\ncast.Anna = 'x'\n+++\n", None, False, "dialogue"),
        ("+++\n[ cast.Anna ]\nvoice = 'x'\n+++\n", None, False, "dialogue"),
        ("+++\n[settings]\nseed = 1\n+++\nHello", None, False, "plain"),
        ("+++\n[pronunciations]\ncast = 'kahst'\n+++\nHello", None, False, "plain"),
        ("+++\nHello\n+++\n[cast]", None, False, "plain"),
    ],
)
def test_kind(text, file_name, has_cast, kind):
    assert script_kind(text, file_name, has_cast) == kind


def test_speakers_declared_elsewhere_replace_those_of_the_front_matter():
    given = {"Anna": Speaker("Anna", "other"), "Carl": Speaker("Carl", "third")}
    script = parse_script(CONTRACT + "Carl: Hi.", "dialogue", given)
    assert {name: speaker.voice for name, speaker in script.cast.items()} == {
        "Anna": "other",
        "Bob": "v2/en_speaker_6",
        "Carl": "third",
    }
    assert script.events[-1] == said("Hi.", "Carl")


# ---- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("a\nb [pauze:1s]", 2, 3, "write [pause:1s], or \\[pauze:1s]"),
        ("a [/voice]", 1, 3, "leave it out"),
        ("a\n[voice:Bob] b\n\nc", 2, 1, "put [/voice] where it ends"),
        ("[voice:Anna] [voice:x] a [/voice]", 1, 1, "put [/voice] where it ends"),
        ("+++\n[cast]\nAnna = 'x'\n[settings]\nsed = 1\n+++\n", 5, 1, "settings.sed"),
        ("\n+++\n[cast]\nAnna = = 'x'\n+++\n", 4, 8, "not TOML"),
        ("+++\n[cast]\nAnna = 'x'\n", 1, 1, "put a line of +++ below it"),
    ],
)
def test_a_mistake_is_shown_with_its_place(text, line, column, message):
    with pytest.raises(ScriptError, match=rf"^line {line}, column {column}: .*{re.escape(message)}"):
        events(text)
    assert issubclass(ScriptError, TextError)


def test_plain_text_has_no_cast():
    with pytest.raises(ScriptError, match=r"^line 1, column 1: plain text has no cast"):
        parse_script(CONTRACT, "plain")


@given(MARKUP | TEXTS, st.sampled_from(["plain", "dialogue", "ssml"]))
def test_any_text_is_read_or_refused_with_line_and_column(text, kind):
    try:
        script = parse_script(text, kind, CAST)
    except ScriptError as error:
        found = re.match(r"line (\d+), column (\d+): \S", str(error))
        lines = text.split("\n")
        assert found and 1 <= int(found[1]) <= len(lines) and 1 <= int(found[2]) <= len(lines[int(found[1]) - 1]) + 2
    else:
        for event in script.events:
            line = text.split("\n")[event.place.line - 1]
            assert 1 <= event.place.column <= len(line)
            if isinstance(event, Speech) and kind != "ssml":
                assert line[event.place.column - 1] in (event.text.strip()[0], "\\")


# ---- writing ---------------------------------------------------------------------------------------------------------


@given(MARKUP, KINDS)
@example("Anna: a [voice:Anna] b [/voice] c", "dialogue")
@example("[voice:Anna]a\nb\nAnna: c\nd\ne[/voice]", "dialogue")
@example("\\\n+++\n[Anna]", "plain")
@example("\\+++\n[cast]\n+++", "dialogue")
@example("\\<speak>\\[pause]", "plain")
def test_a_script_is_written_and_read_again(text, kind):
    try:
        script = parse_script(text, kind, CAST if kind == "dialogue" else {})
    except ScriptError:
        return
    assert_written_again(script)


@given(SSML)
def test_ssml_is_written_as_a_dialogue(content):
    assert_written_again(parse_script(f"<speak>{content}</speak>", "ssml", CAST))


@given(
    st.lists(
        st.builds(said, MARKUP.map(str.strip).filter(bool)) | st.builds(Chapter, st.just("A"), st.just(HERE)),
        max_size=3,
    )
)
def test_text_that_looks_like_markup_is_written_as_text(own):
    """As of a book, whose chapters are speeches of whatever text there is."""
    kept = [event for k, event in enumerate(own) if k % 2 == isinstance(event, Chapter)]
    text = format_script(Script(tuple(kept), CAST))
    again = parse_script(text, "dialogue")
    assert [type(event) for event in again.events if isinstance(event, Chapter | Pause | Sound)] == [
        Chapter for event in kept if isinstance(event, Chapter)
    ]
    assert not any(isinstance(event, Speech) and (event.speaker or event.voice) for event in again.events)
    words = "".join(event.text for event in again.events if isinstance(event, Speech))
    assert "".join(c for c in words if c.isalnum()) == "".join(
        c for event in kept if isinstance(event, Speech) for c in event.text if c.isalnum()
    )


def test_plain_text_is_written_as_it_is():
    text = "  A text.\n\n* * *\n\nAnna: It has no markup. [laughs]\n"
    assert format_script(parse_script(text, "plain")) == text


def test_what_has_no_markup_is_not_written():
    with pytest.raises(ValueError, match="without a speaker"):
        format_script(Script((said("a", seed=1),)))
    with pytest.raises(ValueError, match="more than one paragraph"):
        format_script(Script((said("a\n\nb", "Anna", seed=1),), CAST))


# ---- large texts -----------------------------------------------------------------------------------------------------


def lines_of_every_kind(n: int) -> str:
    return "".join(
        (
            f"Anna: Hello there, this is [laughs] line {k}. [pause:1s]\n",
            f"It was a dark and stormy night, number {k}; and the rain fell.\n",
            f"[Bob|seed:{k}] What? [voice:v2/x{k}] Nothing. [/voice]\n***\n",
            f"Carl {k}: \\[pause] [sound: a.wav]\n",
        )[k % 4]
        for k in range(n)
    )


def work_of(text: str) -> tuple[int, int]:
    """The number of function calls of parsing a text, and the most memory it took in bytes."""
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        parse_script(text, "dialogue", CAST)
    finally:
        sys.setprofile(None)
    tracemalloc.start()
    parse_script(text, "dialogue", CAST)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return calls, most


def test_work_and_memory_grow_with_the_number_of_lines():
    parse_script(lines_of_every_kind(8), "dialogue", CAST)  # fills caches
    calls, memory = work_of(lines_of_every_kind(1_000))
    text = lines_of_every_kind(4_000)
    more_calls, more_memory = work_of(text)
    assert more_calls < 4.1 * calls
    assert more_memory < min(5 * memory, 40 * len(text))


@pytest.mark.parametrize(
    "piece",
    [
        "a [pause] ",
        "[voice:x]a[/voice]",
        "[Anna] a ",
        "\\[pause]",
        "[pause].",
        "\\",
        "[",
        "[a|",
        "\n***\n[pause]",
        "Carl:",
        "\n",
    ],
)
def test_work_grows_with_the_length_of_one_line(piece):
    calls, _ = work_of(piece * 200)
    more_calls, _ = work_of(piece * 800)
    assert more_calls < 4.2 * calls + 100


@pytest.mark.parametrize(
    "text",
    [
        "<!--a-->" * 100_000,
        "<!-- -->     " * 100_000,
        "\n" * 500_000,
        "+++\n[settings]\n" + "\n" * 500_000 + "+++\n",
        "+++\n[settings]\n" + " " * 500_000 + "\n+++\n",
        "+++\n" + "#\n" * 100_000 + "[cast]\n+++\n",
        "+++\n" + "a" * 500_000,
        "\\" * 500_000 + "+++\n[cast]\n+++\n",
        "+++\n" + "".join(f"[cast.a{k}]\n" for k in range(20_000)) + "+++\n",
    ],
    ids=lambda text: text[:12],
)
def test_beginnings_that_would_take_some_regular_expressions_years(text):
    assert script_kind(text, None, has_cast=False) in ("plain", "dialogue")
    parse_script(text, "dialogue", CAST)


def test_a_hundred_thousand_lines():
    script = parse_script(lines_of_every_kind(100_000), "dialogue", CAST)
    assert len(script.events) == 7 * 25_000
    assert script.events[-1].place.line == 125_000
