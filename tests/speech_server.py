"""The speech API on a loopback port, with speeches of tones in place of a model."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import uvicorn
from fastapi import FastAPI

from bark_infinity import Bark
from bark_infinity import constants as c
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.server.openai_errors import answer_errors
from bark_infinity.server.security import Guard
from bark_infinity.server.services import ServerSettings, Services
from bark_infinity.server.shared_engine import SharedEngine
from bark_infinity.server.speech import speech_routes
from bark_infinity.server.uploads import Uploads
from bark_infinity.server.voice_shelf import VoiceShelf
from bark_infinity.text.events import Script
from bark_infinity.voices.compatibility import DEMO_SEMANTIC_VOCAB_SIZE
from bark_infinity.voices.library import voice_folders

SEGMENT = 12_000  # samples


def tone_of(text: str) -> int:
    """The frequency, in Hz, of the tone that stands for a text."""
    return 200 + 20 * (int.from_bytes(hashlib.sha256(text.encode()).digest()[:2], "big") % 150)


def pitch_of(samples: np.ndarray, rate: int) -> float:
    """The frequency of the loudest part, in Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 8 * rate))
    return float(spectrum.argmax()) / 8


@dataclass
class Tones:
    """A speech of one tone: a segment for each sentence, or `more` at each one."""

    text: str | Script
    options: Mapping[str, object]
    voice: str | None
    before: Callable[[int, Tones], None] = lambda k, speech: None
    """Called with the number of a segment before it is finished; what it raises ends the speech."""
    n_samples: int = 0
    closed: threading.Event = field(default_factory=threading.Event)

    @property
    def words(self) -> str:
        return self.text if isinstance(self.text, str) else self.text.events[0].text

    @property
    def n_ids(self) -> int:
        return len(self.words.split())

    def __iter__(self) -> Iterator[SimpleNamespace]:
        wave = 0.5 * np.sin(2 * np.pi * tone_of(self.words) * np.arange(SEGMENT) / c.SAMPLE_RATE).astype(np.float32)
        for k in range(self.words.count(".")):
            self.before(k, self)
            if self.closed.is_set():
                return
            self.n_samples += len(wave)
            yield SimpleNamespace(audio=wave)

    def close(self) -> None:
        self.closed.set()


class SpeechServer:
    """Serves as long as it is entered. `speeches`: all that were begun. `before`: as of Tones, for those that come."""

    def __init__(self, folder: Path, engine: SharedEngine | None = None, bark: Bark | None = None, **settings: object):
        """`folder`: of the output. `engine`, `bark`: what speaks in place of tones."""
        self.speeches: list[Tones] = []
        self.before: Callable[[int, Tones], None] = lambda k, speech: None
        uploads = Uploads(folder, 1_000_000, 10_000_000)
        n_ids = DEMO_SEMANTIC_VOCAB_SIZE if bark is None else bark.spec.semantic_vocab_size
        shelf = VoiceShelf(voice_folders(folder, folder / "voices"), folder / "voices", uploads, n_ids)
        services = Services(
            SimpleNamespace(),
            engine or SimpleNamespace(),
            bark or SimpleNamespace(name="demo"),
            resolve(Options(output_dir=str(folder), voice_dir=str(folder / "voices"))),
            shelf,
            uploads,
            ServerSettings(**settings),
        )
        app = FastAPI()
        answer_errors(app)
        app.add_middleware(Guard, settings=services.settings)
        app.include_router(speech_routes(services, self._speak if bark is None else None))
        config = uvicorn.Config(app, port=0, log_level="critical", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    @property
    def url(self) -> str:
        port = self._server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    def _speak(self, services: Services, text: str | Script, options: Mapping[str, object], voice: str | None) -> Tones:
        speech = Tones(text, options, voice, lambda k, own: self.before(k, own))
        self.speeches.append(speech)
        self.before(-1, speech)
        return speech

    def __enter__(self) -> SpeechServer:
        self._thread.start()
        while not self._server.started:
            self._thread.join(0.005)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = self._server.force_exit = True
        for speech in self.speeches:
            speech.close()
        with contextlib.suppress(RuntimeError):
            self._thread.join(10)
