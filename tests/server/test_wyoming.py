"""Home Assistant's protocol: what its own client asks and hears, what strangers send, and what is left of clients that go."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("wyoming", reason="wyoming is not installed")
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeVoice,
)

from bark_infinity.errors import TextError, VoiceError
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.server import wyoming
from bark_infinity.server.wyoming import WyomingServer

PATIENCE_S = 20.0  # after which a test that waits has failed


class Speech:
    """A speech of one segment for each sentence, each of as many samples as it has characters; its value tells which."""

    def __init__(self, fake: FakeSpeaker, text: str):
        self._fake, self._text, self._closed = fake, text, False

    def __iter__(self):
        for sentence in self._text.split(". "):
            self._fake.may_go_on.wait(PATIENCE_S)
            if self._closed:
                return
            yield SimpleNamespace(audio=np.full(len(sentence), 0.5, np.float32))

    def close(self) -> None:
        self._closed = True
        self._fake.may_go_on.set()
        self._fake.closed.append(self._text)


class FakeSpeaker:
    """Stands for `speak_live`: notes what is asked."""

    def __init__(self):
        self.asked: list[tuple[str, dict, str | None]] = []
        self.closed: list[str] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def __call__(self, services, text, options, voice):
        if not any(map(str.isalnum, text)):
            raise TextError("the text has no words")
        self.asked.append((text, dict(options), voice))
        return Speech(self, text)


class Shelf:
    """Three voices."""

    def listed(self):
        names = (("anna", "de"), ("bob", "en"), ("eve", ""))
        return [SimpleNamespace(name=name, language=language, path=None) for name, language in names]

    def resolve(self, name: str) -> str:
        if name not in ("anna", "bob", "eve"):
            raise VoiceError(f"there is no voice {name!r}")
        return f"/shelf/{name}.npz"


@pytest.fixture
def speaker(monkeypatch) -> FakeSpeaker:
    fake = FakeSpeaker()
    monkeypatch.setattr(wyoming, "speak_live", fake)
    return fake


def serve(talk: Callable[[AsyncTcpClient], Awaitable[None]], **options) -> None:
    """Have a client talk to a server."""

    async def meet() -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        services = SimpleNamespace(
            voices=Shelf(), bark=SimpleNamespace(name="demo"), defaults=resolve(Options(**options))
        )
        server = WyomingServer(services)
        await server.open(listening)
        try:
            async with AsyncTcpClient(*listening.getsockname(), read_timeout=PATIENCE_S) as client:
                await asyncio.wait_for(talk(client), PATIENCE_S)
        finally:
            await server.close()

    asyncio.run(meet())


async def say(client: AsyncTcpClient, *events) -> None:
    for event in events:
        await client.write_event(event if isinstance(event, Event) else event.event())


async def hear(client: AsyncTcpClient, last=AudioStop, sound: bytes = b"") -> tuple[list[str], bytes]:
    """The types of all events until the last one, without repeats, and their sound behind that which was heard before."""
    types: list[str] = []
    while (event := await client.read_event()) is not None:
        if AudioChunk.is_type(event.type):
            chunk = AudioChunk.from_event(event)
            assert (chunk.rate, chunk.width, chunk.channels) == (24_000, 2, 1)
            assert chunk.timestamp == round(len(sound) / 2 / 24)
            sound += chunk.audio
        if types[-1:] != [event.type]:
            types.append(event.type)
        if last.is_type(event.type):
            break
    return types, sound


def test_describe_tells_voices_and_their_languages():
    async def talk(client):
        await say(client, Describe(), Ping("x"))
        info = Info.from_event(await client.read_event())
        (program,) = info.tts
        assert program.supports_synthesize_streaming and program.installed and program.version
        assert {voice.name: voice.languages for voice in program.voices if voice.name != "eve"} == {
            "anna": ["de"],
            "bob": ["en"],
        }
        assert len(program.voices[2].languages) == 13  # of unknown language
        assert Pong.from_event(await client.read_event()).text == "x"

    serve(talk)


def test_a_text_is_heard_as_its_segments_are_finished(speaker):
    async def talk(client):
        await say(client, Synthesize("One. Two", SynthesizeVoice(name="bob")))
        types, sound = await hear(client)
        assert types == ["audio-start", "audio-chunk", "audio-stop"]
        assert np.frombuffer(sound, "<i2").tolist() == [16_384] * 6
        await say(client, Synthesize("<speak>Hi</speak>", text_format="ssml"))  # on the same connection
        await hear(client)

    serve(talk)
    assert speaker.asked == [("One. Two", {}, "/shelf/bob.npz"), ("<speak>Hi</speak>", {"script": "ssml"}, None)]


@pytest.mark.parametrize(
    ("voice", "options", "spoken"),
    [
        (SynthesizeVoice(language="de_DE"), {}, "/shelf/anna.npz"),
        (SynthesizeVoice(language="EN-us"), {}, "/shelf/bob.npz"),
        (SynthesizeVoice(language="fr"), {"history_prompt": "eve"}, None),
        (None, {"history_prompt": "eve"}, None),
    ],
)
def test_a_voice_is_chosen_by_its_language_or_by_the_defaults(speaker, voice, options, spoken):
    async def talk(client):
        await say(client, Synthesize("Hello", voice))
        await hear(client)

    serve(talk, **options)
    assert speaker.asked == [("Hello", {}, spoken)]


def test_whole_sentences_are_spoken_while_the_text_still_comes(speaker):
    async def talk(client):
        await say(client, SynthesizeStart(SynthesizeVoice(name="anna")), SynthesizeChunk("This is one. And this"))
        assert AudioStart.is_type((await client.read_event()).type)
        first = AudioChunk.from_event(await client.read_event())
        assert len(first.audio) == 2 * len("This is one.")
        await say(client, SynthesizeChunk(" is two."))
        await say(client, Synthesize("This is one. And this is two."), SynthesizeStop())  # as Home Assistant does
        types, sound = await hear(client, SynthesizeStopped, first.audio)
        assert types == ["audio-chunk", "audio-stop", "synthesize-stopped"]
        assert len(sound) / 2 == len("This is one.") + 6_000 + len(
            speaker.asked[1][0].replace(". ", "")
        )  # 0.25 s between them
        assert sound.count(b"\0\0" * 6_000) == 1

    serve(talk)
    assert [text.strip() for text, _, _ in speaker.asked] == ["This is one.", "And this is two."]
    assert {voice for _, _, voice in speaker.asked} == {"/shelf/anna.npz"}


@pytest.mark.parametrize("text", [" ", "\N{THUMBS UP SIGN}"])
def test_a_stream_without_words_is_silent(speaker, text):
    async def talk(client):
        await say(client, SynthesizeStart(), SynthesizeChunk(text), SynthesizeStop())
        assert (await hear(client, SynthesizeStopped))[0] == ["audio-start", "audio-stop", "synthesize-stopped"]

    serve(talk)
    assert not speaker.asked


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (Synthesize("Hi", SynthesizeVoice(name="carl")), "no voice 'carl'"),
        (Synthesize("..."), "no words"),
        (Event("synthesize", {}), "not as the protocol"),
        (Event("synthesize", {"text": 3}), "something else"),
        (Event("synthesize", {"text": "Hi", "voice": 3}), "not as the protocol"),
        (Event("synthesize", {"text": "Hi", "voice": {"name": []}}), "something else"),
    ],
)
def test_what_cannot_be_spoken_is_told_and_ends_the_connection(speaker, event, says):
    async def talk(client):
        await say(client, event)
        while not Error.is_type((heard := await client.read_event()).type):
            pass
        assert says in Error.from_event(heard).text
        assert await client.read_event() is None

    serve(talk)


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.1\r\n",
        b"\xff\xfe\n",
        b"[1]\n",
        b'{"type": 3}\n',
        b'{"type": "describe", "data": 3, "data_length": 2}\n{}',
        b'{"type": "describe", "data_length": "3"}\n',
        json.dumps({"type": "synthesize", "data_length": 10**12}).encode() + b"\n",
        json.dumps({"type": "synthesize", "payload_length": 10**12}).encode() + b"\n",
        b"[" * 60_000 + b"\n",
        b"x" * 200_000,
    ],
)
def test_strangers_are_left(speaker, line):
    async def talk(client):
        client._writer.write(line)
        with contextlib.suppress(ConnectionResetError):  # where it has not read all
            assert await client._reader.read() == b""

    serve(talk)
    assert not speaker.asked


def test_a_client_that_goes_takes_its_speech_with_it(speaker):
    speaker.may_go_on.clear()

    async def talk(client):
        for _ in range(20):
            async with AsyncTcpClient(client.host, client.port) as other:
                await say(other, Synthesize("One. Two"))
                await other.read_event()
        while len(speaker.closed) < len(speaker.asked) or len(asyncio.all_tasks()) > 6:
            await asyncio.sleep(0.01)
        await say(client, Synthesize("Still here"))
        assert (await hear(client))[0][-1] == "audio-stop"

    n_threads = threading.active_count()
    serve(talk)
    assert threading.active_count() <= n_threads + 1
