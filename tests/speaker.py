"""An engine that says what a test wants of each take, and a recogniser that hears it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from fakes import EngineStream, Listening, Recorder, text_of

from bark_infinity.bark import Generation, Segment, Settings, StageProgress
from bark_infinity.narration import ClipSource, Job
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.run.engine import Engine
from bark_infinity.run.recipe import Recipe
from bark_infinity.seeds import derive_seed
from bark_infinity.voices.voice import Voice

TEXTS = [f"The {color} dog runs home tonight." for color in ("red", "blue", "green", "white")]
SEED = 5
SECONDS = 4.0
OTHER_SEEDS = 99  # the take of a segment whose seeds are not derived from SEED


class Speaker(Recorder):
    """An engine that says of each text what `said` has for each of its takes, and the text itself where it has nothing.

    Tokens depend on text, take and history; `sounds` has what is said in each sound.
    """

    name = identity = "speaker"

    def __init__(self, said: Mapping[str, Sequence[str]] | None = None):
        super().__init__()
        self.said = said or {}
        self.made: list[tuple[str, int]] = []  # text and take
        self.sounds: dict[bytes, str] = {}
        self.semantic: dict[tuple[str, int], np.ndarray] = {}

    def stream(
        self, segments: Sequence[Segment], settings: Settings, progress: StageProgress, rows: int | None
    ) -> EngineStream:
        self.batches.append([text_of(segment) for segment in segments])
        for place, segment in enumerate(segments):
            text = text_of(segment)
            numbers = (n for n in range(20) if derive_seed(SEED, "retry", n) == segment.seeds.segment)
            take = next(numbers, OTHER_SEEDS)
            self.made.append((text, take))
            if take == 0:
                self.histories[text] = segment.history
            yield place, self.generation(text, take, segment)

    def generation(self, text: str, take: int, segment: Segment) -> Generation:
        rng = np.random.default_rng([TEXTS.index(text), take, int(segment.history.semantic.sum())])
        frames = round(SECONDS * 75)
        fine = rng.integers(0, 1024, (8, frames))
        voice = Voice(rng.integers(0, 10_000, round(frames * 49.9 / 75)), fine[:2], fine)
        self.semantic[text, take] = voice.semantic
        (audio,) = self.decode([fine])
        takes = self.said.get(text, ())
        self.sounds[audio[:3200].tobytes()] = takes[take] if take < len(takes) else text
        return Generation(voice, audio, 0, {"semantic": 0.1})

    def decode(self, codes: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [np.repeat((own[0] / 1024 - 0.5).astype(np.float32), 320) for own in codes]

    def words_of(self, audio: np.ndarray) -> str:
        return self.sounds[audio[:3200].tobytes()]


HOW = {"seed": SEED, "split_each_text_prompt_by": "line", "check_segments": "retry"}
HEARD = {"recognizer": "pocketsphinx"}  # the fake takes its place


def recipe_without_voices(options: Options, engine: Engine) -> Recipe:
    """A recipe that does not rank takes by their voice, which a Speaker's noise has not."""
    return dataclasses.replace(Recipe.from_options(options, engine), distances=None)


def run_to_end(engine: Speaker, folder: Path, **options: object) -> Path:
    """Run as the command line does; the manifest of the clip."""
    given = {"model": "demo", "text_prompt": "\n".join(TEXTS), "output_dir": str(folder), "batch_size": 2}
    resolved = resolve(Options(**HOW | given | options))
    recipe = recipe_without_voices(resolved, engine)
    if resolved.recognizer != "off":
        recipe = dataclasses.replace(recipe, recognizer=Listening(engine.words_of))
    *_, clip = Job(resolved, ClipSource(resolved), recipe).run()
    return clip.path.with_suffix(".json")
