"""Home Assistant's protocol: a server on a port of its own that tells its voices and speaks texts, also while they arrive.

Events are lines of JSON, some with further data and a payload (github.com/OHF-Voice/wyoming). A text is spoken as it is for
OpenAI's API, and its sound sent as each segment is finished. Between `synthesize-start` and `synthesize-stop` the text comes
in chunks: whole sentences are spoken at once, while the rest is still being written.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from functools import partial

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event, Eventable, async_read_event, async_write_event
from wyoming.info import Attribution, Describe, Info, TtsProgram, TtsVoice
from wyoming.ping import Ping, Pong
from wyoming.tts import Synthesize, SynthesizeChunk, SynthesizeStart, SynthesizeStop, SynthesizeStopped, SynthesizeVoice

from .. import __version__
from .. import constants as c
from ..errors import BarkError, UsageError, VoiceError
from ..text.sentences import sentence_ends
from .background import in_thread
from .live import speak_live
from .openai_errors import ApiError
from .services import Services
from .speech_answer import SpeechStream
from .voice_shelf import DEFAULT_VOICE

_MOST_CONNECTIONS = 200
_MOST_BYTES = 1_000_000  # of the data of an event, and of its payload
_MOST_TEXTS = 100  # of a client that wait to be spoken
_MOST_WAITING_CHARACTERS = 1_000_000  # that have come and are not spoken yet
_LONGEST_SENTENCE = 2_000  # characters; what has no end by then is spoken as it is
_IDLE_S = 600.0  # after which a client that says nothing, and to whom nothing is said, is left
_FORMAT = {"rate": c.SAMPLE_RATE, "width": 2, "channels": 1}  # width: bytes of a sample
_CHUNK_BYTES = 9_600  # 0.2 s
_SILENCE_AT_JOINTS = bytes(12_000)  # 0.25 s, between what is spoken while the text still comes
_REQUESTS = (Describe, Ping, Synthesize, SynthesizeStart, SynthesizeChunk, SynthesizeStop)
_SUNO = Attribution("Suno", "https://github.com/suno-ai/bark")
_log = logging.getLogger(__name__)


class WyomingServer:
    """Serves clients at a listening socket, from `open` to `close`."""

    def __init__(self, services: Services):
        self._services = services
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def open(self, listening: socket.socket) -> None:
        """Begin to serve."""
        self._server = await asyncio.start_server(self._connected, sock=listening)

    async def close(self) -> None:
        """Leave all clients; what is being spoken for them ends within a step of the model."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= _MOST_CONNECTIONS:
            writer.close()
            return
        self._connections.add(task)
        try:
            await _Connection(self._services, reader, writer).serve()
        except (ConnectionError, asyncio.CancelledError):
            pass  # the client is gone, or the server is closed
        finally:
            self._connections.discard(task)
            writer.close()


@dataclass
class _Text:
    """A text that is to be spoken, as it comes. `is_stream`: whether its end was told apart from its sound's."""

    voice: SynthesizeVoice | None
    is_ssml: bool
    is_stream: bool
    waiting: str = ""  # characters that are not spoken yet
    is_whole: bool = False
    grown: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, characters: str) -> None:
        """Further characters. Raises UsageError if too many wait."""
        if len(self.waiting) + len(characters) > _MOST_WAITING_CHARACTERS:
            raise UsageError(f"more than {_MOST_WAITING_CHARACTERS} characters wait to be spoken; send fewer at once")
        self.waiting += characters
        self.grown.set()

    def end(self) -> None:
        """There are no further characters."""
        self.is_whole = True
        self.grown.set()

    async def pieces(self) -> AsyncGenerator[str, None]:
        """What can be spoken, as soon as it can: the sentences that are whole by then, and in the end the rest."""
        while not self.is_whole or self.waiting.strip():
            self.grown.clear()
            end = self._speakable()
            piece, self.waiting = self.waiting[:end], self.waiting[end:]
            if piece.strip():
                yield piece
            elif not self.is_whole:
                await self.grown.wait()

    def _speakable(self) -> int:
        """The number of characters that can be spoken now."""
        if self.is_whole:
            return len(self.waiting)
        if self.is_ssml:
            return 0  # it is markup only as a whole
        ends = sentence_ends(self.waiting)
        if not ends and len(self.waiting) > _LONGEST_SENTENCE:
            return len(self.waiting)
        return ends[-1] if ends else 0


