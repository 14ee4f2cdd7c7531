"""Bark: loaded models. A batch of segments goes in, generations come out; files and long texts are for others."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from . import constants as c
from .checkpoints.hub import Hub
from .checkpoints.loading import ModelChoice, Models, load_models
from .checkpoints.reading import STAGES
from .errors import CheckpointError, TextError, VoiceError
from .model.codec import Codec
from .model.decoding import cache_bytes_per_row
from .model.devices import at_work, free_memory, is_out_of_memory
from .model.gpt import CausalGPT
from .model.sampling import RowRandom
from .model.spec import BarkSpec
from .options.resolve import resolve
from .options.table import Options
from .seeds import Seeds
from .stages.coarse import CoarseRow, CoarseSettings, generate_coarse
from .stages.fine import FineRow, FineSettings, generate_fine, stream_fine
from .stages.semantic import SemanticResult, SemanticRow, SemanticSettings, Statistics, generate_semantic
from .voices.compatibility import check_compatible, check_preset, suitable_voices
from .voices.history import History
from .voices.library import find_voice, voice_folders
from .voices.voice import Voice

StageProgress = Callable[[str, int, int], None]
"""(stage, tokens made, most tokens that can still come out) of the batch at work."""

_log = logging.getLogger(__name__)
_STAGE_FUNCTIONS = {"semantic": generate_semantic, "coarse": generate_coarse, "fine": generate_fine}
_MAX_AUTO_ROWS = {"cpu": 16, "cuda": 64}  # beyond it a step costs about as much more as it gives
_SHOWN_TEXT = 60  # characters of a segment's text in its repr
_FINE_ROWS_AT_ONCE = 16  # windows that fill a GPU
_FINE_BYTES_PER_ROW = 64 * 2**20  # activations of one window of the large fine stage in float32


@dataclass(frozen=True, eq=False)
class Segment:
    """What is to be said in one go (at most 256 WordPiece ids), the history it goes on from, and its seeds.

    Without a text it goes on from its history until the window is full. With `semantic` (n,) the first stage is left
    out, and these tokens are said. `settings`: its own sampling settings; None: those of its batch.
    """

    text: str | None
    history: History = field(default_factory=lambda: History.of_voice(None))
    seeds: Seeds = Seeds()
    semantic: np.ndarray | None = None
    settings: Settings | None = None

    def __repr__(self) -> str:
        given = f", {len(self.semantic)} semantic tokens given" if self.semantic is not None else ""
        return f"Segment({_shortened(self.text)}, {self.history!r}, seeds={self.seeds.given()}{given})"


@dataclass(frozen=True)
class Settings:
    """How tokens are drawn in each stage."""

    semantic: SemanticSettings = SemanticSettings()
    coarse: CoarseSettings = CoarseSettings()
    fine: FineSettings = FineSettings()
    negative_text: str | None = None  # that the semantic stage moves away from

    @classmethod
    def from_options(cls, options: Options) -> Settings:
        """The settings that resolved options ask for."""
        semantic = SemanticSettings(
            temperature=options.semantic_temp,
            top_k=options.semantic_top_k,
            top_p=options.semantic_top_p,
            min_eos_p=options.semantic_min_eos_p,
            max_gen_duration_s=options.semantic_max_gen_duration_s,
            allow_early_stop=options.semantic_allow_early_stop,
            use_kv_caching=options.semantic_use_kv_caching,
            history_limit=options.semantic_history_oversize_limit,
            inverted_p=options.semantic_inverted_p,
            bottom_k=options.semantic_bottom_k,
            repeat_penalty=options.semantic_token_repeat_penalty,
            mirostat_tau=options.semantic_mirostat_tau,
            mirostat_learning_rate=options.semantic_mirostat_learning_rate,
            negative_logits_scale=options.negative_text_prompt_logits_scale,
            negative_divergence_scale=options.negative_text_prompt_divergence_scale,
            statistics=options.extra_stats,
        )
        coarse = CoarseSettings(
            temperature=options.coarse_temp,
            top_k=options.coarse_top_k,
            top_p=options.coarse_top_p,
            max_coarse_history=options.coarse_max_coarse_history,
            sliding_window_len=options.coarse_sliding_window_len,
            alignment=options.coarse_history_time_alignment_hack,
            use_kv_caching=options.coarse_kv_caching,
        )
        return cls(semantic, coarse, FineSettings(options.fine_temp), options.negative_text_prompt)


@dataclass(frozen=True, eq=False)
class Generation:
    """A spoken segment: its tokens as a voice, and float32 samples in -1..1 at 24 kHz."""

    voice: Voice
    audio: np.ndarray
    cut_ids: int  # WordPiece ids beyond the 256 that the model reads, left unsaid
    seconds_taken: dict[str, float]  # per stage, the segment's share of its batch
    statistics: Statistics | None = None  # of the semantic stage, where they were asked for
    ended: bool = True  # the speech was over, or as long as it may be, before the semantic stage's window was full

    def __repr__(self) -> str:
        seconds = len(self.audio) / c.SAMPLE_RATE
        ended = "" if self.ended else ", without an end"
        cut = f", {self.cut_ids} ids left unsaid" if self.cut_ids else ""
        return f"Generation({seconds:.1f} s of audio, {self.voice!r}{ended}{cut})"

    @property
    def silent(self) -> bool:
        """The model ended the speech at once."""
        return not len(self.audio)


class Bark:
    """The three stages and the codec, loaded. Nothing is kept between calls but the models."""

    def __init__(self, models: Models):
        self.name = models.name
        self.tokenizer = models.tokenizer
        self.stages = models.stages
        self.hub = models.hub
        self._codec = models.codec
        self._codec_placement = models.codec_placement

    def __repr__(self) -> str:
        places = {f"{stage.placement.dtype} on {stage.placement.device}" for stage in self.stages.values()}
        return f"Bark({self.name!r}, {', '.join(sorted(places)).replace('torch.', '')})"

    @classmethod
    def load(
        cls,
        model: str = "large",
        device: str = "auto",
        dtype: str = "auto",
        *,
        offload: bool | None = None,
        model_dir: str | None = None,
        offline: bool = False,
    ) -> Bark:
        """Load a model: large, small, demo, a hub repository or a folder. What is not given follows the environment.

        For more choices there is `Bark(load_models(ModelChoice(...)))`. Raises CheckpointError for a model that is
        missing, damaged or foreign, UsageError for a device that is absent.
        """
        options = Options(
            model=model, device=device, dtype=dtype, offload_cpu=offload, model_dir=model_dir, offline=offline
        )
        return cls(load_models(ModelChoice.from_options(resolve(options))))

    @property
    def spec(self) -> BarkSpec:
        """Numbers of the semantic stage's checkpoint; the other stages read their own."""
        return self.stages["semantic"].spec

    @cached_property
    def identity(self) -> str:
        """What tells these three stages from others, and their precision and device: the same tokens come from no others."""
        stages = (
            f"{name} {stage.fingerprint} {stage.placement.dtype} {stage.placement.device.type}"
            for name, stage in self.stages.items()
        )
        return hashlib.sha256("\n".join(stages).encode()).hexdigest()

    def describe_stages(self) -> dict[str, dict[str, str]]:
        """For each stage where its weights came from, their dtype and their device, for a manifest."""
        return {
            name: {
                "source": stage.source,
                "dtype": str(stage.placement.dtype).removeprefix("torch."),
                "device": stage.placement.device.type,
            }
            for name, stage in self.stages.items()
        }

    @property
    def codec(self) -> Codec:
        """The codec, waited for where it is still loading."""
        return self._codec.result()

    def rows_at_once(self, settings: Settings = Settings()) -> int:
        """Segments that fit side by side into half of the free memory of the tightest stage, 1 to 16, or 64 on CUDA."""
        rows = max(_MAX_AUTO_ROWS.values())
        for name, stage in self.stages.items():
            rows = min(rows, _MAX_AUTO_ROWS.get(stage.placement.device.type, _MAX_AUTO_ROWS["cpu"]))
            causal = isinstance(stage.model, CausalGPT)
            per_row = cache_bytes_per_row(stage.model) if causal else _FINE_BYTES_PER_ROW
            if name == "semantic" and settings.negative_text is not None:
                per_row *= 2  # its cache stands beside that of the text
            rows = min(rows, free_memory(stage.placement.device) // 2 // per_row)
        return max(1, rows)

    def speak(
        self,
        text: str,
        voice: Voice | str | Path | Mapping[str, np.ndarray] | None = None,
        seed: int | None = None,
        settings: Settings = Settings(),
    ) -> Generation:
        """Speak one segment: up to 256 WordPiece ids, about 14 s. `narrate` speaks longer texts.

        `voice`: what `load_voice` takes. Raises TextError for a text that is empty or too long, and VoiceError for an
        unusable voice.
        """
        if (n := len(self.encode(text))) > self.spec.max_text_ids:
            raise TextError(
                f"the text {text[:40]!r} has {n} tokens, and one segment reads {self.spec.max_text_ids}; "
                "speak it with narrate, which takes texts of any length"
            )
        history = History.of_voice(self.find_voice(voice))
        generation = self.generate([Segment(text, history, Seeds(seed))], settings)[0]
        if not generation.ended:
            _log.warning("the speech filled the model's window before its end; narrate cuts long texts into segments")
        return generation

    def generate(
        self,
        segments: Sequence[Segment],
        settings: Settings = Settings(),
        progress: StageProgress = lambda *_: None,
        rows: int | None = None,
    ) -> list[Generation]:
        """What `stream` makes, all of it, in the order of the segments."""
        made = dict(self.stream(segments, settings, progress, rows))
        return [made[k] for k in range(len(segments))]

    def stream(
        self,
        segments: Sequence[Segment],
        settings: Settings = Settings(),
        progress: StageProgress = lambda *_: None,
        rows: int | None = None,
    ) -> Iterator[tuple[int, Generation]]:
        """The index in `segments` and the generation of each segment, as soon as it has its sound.

        `rows` of them stand side by side in a stage (None: as many as fit), the others wait until a row is free; each
        has the tokens it gets alone. Segments with other settings than `settings` form batches of their own. Raises
        TextError for an empty text and VoiceError for a history with tokens that this model does not have.
        """
        for segment in segments:
            self._ids_of(segment)
            self.check_history(segment.history)
        alike: dict[Settings, list[int]] = {}  # indexes of segments, by their settings
        for index, segment in enumerate(segments):
            alike.setdefault(settings if segment.settings is None else segment.settings, []).append(index)
        for own, indexes in alike.items():
            for k, generation in self._stream_alike([segments[i] for i in indexes], own, progress, rows):
                yield indexes[k], generation

    def _ids_of(self, segment: Segment) -> list[int]:
        """The WordPiece ids that the semantic stage reads; none for a segment without words, or with tokens instead."""
        return [] if segment.text is None or segment.semantic is not None else self.encode(segment.text)

    def _stream_alike(
        self, segments: Sequence[Segment], settings: Settings, progress: StageProgress, rows: int | None
    ) -> Iterator[tuple[int, Generation]]:
        """As `stream`, of segments with the same settings."""
        ids = [self._ids_of(segment) for segment in segments]
        rows = rows or self.rows_at_once(settings)
        randoms = [_row_randoms(segment.seeds) for segment in segments]

        watch = _StopWatch(len(segments))
        with watch("semantic"):
            made = self._semantic(segments, ids, randoms, settings, progress, rows)
        _ = self.codec  # it has loaded beside the first stage: what is wrong with it is told before hours of work
        with watch("coarse"):
            coarse_rows = [
                CoarseRow(m.tokens, s.history.coarse_semantic, s.history.coarse, r["coarse"])
                for m, s, r in zip(made, segments, randoms, strict=True)
            ]
            coarse = self.run_stage("coarse", coarse_rows, settings.coarse, progress, rows)
        for k, fine, audio, seconds in self._sound(segments, coarse, randoms, settings, progress, rows):
            yield (
                k,
                Generation(
                    Voice(made[k].tokens, coarse[k], fine),
                    audio,
                    max(0, len(ids[k]) - self.spec.max_text_ids),
                    watch.seconds | seconds,
                    made[k].statistics,
                    made[k].ended,
                ),
            )

    def _sound(
        self,
        segments: Sequence[Segment],
        coarse: Sequence[np.ndarray],
        randoms: Sequence[Mapping[str, RowRandom]],
        settings: Settings,
        progress: StageProgress,
        rows: int,
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray, dict[str, float]]]:
        """The last stage and the codec: place, codes (8, frames), samples and seconds a stage, of each segment."""
        stage = self.stages["fine"]
        fine_rows = [
            FineRow(codes, s.history.fine, r["fine"]) for codes, s, r in zip(coarse, segments, randoms, strict=True)
        ]
        # On a CPU one window is work enough, and what is finished is not kept waiting.
        max_active = 1 if stage.placement.device.type == "cpu" else min(rows, _FINE_ROWS_AT_ONCE)
        report = partial(progress, "fine")
        with at_work(stage.model, stage.placement):
            made = stream_fine(stage.model, stage.spec, fine_rows, settings.fine, report, max_active)
            start = time.perf_counter()
            for place, codes in made:
                coded = time.perf_counter()
                audio = self.decode([codes])[0]
                yield place, codes, audio, {"fine": coded - start, "codec": time.perf_counter() - coded}
                start = time.perf_counter()

    def _semantic(
        self,
        segments: Sequence[Segment],
        ids: Sequence[Sequence[int]],
        randoms: Sequence[Mapping[str, RowRandom]],
        settings: Settings,
        progress: StageProgress,
        max_active: int,
    ) -> list[SemanticResult]:
        """The first stage: segments with a text side by side, then those without, which do not stop early."""
        limit = self.spec.max_text_ids
        negative = self.encode(settings.negative_text)[:limit] if settings.negative_text is not None else ()
        made = {k: SemanticResult(self._checked(s.semantic)) for k, s in enumerate(segments) if s.semantic is not None}
        with_text = [k for k, i in enumerate(ids) if i]
        without = [k for k, i in enumerate(ids) if not i and k not in made]
        endless = dataclasses.replace(settings.semantic, allow_early_stop=False)
        for group, how, unwanted in ((with_text, settings.semantic, negative), (without, endless, ())):
            rows = [
                SemanticRow(ids[k][:limit], segments[k].history.semantic, randoms[k]["semantic"], unwanted)
                for k in group
            ]
            if rows:
                made |= zip(group, self.run_stage("semantic", rows, how, progress, max_active), strict=True)
        return [made[k] for k in range(len(segments))]

    def _checked(self, semantic: np.ndarray) -> np.ndarray:
        """Semantic tokens to be said. Raises VoiceError for those of another model."""
        if semantic.size and semantic.max() >= self.spec.semantic_vocab_size:
            raise VoiceError(
                f"the tokens to be said are another model's: {semantic.max()} is beyond the "
                f"{self.spec.semantic_vocab_size} of {self.name}; take a voice that was made with {self.name}"
            )
        return semantic

    def run_stage(
        self,
        name: str,
        rows: Sequence,
        settings: object,
        progress: StageProgress = lambda *_: None,
        max_active: int | None = None,
    ) -> list:
        """One stage alone: its rows and settings in, what it makes of each out, `max_active` of them side by side.

        The model is on its device for that long.
        """
        stage = self.stages[name]
        with at_work(stage.model, stage.placement):
            generate = _STAGE_FUNCTIONS[name]
            try:
                return generate(stage.model, stage.spec, rows, settings, partial(progress, name), max_active)
            except RuntimeError as error:
                if is_out_of_memory(error) and isinstance(stage.model, CausalGPT):
                    stage.model.decoders.clear()  # else the next, smaller batch would find no more room
                raise

    def encode(self, text: str) -> list[int]:
        """WordPiece ids of a text. Raises TextError if there are none."""
        ids = self.tokenizer.encode(text)
        if not ids:
            raise TextError(f"the text {text[:200]!r} has nothing to say; give it words")
        if max(ids) + self.spec.text_encoding_offset >= self.stages["semantic"].model.config.input_vocab_size:
            raise CheckpointError(
                f"the tokenizer has more words than the semantic stage in {self.stages['semantic'].source} knows; "
                "take both from one model"
            )
        return ids

    def decode(self, codes: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Codes (8, frames) of several segments to float32 samples (frames * 320,) each."""
        with at_work(self.codec, self._codec_placement):
            return [self.codec.decode(c) for c in codes]

    def find_voice(
        self,
        voice: Voice | str | Path | Mapping[str, np.ndarray] | None,
        folders: Sequence[Path] = voice_folders(Options.output_dir),
    ) -> Voice | None:
        """A voice that this model can speak with, from what `load_voice` takes. Raises VoiceError.

        A published preset that does not suit the model is refused without a download.
        """
        if isinstance(voice, str | Path) and find_voice(str(voice), folders) is None:
            check_preset(str(voice), self.name, self.spec.semantic_vocab_size)
        found = load_voice(voice, self.hub, folders)
        self.check_voice(found, f"the voice {voice}" if isinstance(voice, str | Path) else "the voice")
        return found

    def check_voice(self, voice: Voice | None, name: str = "the voice") -> None:
        """Raise VoiceError for the voice of another model; `name` is what the message calls it."""
        if voice is not None:
            check_compatible(voice, name, self.name, self.spec.semantic_vocab_size)
        self.check_history(History.of_voice(voice))

    def check_history(self, history: History) -> None:
        """Raise VoiceError for tokens beyond the vocabulary: the voice of another model."""
        limits = {
            "semantic": self.spec.semantic_vocab_size,
            "coarse_semantic": self.stages["coarse"].spec.semantic_vocab_size,
        }
        limits |= {"coarse": self.stages["coarse"].spec.codebook_size, "fine": self.stages["fine"].spec.codebook_size}
        for name, limit in limits.items():
            tokens = getattr(history, name)
            if tokens.size and tokens.max() >= limit:
                raise VoiceError(
                    f"the voice was made for another model: its {name} token {tokens.max()} is beyond the {limit} that "
                    f"{self.name} knows; voices that suit {self.name}: {suitable_voices(self.spec.semantic_vocab_size)}"
                )


def load_voice(
    voice: Voice | str | Path | Mapping[str, np.ndarray] | None,
    hub: Hub,
    folders: Sequence[Path] = voice_folders(Options.output_dir),
) -> Voice | None:
    """A voice from what a program may have: a Voice, the original's dict, a path, or a name of --list_speakers.

    Raises VoiceError for one that is not there, is malformed, or cannot be downloaded.
    """
    if voice is None or isinstance(voice, Voice):
        return voice
    if isinstance(voice, Mapping):
        return Voice.from_prompts(voice, "the history prompt")
    path = find_voice(str(voice), folders)
    name = str(voice).removesuffix(".npz")
    return Voice.load(path) if path else Voice.from_prompts(hub.preset(name), f"the voice {name}")


def _shortened(text: str | None) -> str:
    """A text in quotation marks, of which the beginning is enough to know it again."""
    return repr(text if text is None or len(text) <= _SHOWN_TEXT else f"{text[: _SHOWN_TEXT - 3]}...")


class _StopWatch:
    """Seconds a stage, shared out evenly among the rows of a batch."""

    def __init__(self, rows: int):
        self.rows = rows
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = (time.perf_counter() - start) / self.rows


def _row_randoms(seeds: Seeds) -> dict[str, RowRandom]:
    """The randomness of a segment in each stage: its own, or the segment's going on from the stage before."""
    segment = RowRandom(seeds.segment)
    own = {stage: getattr(seeds, stage) for stage in STAGES}
    return {stage: segment if seed is None else RowRandom(seed) for stage, seed in own.items()}
