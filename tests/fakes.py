"""Engines without a model, and helpers that collect a scheduler's results."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bark_infinity import constants as c
from bark_infinity.audio.writing import Span
from bark_infinity.bark import Bark, Generation, Segment, Settings, StageProgress
from bark_infinity.errors import TextError
from bark_infinity.model.spec import BarkSpec
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.run.clips import Clip, FailedClip, FinishedSegment
from bark_infinity.run.engine import Engine
from bark_infinity.run.planning import ClipPlan, plan_clips
from bark_infinity.run.recipe import Recipe
from bark_infinity.run.recognition import HeardWord, Recognizer
from bark_infinity.run.recognizer_pocketsphinx import Pocketsphinx
from bark_infinity.run.recognizer_whisper import Whisper
from bark_infinity.run.scheduler import Scheduler
from bark_infinity.voices.history import History
from bark_infinity.voices.voice import Voice

EngineStream = Generator[tuple[int, Generation], None, None]
_numbers = itertools.count()


class Recorder:
    """An engine without a model: each segment's tokens are its number, and the segments and histories it gets are recorded."""

    name, identity = "a recorder", "a recorder"
    spec = BarkSpec()

    def __init__(self, silent: frozenset[str] = frozenset(), backwards: bool = False):
        self.batches: list[list[str]] = []
        self.rows: list[int | None] = []
        self.histories: dict[str, History] = {}
        self.silent, self.backwards = silent, backwards  # backwards: the last segment of a batch comes first
        self.spoken: list[str] = []

    def encode(self, text: str) -> list[int]:
        if "unreadable" in text:
            raise TextError(f"the text {text!r} has nothing to say; give it words")
        return [1]

    def describe_stages(self) -> dict[str, dict[str, str]]:
        return {}

    def decode(self, codes: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [np.zeros(own.shape[1] * 320, np.float32) for own in codes]

    def check_history(self, history: History) -> None:
        """Every history is fine."""

    def rows_at_once(self, settings: Settings) -> int:
        return 16

    def stream(
        self, segments: Sequence[Segment], settings: Settings, progress: StageProgress, rows: int | None
    ) -> EngineStream:
        self.batches.append([text_of(segment) for segment in segments])
        self.rows.append(rows)
        self.histories |= {text_of(segment): segment.history for segment in segments}
        progress("semantic", 1, 2)
        places = range(len(segments))
        for done, place in enumerate(reversed(places) if self.backwards else places):
            progress("fine", done + 1, len(segments))
            self.spoken.append(text_of(segments[place]))
            yield place, self.say(text_of(segments[place]))

    def say(self, text: str) -> Generation:
        n, m = (0, 0) if text in self.silent else (200, 300)
        number = int(text.removeprefix("s"))
        voice = Voice(np.full(n, number), np.full((2, m), number), np.full((8, m), number))
        return Generation(voice, np.full(m * 320, number / 100, np.float32), 0, {"semantic": 0.1})


class Hashing(Recorder):
    """An engine whose tokens are a hash of everything they may depend on: text, seeds, settings and history.

    Equal inputs give equal tokens, without delay; any difference gives other tokens.
    """

    identity = "a hash"

    def stream(
        self, segments: Sequence[Segment], settings: Settings, progress: StageProgress, rows: int | None
    ) -> EngineStream:
        for place, segment in enumerate(segments):
            progress("fine", place, len(segments))
            yield place, self._speak(segment, settings if segment.settings is None else segment.settings)

    def _speak(self, segment: Segment, settings: Settings) -> Generation:
        history, seconds = segment.history, settings.semantic.max_gen_duration_s or 1.0
        digest = hashlib.sha256(repr((segment.text, segment.seeds, settings)).encode())
        for tokens in (history.semantic, history.coarse_semantic, history.coarse, history.fine):
            digest.update(np.ascontiguousarray(tokens, "<i8").tobytes())
        random = np.random.default_rng(int.from_bytes(digest.digest()[:8], "big"))
        n = max(4, round(seconds * 49.9))
        fine = random.integers(0, 1024, (8, int(n * 75 / 49.9)))
        (audio,) = self.decode([fine])
        taken = dict.fromkeys(("semantic", "coarse", "fine", "codec"), 0.01)
        return Generation(Voice(random.integers(0, 10_000, n), fine[:2], fine), audio, 0, taken)

    def decode(self, codes: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [np.repeat((own[0] / 1024 - 0.5).astype(np.float32), 320) for own in codes]


def plan(texts: list[str], **options: Any) -> ClipPlan:
    """A clip with these segments and its own prompt number, as the clips of one run have."""
    clip = plan_clips(["\n".join(texts)], resolve(Options(split_each_text_prompt_by="line", **options)), 0)[0][0]
    return dataclasses.replace(clip, prompt_index=next(_numbers))


def spoken_by(speakers: Iterable[str | None], clip: ClipPlan) -> ClipPlan:
    """The clip with these speakers of its segments; None and "-" are the narrator."""
    names = (None if name == "-" else name for name in speakers)
    segments = (dataclasses.replace(segment, speaker=name) for segment, name in zip(clip.segments, names, strict=True))
    return dataclasses.replace(clip, segments=tuple(segments))


def dialogue(speakers: Sequence[str | None], **options: Any) -> ClipPlan:
    """A clip of the segments s0, s1, ... by these speakers."""
    return spoken_by(speakers, plan([f"s{k}" for k in range(len(speakers))], **options))


def voice_of(number: int) -> Voice:
    """A voice of 6 s, all of whose tokens are this number."""
    return Voice(*(np.full(shape, number) for shape in (300, (2, 450), (8, 450))))


VOICE = voice_of(99)


def sources(recorder: Recorder, n: int) -> list[set[int]]:
    """The segments that each segment's semantic history came from (`VOICE` counts as 99)."""
    return [{int(t) for t in np.unique(recorder.histories[f"s{k}"].semantic)} for k in range(n)]


def recipe_of(
    engine: Engine, voice: Voice | None = VOICE, voices: Mapping[str, Voice] | None = None, **options: Any
) -> Recipe:
    return Recipe.from_options(resolve(Options(**options)), engine, voice, voices=voices)


@dataclass(frozen=True, eq=False)
class WholeClip:
    """A finished clip with all of its sound and generations in memory."""

    clip: Clip
    generations: list[Generation]
    audio: np.ndarray

    @property
    def plan(self) -> ClipPlan:
        return self.clip.plan

    @property
    def voice(self) -> Voice | None:
        return self.clip.voice

    @property
    def spans(self) -> list[Span]:
        return [segment.span for segment in self.clip.segments]


def whole_clips(recipe: Recipe, plans: Iterable[ClipPlan], rows: int | None = None) -> Iterator[WholeClip | FailedClip]:
    """Every clip of a run, yielded as soon as it is finished."""
    parts: dict[tuple[int, int], list[FinishedSegment]] = {}
    for result in Scheduler(recipe, rows).run(plans):
        key = result.plan.prompt_index, result.plan.take
        if isinstance(result, FinishedSegment):
            parts.setdefault(key, []).append(result)
        elif isinstance(result, FailedClip):
            yield result
        else:
            own = parts.pop(key)
            yield WholeClip(result, [part.generation for part in own], np.concatenate([part.sound for part in own]))


class Wrapped:
    """An engine that delegates to another one; subclasses override what they change."""

    def __init__(self, engine: Engine):
        self._engine = engine

    @property
    def name(self) -> str:
        return self._engine.name

    @property
    def spec(self) -> BarkSpec:
        return self._engine.spec

    @property
    def identity(self) -> str:
        return self._engine.identity

    def describe_stages(self) -> Mapping[str, Mapping[str, str]]:
        return self._engine.describe_stages()

    def encode(self, text: str) -> list[int]:
        return self._engine.encode(text)

    def check_history(self, history: History) -> None:
        self._engine.check_history(history)

    def rows_at_once(self, settings: Settings) -> int:
        return self._engine.rows_at_once(settings)

    def stream(
        self, segments: Sequence[Segment], settings: Settings, progress: StageProgress, rows: int | None
    ) -> EngineStream:
        return self._engine.stream(segments, settings, progress, rows)

    def decode(self, codes: Sequence[np.ndarray]) -> list[np.ndarray]:
        return self._engine.decode(codes)


class Changed(Wrapped):
    """An engine that changes every finished generation."""

    def __init__(self, engine: Engine, change: Callable[[str, Generation], Generation]):
        super().__init__(engine)
        self._change = change

    def stream(
        self, segments: Sequence[Segment], settings: Settings, progress: StageProgress, rows: int | None
    ) -> EngineStream:
        for place, generation in super().stream(segments, settings, progress, rows):
            yield place, self._change(text_of(segments[place]), generation)


class Counting(Wrapped):
    """An engine that counts the segments it generates."""

    n_spoken = 0

    def stream(
        self, segments: Sequence[Segment], settings: Settings, progress: StageProgress, rows: int | None
    ) -> EngineStream:
        for finished in super().stream(segments, settings, progress, rows):
            self.n_spoken += 1
            yield finished


class Listening:
    """A recogniser that hears what `words_of` says of a sound; words are spread over it evenly. Its calls are recorded."""

    name = "fake"
    languages = frozenset({"en"})

    def __init__(self, words_of: Callable[[np.ndarray], str]):
        self._words_of = words_of
        self.heard: list[str] = []

    def hear(self, audio: np.ndarray, language: str) -> Sequence[HeardWord]:
        text = self._words_of(audio)
        self.heard.append(text)
        words = text.split()
        step = len(audio) / c.SAMPLE_RATE / max(1, len(words))
        return [HeardWord(f" {word}", k * step, (k + 1) * step) for k, word in enumerate(words)]


def text_of(segment: Segment) -> str:
    """The text of a segment that has one."""
    assert segment.text is not None
    return segment.text


if TYPE_CHECKING:

    def _engine_of(engine: Bark | Recorder | Wrapped) -> Engine:
        """For the type checker: reports any method that these classes lack of `Engine`."""
        return engine

    def _recognizer_of(recognizer: Pocketsphinx | Whisper | Listening) -> Recognizer:
        """The same for `Recognizer`."""
        return recognizer