class _Connection:
    """One client, whose texts are spoken one after the other."""

    def __init__(self, services: Services, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self._services, self._reader, self._writer = services, _Bounded(reader), writer
        self._texts: asyncio.Queue[_Text] = asyncio.Queue()
        self._stream: _Text | None = None  # whose characters are coming
        self._speaking = False

    async def serve(self) -> None:
        """Answer until the client leaves. What is being spoken for it then ends."""
        reading = asyncio.create_task(self._read())
        speaking = asyncio.create_task(self._speak())
        try:
            await asyncio.wait((reading, speaking), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (reading, speaking):
                task.cancel()
            done = await asyncio.gather(reading, speaking, return_exceptions=True)
        for error in done:
            if isinstance(error, Exception) and not isinstance(error, ConnectionError | asyncio.TimeoutError):
                await self._report(error)

    async def _report(self, error: Exception) -> None:
        """Tell the client what went wrong; it is left afterwards, as it may wait for a sound that does not come."""
        text = error.message if isinstance(error, ApiError) else str(error)
        if not isinstance(error, BarkError | ApiError):
            _log.error("a client of Wyoming", exc_info=error)
            text = "the server has failed; its log says how"
        with contextlib.suppress(ConnectionError):
            await self._write(Error(text, type(error).__name__).event())

    async def _write(self, event: Event) -> None:
        await async_write_event(event, self._writer)

    # ---- what the client says ----

    async def _read(self) -> None:
        while (event := await self._next_event()) is not None:
            asked = read_request(event)
            if isinstance(asked, Describe):
                await self._write((await in_thread(partial(describe, self._services))).event())
            elif isinstance(asked, Ping):
                await self._write(Pong(asked.text).event())
            elif isinstance(asked, SynthesizeStart):
                self._stream = _Text(asked.voice, asked.text_format == "ssml", is_stream=True)
                self._queue(self._stream)
            elif isinstance(asked, SynthesizeChunk) and self._stream is not None:
                self._stream.add(asked.text)
            elif isinstance(asked, SynthesizeStop) and self._stream is not None:
                self._stream.end()
                self._stream = None
            elif isinstance(asked, Synthesize) and self._stream is None:  # else it repeats a stream, for older servers
                text = _Text(asked.voice, asked.text_format == "ssml", is_stream=False)
                text.add(asked.text)
                text.end()
                self._queue(text)

    def _queue(self, text: _Text) -> None:
        if self._texts.qsize() >= _MOST_TEXTS:
            raise UsageError(f"more than {_MOST_TEXTS} texts wait to be spoken; wait for their sound")
        self._texts.put_nowait(text)

    async def _next_event(self) -> Event | None:
        """The next event of the client; None if it is gone, silent for long, or sends something else."""
        reading = asyncio.ensure_future(self._read_event())
        try:
            while not (await asyncio.wait((reading,), timeout=_IDLE_S))[0]:
                if not self._speaking:
                    return None
            return reading.result()
        finally:
            reading.cancel()

    async def _read_event(self) -> Event | None:
        try:
            event = await async_read_event(self._reader)  # type: ignore[arg-type]  # it reads lines and bytes
        except (LookupError, TypeError, AttributeError, RecursionError, asyncio.IncompleteReadError):
            return None  # it is no event
        return event if event is not None and isinstance(event.type, str) and isinstance(event.data, dict) else None

    # ---- what it hears ----

    async def _speak(self) -> None:
        while True:
            text = await self._texts.get()
            self._speaking = True
            await self._speak_text(text)
            self._speaking = False

    async def _speak_text(self, text: _Text) -> None:
        voice = await in_thread(partial(choose_voice, self._services, text.voice))
        options: Mapping[str, object] = {"script": "ssml"} if text.is_ssml else {}
        n_samples = 0
        await self._write(AudioStart(**_FORMAT).event())
        async with contextlib.aclosing(text.pieces()) as pieces:
            async for piece in pieces:
                if n_samples:
                    n_samples += await self._send(_SILENCE_AT_JOINTS, n_samples)
                start = partial(speak_live, self._services, piece, options, voice)
                try:
                    n_samples += await self._send_speech(SpeechStream(start, "pcm", speed=1.0), n_samples)
                except ApiError as error:
                    if not text.is_stream or error.param != "input":
                        raise  # else it is a piece without words, such as an emoji behind the last sentence
        await self._write(AudioStop(timestamp=_milliseconds(n_samples)).event())
        if text.is_stream:
            await self._write(SynthesizeStopped().event())

    async def _send_speech(self, stream: SpeechStream, before: int) -> int:
        """Send a speech, `before` samples behind the start. Returns the number of its samples. Raises BarkError, ApiError."""
        n_samples = 0
        with contextlib.closing(stream):
            while (sound := await in_thread(stream.next)) is not None:
                n_samples += await self._send(sound, before + n_samples)
        return n_samples

    async def _send(self, sound: bytes, before: int) -> int:
        """Send sound, `before` samples behind the start. Returns the number of its samples."""
        for start in range(0, len(sound), _CHUNK_BYTES):
            at = before + start // _FORMAT["width"]
            chunk = AudioChunk(**_FORMAT, audio=sound[start : start + _CHUNK_BYTES], timestamp=_milliseconds(at))
            await self._write(chunk.event())
        return len(sound) // _FORMAT["width"]


class _Bounded:
    """A reader that refuses more than `_MOST_BYTES` at once: a stranger may announce any number."""

    def __init__(self, reader: asyncio.StreamReader):
        self._reader = reader

    async def readline(self) -> bytes:
        """As of a StreamReader, which has a bound of its own for lines."""
        return await self._reader.readline()

    async def readexactly(self, n: int) -> bytes:
        """As of a StreamReader. Raises ValueError for too many bytes, which ends the connection."""
        if not isinstance(n, int) or n > _MOST_BYTES:
            raise ValueError
        return await self._reader.readexactly(n)


def read_request(event: Event) -> Eventable | None:
    """What an event asks for; None for one of those that do not concern us. Raises UsageError for one that is malformed."""
    kind = next((kind for kind in _REQUESTS if kind.is_type(event.type)), None)
    if kind is None:
        return None
    try:
        request: Eventable = kind.from_event(event)
    except (LookupError, TypeError, AttributeError, ValueError):
        raise UsageError(f"the event {event.type} is not as the protocol has it") from None
    voice = getattr(request, "voice", None)
    texts = [getattr(request, "text", None), *((voice.name, voice.language) if voice is not None else ())]
    if not all(text is None or isinstance(text, str) for text in texts):
        raise UsageError(f"the event {event.type} has something else where the protocol has a text")
    return request


def choose_voice(services: Services, asked: SynthesizeVoice | None) -> str | None:
    """The voice that a client means, as --history_prompt takes it; None: that of the server's defaults. Raises VoiceError.

    A language alone means the first voice that speaks it.
    """
    if asked is not None and asked.name:
        return services.voices.resolve(asked.name)
    if asked is not None and asked.language:
        wanted = asked.language.replace("_", "-").split("-")[0].lower()
        for voice in services.voices.listed():
            if voice.language == wanted:
                return services.voices.resolve(voice.name)
    if services.defaults.history_prompt is not None:
        return None
    with contextlib.suppress(VoiceError):  # a model of the user's own may have no such voice
        return services.voices.resolve(DEFAULT_VOICE)
    return None


def describe(services: Services) -> Info:
    """What is answered to `describe`: one program, with all voices and the languages that each speaks."""
    voices = [
        TtsVoice(
            name=voice.name,
            attribution=_SUNO,
            installed=voice.path is not None,
            description=voice.name,
            version=None,
            languages=[voice.language] if voice.language else list(c.LANGUAGES),
        )
        for voice in services.voices.listed()
    ]
    program = TtsProgram(
        name="bark-infinity",
        attribution=_SUNO,
        installed=True,
        description=f"Bark Infinity, model {services.bark.name}",
        version=__version__,
        voices=voices,
        supports_synthesize_streaming=True,
    )
    return Info(tts=[program])


def _milliseconds(n_samples: int) -> int:
    return round(n_samples * 1000 / c.SAMPLE_RATE)
