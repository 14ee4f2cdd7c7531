"""SSML: the same events as of a dialogue, places of mistakes, and documents that are meant to do harm."""

from __future__ import annotations

import re

import pytest

from bark_infinity.errors import ScriptError
from bark_infinity.text.events import Event, Pause, Place, Speech
from bark_infinity.text.ssml import MAX_DEPTH, MAX_LENGTH, STRENGTHS, looks_like_ssml, read_ssml

HERE = Place(1, 1)


def events(content: str) -> list[Event]:
    return list(read_ssml(f"<speak>{content}</speak>", ("Anna", "Bob")).events)


def said(text: str, speaker: str | None = None, voice: str | None = None) -> Speech:
    return Speech(text, HERE, speaker, voice)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", []),
        (" Hello\n  there. ", [said("Hello there.")]),
        ("<p>One.</p><p>Two.</p>\n Three.", [said("One.\n\nTwo.\n\nThree.")]),
        ("<p><s>One</s> <s>Two</s></p>x", [said("One\nTwo\n\nx")]),
        ("R&amp;D &lt;x&gt; &quot;&apos; &#233;&#x4e00;", [said("R&D <x> \"' é一")]),
        ("<![CDATA[a <b>]]><!-- no --> c<?pi d?>", [said("a <b> c")]),
        ("a<break/>b", [said("a"), Pause(STRENGTHS["medium"], HERE), said("b")]),
        ("a<break time='800ms'/><break time=' +1.5s '/>b", [said("a"), Pause(0.8, HERE), Pause(1.5, HERE), said("b")]),
        ("<break time='2s' strength='none'/>", [Pause(2, HERE)]),
        ("a <break strength='none'/>b", [said("a b")]),
        ("a <voice name='Anna'>b <voice name='v2/x'>c</voice> d</voice> e", [said("a"), said("b", "Anna"), said("c", None, "v2/x"), said("d", "Anna"), said("e")]),
        ("<voice gender='female'>a</voice>", [said("a")]),
        ("<sub alias=' World  Wide Web '>WWW</sub>s", [said("World Wide Web s")]),
        ("the <sub alias='w'>W<break/><p>W</p></sub>.", [said("the w.")]),
        ("<sub>a</sub>", [said("a")]),
        ("<metadata>x <p>y</p></metadata>a<audio src='b.wav'><desc>d</desc>e</audio>", [said("ae")]),
        ("<mstts:express-as style='sad'>a</mstts:express-as>", [said("a")]),
        ("<say-as interpret-as='date'>1/2</say-as> <emphasis>b</emphasis>", [said("1/2 b")]),
        ("[laughs] [pause] Anna: x", [said("[laughs] [pause] Anna: x")]),
        ("\"A,\" <voice name='Bob'>he said</voice>.", [said('"A,"'), said("he said.", "Bob")]),
    ],
)  # fmt: skip
def test_elements(content, expected):
    assert events(content) == expected


def test_elements_without_effect_are_listed_once():
    content = read_ssml("<speak>a<prosody>b</prosody>\n<x:y/><prosody/> <voice>c</voice><p/><break/></speak>", ())
    assert content.ignored == (("prosody", Place(1, 9)), ("y", Place(2, 1)), ("voice", Place(2, 18)))


def test_places_count_characters_and_lines():
    text = '\n\n<?xml version="1.0" encoding="utf-16"?>\n<speak>é一😀 <break/>\n\t<p>  x &amp;\ny</p></speak>'
    places = [event.place for event in read_ssml(text, ()).events]
    assert places == [Place(4, 8), Place(4, 12), Place(5, 7)]


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("<speak>\n<p>a</speak>", 2, 7, "mismatched tag"),
        ("<speak>a", 1, 9, "no element found"),
        ("<speak/>\nb", 2, 1, "junk after document element"),
        ("Hello", 1, 1, "syntax error"),
        ("", 1, 1, "no element found"),
        ("<speak>a & b</speak>", 1, 11, "not well-formed (invalid token)"),
        ("<speak>a\n &nbsp;</speak>", 2, 2, "undefined entity"),
        ("<html><speak/></html>", 1, 1, "SSML begins with <speak>, not <html>"),
        ("<speak><break time='5'/></speak>", 1, 8, "<break> takes no time '5'; write 1.5s or 800ms, say"),
        ("<speak><break time='2h'/></speak>", 1, 8, "takes no time"),
        ("<speak><break time='3601s'/></speak>", 1, 8, "longer than 3600 s"),
        ("<speak><break strength='huge'/></speak>", 1, 8, "has no strength 'huge'; there are none, x-weak"),
        ("<speak><voice name='Ana'>a</voice></speak>", 1, 8, "there is no Ana in the cast; write Anna"),
        ("<speak><voice name='a]b'>a</voice></speak>", 1, 8, "'a]b' is no name of a voice"),
        (f"<speak><voice name='{'a' * 1000}'>a</voice></speak>", 1, 8, "is no name of a voice"),
        ("<speak>\ud800</speak>", 1, 8, "half of a character"),
    ],
)
def test_mistakes_have_places(text, line, column, message):
    with pytest.raises(ScriptError) as error:
        read_ssml(text, ("Anna",))
    assert str(error.value).startswith(f"line {line}, column {column}: ") and message in str(error.value), error.value


BOMB = "".join(f'<!ENTITY a{k} "{f"&a{k - 1};" * 10}">' for k in range(1, 10))


@pytest.mark.parametrize(
    "document_type",
    [
        f'<!DOCTYPE speak [<!ENTITY a0 "ha">{BOMB}]>',
        '<!DOCTYPE speak [<!ENTITY a9 SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE speak SYSTEM "http://localhost/a.dtd">',
        '<!DOCTYPE speak [<!ENTITY % a SYSTEM "file:///etc/passwd"> %a;]>',
        "<!DOCTYPE speak>",
    ],
)
def test_document_types_are_refused(document_type):
    text = f'<?xml version="1.0"?>\n{document_type}<speak>&a9;</speak>'
    assert looks_like_ssml(text)
    with pytest.raises(ScriptError, match=r"^line 2, column 1: SSML may have no document type"):
        read_ssml(text, ())


def test_deep_and_large_documents_are_refused():
    assert events("<p>" * (MAX_DEPTH - 1) + "a" + "</p>" * (MAX_DEPTH - 1)) == [said("a")]
    with pytest.raises(
        ScriptError, match=rf"^line 1, column {8 + 3 * (MAX_DEPTH - 1)}: more than {MAX_DEPTH} elements"
    ):
        events("<p>" * 1_000_000)
    with pytest.raises(ScriptError, match="^line 1, column 1: the SSML has more than 10,000,000 characters"):
        read_ssml(" " * (MAX_LENGTH + 1), ())


def test_messages_do_not_repeat_long_names():
    for text in (
        f"<{'a' * 10**6}/>",
        f"<speak><break time='{'1' * 10**6}h'/></speak>",
        f"<speak><break strength='{'a' * 10**6}'/></speak>",
    ):
        with pytest.raises(ScriptError) as error:
            read_ssml(text, ())
        assert len(str(error.value)) < 300 and re.match(r"line 1, column \d: ", str(error.value))
