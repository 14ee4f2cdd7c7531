"""The answer to a request for speech: it begins with the first finished segment, and ends when the client goes."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping

import anyio
import anyio.to_thread
import numpy as np
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .. import constants as c
from ..audio.tempo import Tempo
from ..errors import BarkError, QueueFullError, TextError, VoiceError
from .live import LiveSpeech
from .openai_errors import ApiError, api_error, error_response
from .speech_formats import SpeechEncoder, SpeechFormat

_log = logging.getLogger(__name__)
_THREADS = 64  # that wait for segments at the same time; requests beyond them wait without one
_RETRY_AFTER_S = 5
_BYTES_PER_EVENT = 24_576  # of sound in a server-sent event; some clients read no longer lines than 64 kB


class SpeechQueue:
    """The requests for speech that are being answered: so many at most, and fewer threads."""

    def __init__(self, most: int):
        self._most, self._n = most, 0
        self.threads = anyio.CapacityLimiter(min(most, _THREADS))

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """A place for one request. Raises QueueFullError."""
        if self._n >= self._most:
            raise QueueFullError(f"{self._n} requests for speech are being answered; try again later", _RETRY_AFTER_S)
        self._n += 1
        try:
            yield
        finally:
            self._n -= 1


class SpeechStream:
    """The bytes of a speech, each part as soon as a segment is finished."""

    def __init__(self, start: Callable[[], LiveSpeech], format: SpeechFormat, speed: float):
        """`start`: plans the speech, and raises BarkError; it is called with the first part."""
        self._start, self._tempo, self._encoder = start, Tempo(speed, c.SAMPLE_RATE), SpeechEncoder(format)
        self._lock = threading.Lock()
        self._speech: LiveSpeech | None = None
        self._blocks: Iterator[np.ndarray] | None = None
        self._closed = self._ended = False

    def next(self) -> bytes | None:
        """The next part, which takes as long as its segment; None at the end. Raises BarkError, ApiError."""
        if self._blocks is None:
            self._blocks = self._begin()
        for block in self._blocks:
            if part := self._encoder.write(self._tempo.write(block)):
                return part
        if self._ended:
            return None
        self._ended = True
        return (self._encoder.write(self._tempo.close()) + self._encoder.close()) or None

    def usage(self) -> dict[str, int]:
        """What the speech has taken so far: ids of its text, and frames of its sound, 75 a second."""
        assert self._speech is not None
        n_input, n_output = self._speech.n_ids, self._speech.n_samples * c.FRAME_RATE_HZ // c.SAMPLE_RATE
        return {"input_tokens": n_input, "output_tokens": n_output, "total_tokens": n_input + n_output}

    def close(self) -> None:
        """Stop the speech; from any thread, also while `next` is at work, which ends within a step of the model."""
        with self._lock:
            self._closed, speech = True, self._speech
        if speech is not None:
            speech.close()

    def _begin(self) -> Iterator[np.ndarray]:
        try:
            speech = self._start()
        except (TextError, VoiceError) as error:
            raise api_error(error, "input" if isinstance(error, TextError) else "voice") from None
        with self._lock:
            self._speech, closed = speech, self._closed
        if closed:
            speech.close()
        return (segment.audio for segment in speech)


class SpeechResponse(Response):
    """Answers with the stream's bytes, or with server-sent events.

    An error before the first byte is raised, for the app to answer it; a later one ends the answer before its end, and is
    told by an event where there are events. When the client goes, the stream is closed.
    """

    def __init__(
        self, stream: SpeechStream, media_type: str, events: bool, queue: SpeechQueue, headers: Mapping[str, str]
    ):
        """`media_type`: of the stream's bytes. `events`: whether they are sent in events."""
        self._stream, self._events, self._queue = stream, events, queue
        media_type = "text/event-stream" if events else media_type
        super().__init__(
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no", **headers}, media_type=media_type
        )
        del self.headers["content-length"]  # it is not known before the end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        failure: Exception | None = None
        with self._queue.place():
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_cancel_when_gone, receive, tasks.cancel_scope)
                    failure = await self._answer(send)
                    tasks.cancel_scope.cancel()
            finally:
                self._stream.close()
        if failure is not None:
            raise failure

    async def _answer(self, send: Send) -> Exception | None:
        """Send all there is. Returns the error of an answer that has not begun."""
        try:
            part = await self._next()
        except Exception as error:
            return error
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            while part is not None:
                await _send(send, _deltas(part) if self._events else part)
                part = await self._next()
        except Exception as error:
            _log.error("a speech ended before its end: %s", error, exc_info=not isinstance(error, BarkError))
            if self._events:
                await _send(send, _failed(error), last=True)
            return None  # without a last part: the server breaks the connection, and the client knows
        done = _event({"type": "speech.audio.done", "usage": self._stream.usage()}) if self._events else b""
        await _send(send, done, last=True)
        return None

    async def _next(self) -> bytes | None:
        return await anyio.to_thread.run_sync(self._stream.next, abandon_on_cancel=True, limiter=self._queue.threads)


async def _cancel_when_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _send(send: Send, body: bytes, last: bool = False) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": not last})


def _event(content: Mapping[str, object]) -> bytes:
    return f"data: {json.dumps(content)}\n\n".encode()


def _deltas(part: bytes) -> bytes:
    """Events with the sound, none of them too long."""
    pieces = (part[start : start + _BYTES_PER_EVENT] for start in range(0, len(part), _BYTES_PER_EVENT))
    return b"".join(
        _event({"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()}) for piece in pieces
    )


def _failed(error: Exception) -> bytes:
    """The event of an error, with the body of the answer that it would have been before the first byte."""
    known = (
        api_error(error) if isinstance(error, BarkError) else ApiError(500, "the server has failed; its log says how")
    )
    return _event({"type": "error", **json.loads(bytes(error_response(known).body))})
