"""Bark: the loaded models. It takes a batch of segments and returns generations.

It writes no files and splits no long texts: `narration` and `run` do.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from . import constants as c
from .checkpoints.hub import Hub
from .checkpoints.loading import ModelChoice, Models, load_models
from .checkpoints.reading import STAGES
from .errors import CheckpointError, TextError, VoiceError
from .model.codec import Codec
from .model.decoding import cache_bytes_per_row
from .model.devices import free_memory, is_out_of_memory, on_device
from .model.gpt import CausalGPT
from .model.sampling import RowRandom
from .model.spec import BarkSpec
from .model.threads import threads_for_steps, with_present_threads
from .model.tokenizer import Tokenizer
from .options.python_words import python_words
from .options.resolve import resolve
from .options.table import Options
from .seeds import Seeds
from .stages.coarse import CoarseRow, CoarseSettings, generate_coarse
from .stages.fine import FineRow, FineSettings, generate_fine, stream_fine
from .stages.progress import Wanted, always_wanted
from .stages.semantic import SemanticResult, SemanticRow, SemanticSettings, Statistics, generate_semantic
from .voices.compatibility import check_compatible, check_preset, suitable_voices
from .voices.history import History
from .voices.library import find_voice, is_recording, voice_folders
from .voices.voice import Voice

StageProgress = Callable[[str, int, int], None]
"""Called with (stage, tokens generated so far, most tokens that can still come out), summed over the batch."""

_log = logging.getLogger(__name__)
_STAGE_FUNCTIONS = {"semantic": generate_semantic, "coarse": generate_coarse, "fine": generate_fine}
_MAX_AUTO_ROWS = {"cpu": 16, "cuda": 64}  # with more rows a step takes longer in proportion, so nothing is gained
_SHOWN_TEXT = 60  # characters of a segment's text in its repr
_FINE_ROWS_AT_ONCE = 16  # windows that fill a GPU
_FINE_BYTES_PER_ROW = 64 * 2**20  # activations of one window of the large fine stage in float32


@dataclass(frozen=True, eq=False)
class Segment:
    """One piece of speech for the model: a text of at most 256 WordPiece ids, its history, and its seeds.

    text: None continues the history without words until the semantic window is full.
    semantic: tokens (n,) to be spoken; the semantic stage is skipped.
    settings: its own sampling settings; None means those of the batch.
    is_wanted: asked between steps; once it is false, the segment leaves its batch.
    """

    text: str | None
    history: History = field(default_factory=lambda: History.of_voice(None))
    seeds: Seeds = Seeds()
    semantic: np.ndarray | None = None
    settings: Settings | None = None
    is_wanted: Wanted = always_wanted

    def __repr__(self) -> str:
        given = f", {len(self.semantic)} semantic tokens given" if self.semantic is not None else ""
        return f"Segment({_shortened(self.text)}, {self.history!r}, seeds={self.seeds.given()}{given})"


@dataclass(frozen=True)
class Settings:
    """Sampling settings of the three stages."""

    semantic: SemanticSettings = SemanticSettings()
    coarse: CoarseSettings = CoarseSettings()
    fine: FineSettings = FineSettings()
    negative_text: str | None = None  # the semantic stage steers away from it

    @classmethod
    def from_options(cls, options: Options) -> Settings:
        """The sampling settings of resolved options."""
        assert options.semantic_temp is not None and options.coarse_temp is not None  # they are resolved
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

    def flag_values(self) -> dict[str, object]:
        """The inverse of `from_options`: the value of every flag that it reads.

        Limits that are None here, as only Python can set them, become the flag's value of the same effect.
        """
        semantic, coarse, fine = self.semantic, self.coarse, self.fine
        return {
            "semantic_temp": semantic.temperature,
            "semantic_top_k": semantic.top_k,
            "semantic_top_p": semantic.top_p,
            "semantic_min_eos_p": 1.0 if semantic.min_eos_p is None else semantic.min_eos_p,
            "semantic_max_gen_duration_s": semantic.max_gen_duration_s,
            "semantic_allow_early_stop": semantic.allow_early_stop,
            "semantic_use_kv_caching": semantic.use_kv_caching,
            "semantic_history_oversize_limit": semantic.history_limit,
            "semantic_inverted_p": semantic.inverted_p,
            "semantic_bottom_k": semantic.bottom_k,
            "semantic_token_repeat_penalty": semantic.repeat_penalty,
            "semantic_mirostat_tau": semantic.mirostat_tau,
            "semantic_mirostat_learning_rate": semantic.mirostat_learning_rate,
            "negative_text_prompt_logits_scale": semantic.negative_logits_scale,
            "negative_text_prompt_divergence_scale": semantic.negative_divergence_scale,
            "extra_stats": semantic.statistics,
            "coarse_temp": coarse.temperature,
            "coarse_top_k": coarse.top_k,
            "coarse_top_p": coarse.top_p,
            "coarse_max_coarse_history": coarse.max_coarse_history,
            "coarse_sliding_window_len": coarse.sliding_window_len,
            "coarse_history_time_alignment_hack": coarse.alignment,
            "coarse_kv_caching": coarse.use_kv_caching,
            "fine_temp": 0.0 if fine.temperature is None else fine.temperature,
            "negative_text_prompt": self.negative_text,
        }


@dataclass(frozen=True, eq=False)
class Generation:
    """A spoken segment: its tokens as a voice, and its audio, float32 samples (frames * 320,) in -1..1 at 24 kHz."""

    voice: Voice
    audio: np.ndarray
    cut_ids: int  # WordPiece ids beyond the 256 that the model reads, which were not spoken
    seconds_taken: dict[str, float]  # per stage, the segment's share of its batch
    statistics: Statistics | None = None  # of the semantic stage, if they were asked for
    ended: bool = True  # False: the semantic window was full before the end of the speech
    worker: str | None = None  # the worker of a cluster that generated it; None: this process

    def __repr__(self) -> str:
        ended = "" if self.ended else ", without an end"
        cut = f", {self.cut_ids} ids not spoken" if self.cut_ids else ""
        return f"Generation({self.seconds:.1f} s of audio, {self.voice!r}{ended}{cut})"

    @property
    def seconds(self) -> float:
        """Length of the audio in seconds."""
        return len(self.audio) / c.SAMPLE_RATE

    @property
    def silent(self) -> bool:
        """True when the model ended the speech at once, so that there is no audio."""
        return not len(self.audio)


class Bark:
    """The three stages and the codec, loaded. Nothing but the models is kept between calls."""

    def __init__(self, models: Models, choice: ModelChoice | None = None):
        """`choice`: by which the models were loaded, for the manifests of `narrate`."""
        self.name, self.choice = models.name, choice
        self.tokenizer = models.tokenizer
        self.stages = models.stages
        self.hub = models.hub
        self.advice = models.advice  # a sentence for the user about a faster choice, or None
        self._codec = models.codec
        self.codec_placement = models.codec_placement

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
        """Load a model: large, small, demo, a hub repository (owner/name) or a folder.

        Arguments left at their defaults follow the environment variables, as on the command line; `ModelChoice` has
        more choices. Raises CheckpointError for a model that is missing, damaged or no Bark, UsageError for a device
        that is absent.
        """
        options = Options(
            model=model, device=device, dtype=dtype, offload_cpu=offload, model_dir=model_dir, offline=offline
        )
        with python_words():
            choice = ModelChoice.from_options(resolve(options))
            return cls(load_models(choice), choice)

    @property
    def spec(self) -> BarkSpec:
        """Special tokens, rates and windows of the semantic stage's checkpoint; the other stages have their own."""
        return self.stages["semantic"].spec

    @cached_property
    def identity(self) -> str:
        """A digest (SHA-256, hex) of the weights, precision and device type of the three stages.

        Tokens are reproducible only between models of the same identity.
        """
        stages = (
            f"{name} {stage.fingerprint} {stage.placement.dtype} {stage.placement.device.type}"
            for name, stage in self.stages.items()
        )
        return hashlib.sha256("\n".join(stages).encode()).hexdigest()

    def describe_stages(self) -> dict[str, dict[str, str]]:
        """For the manifest: the source of each stage's weights, their dtype, and their device."""
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
        """The codec; waits while it is still being loaded."""
        return self._codec.result()

    @property
    def codec_model(self) -> str:
        """The name or place of the model that the codec is from, which is that of the fine stage."""
        return self.name if self.choice is None else self.choice.model_of("fine")

    @property
    def token_limits(self) -> dict[str, int]:
        """The vocabulary of each part of a history."""
        coarse, fine = self.stages["coarse"].spec, self.stages["fine"].spec
        limits = {"semantic": self.spec.semantic_vocab_size, "coarse_semantic": coarse.semantic_vocab_size}
        return limits | {"coarse": coarse.codebook_size, "fine": fine.codebook_size}

    def rows_at_once(self, settings: Settings = Settings()) -> int:
        """How many segments fit side by side into half of the free memory of every stage's device: 1 to 16, on CUDA to 64."""
        rows = max(_MAX_AUTO_ROWS.values())
        for name, stage in self.stages.items():
            rows = min(rows, _MAX_AUTO_ROWS.get(stage.placement.device.type, _MAX_AUTO_ROWS["cpu"]))
            causal = isinstance(stage.model, CausalGPT)
            per_row = cache_bytes_per_row(stage.model) if causal else _FINE_BYTES_PER_ROW
            if name == "semantic" and settings.negative_text is not None:
                per_row *= 2  # the negative text has a cache of its own
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
        """The generations of all segments, in their order; arguments and errors are those of `stream`."""
        generations = dict(self.stream(segments, settings, progress, rows))
        return [generations[k] for k in range(len(segments))]

    def stream(
        self,
        segments: Sequence[Segment],
        settings: Settings = Settings(),
        progress: StageProgress = lambda *_: None,
        rows: int | None = None,
    ) -> Generator[tuple[int, Generation], None, None]:
        """Yield (index in `segments`, generation) for each segment, as soon as its audio is decoded.

        Up to `rows` segments (None: as many as fit) are active in a stage at a time, and the others wait for a free slot;
        a segment's tokens do not depend on its neighbours. Segments with settings of their own run beside the others; only
        those without a KV cache, the slow check of the rest, form a batch of their own in each stage. Segments that are
        not wanted any more leave the batch and are not yielded. Raises TextError for an empty text, VoiceError for a history
        with tokens that this model lacks.

        Another batch may be run in `progress`, to its end; its time does not count as that of these segments.
        """
        if not segments:
            return
        for segment in segments:
            self.check_history(segment.history)
        batch = [self._row(segment, settings) for segment in segments]
        rows = rows or min(map(self.rows_at_once, {row.settings for row in batch}))

        timer = _StageTimer(len(batch), progress)
        with timer("semantic"):
            semantic = self._semantic(batch, timer.progress, rows)
        _ = self.codec  # loaded in parallel with the first stage: a fault in it is raised before hours of work
        wanted = [k for k, segment in enumerate(segments) if segment.is_wanted()]
        with timer("coarse"):
            coarse_rows = [batch[k].coarse(semantic[k].tokens) for k in wanted]
            coarse = dict(zip(wanted, self.run_stage("coarse", coarse_rows, timer.progress, rows), strict=True))
        wanted = [k for k in wanted if segments[k].is_wanted()]
        fine_rows = [batch[k].fine(coarse[k]) for k in wanted]
        for place, fine, audio, seconds in self._fine_and_codec(fine_rows, timer, rows):
            k = wanted[place]
            yield (
                k,
                Generation(
                    Voice(semantic[k].tokens, coarse[k], fine),
                    audio,
                    max(0, len(batch[k].ids) - self.spec.max_text_ids),
                    timer.seconds | seconds,
                    semantic[k].statistics,
                    semantic[k].ended,
                ),
            )

    def _row(self, segment: Segment, settings: Settings) -> _Row:
        """A segment as a row of a batch with these settings. Raises TextError for a text without words."""
        settings = settings if segment.settings is None else segment.settings
        # Neither a segment without words nor one with given tokens reads a text.
        ids = [] if segment.text is None or segment.semantic is not None else self.encode(segment.text)
        negative = self.encode(settings.negative_text) if ids and settings.negative_text is not None else []
        return _Row(segment, settings, ids, negative, _row_randoms(segment.seeds))

    def _semantic(self, batch: Sequence[_Row], progress: StageProgress, max_active: int) -> list[SemanticResult]:
        """The semantic stage, for the rows without given tokens."""
        results = {
            k: SemanticResult(self._checked_semantic(row.segment.semantic))
            for k, row in enumerate(batch)
            if row.segment.semantic is not None
        }
        drawn = [k for k in range(len(batch)) if k not in results]
        if drawn:
            rows = [batch[k].semantic(self.spec.max_text_ids) for k in drawn]
            results |= zip(drawn, self.run_stage("semantic", rows, progress, max_active), strict=True)
        return [results[k] for k in range(len(batch))]

    def _fine_and_codec(
        self, rows: Sequence[FineRow], timer: _StageTimer, max_active: int
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray, dict[str, float]]]:
        """Fine stage and codec. Yields each row's index, codes (8, frames), samples, and seconds spent by stage."""
        stage = self.stages["fine"]
        # One window keeps a CPU busy, and a finished segment need not wait for others.
        max_active = 1 if stage.placement.device.type == "cpu" else min(max_active, _FINE_ROWS_AT_ONCE)
        with on_device(stage.model, stage.placement):
            finished = stream_fine(stage.model, stage.spec, rows, partial(timer.progress, "fine"), max_active)
            start = timer.now()
            for index, codes in finished:
                codec_start = timer.now()
                audio = self.decode([codes])[0]
                yield index, codes, audio, {"fine": codec_start - start, "codec": timer.now() - codec_start}
                start = timer.now()

    def _checked_semantic(self, semantic: np.ndarray) -> np.ndarray:
        """Given semantic tokens, unchanged. Raises VoiceError if they are another model's."""
        if semantic.size and semantic.max() >= self.spec.semantic_vocab_size:
            raise VoiceError(
                f"the given semantic tokens are another model's: {semantic.max()} is beyond the "
                f"{self.spec.semantic_vocab_size} of {self.name}; take a voice that was made with {self.name}"
            )
        return semantic

    def run_stage(
        self,
        name: str,
        rows: Sequence[Any],
        progress: StageProgress = lambda *_: None,
        max_active: int | None = None,
    ) -> list[Any]:
        """Run one stage alone and return its result for each row; up to `max_active` rows are active at a time.

        `rows` are of the stage's own type. An offloaded model is on its device for the length of the call.
        """
        stage = self.stages[name]
        steps_on_cpu = isinstance(stage.model, CausalGPT) and stage.placement.device.type == "cpu"
        report = with_present_threads(partial(progress, name))  # another batch may run in it
        with (
            on_device(stage.model, stage.placement),
            threads_for_steps(stage.model.config.width) if steps_on_cpu else contextlib.nullcontext(),
        ):
            generate = _STAGE_FUNCTIONS[name]
            try:
                return generate(stage.model, stage.spec, rows, report, max_active)
            except RuntimeError as error:
                if is_out_of_memory(error) and isinstance(stage.model, CausalGPT):
                    stage.model.kept_decoder = None  # so that a smaller batch finds room
                raise

    def encode(self, text: str) -> list[int]:
        """WordPiece ids of a text. Raises TextError if there are none, CheckpointError for ids that the model lacks."""
        ids = word_ids(self.tokenizer, text)
        if max(ids) + self.spec.text_encoding_offset >= self.stages["semantic"].model.config.input_vocab_size:
            raise CheckpointError(
                f"the tokenizer has more words than the semantic stage in {self.stages['semantic'].source} knows; "
                "take both from one model"
            )
        return ids

    def decode(self, codes: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Codes (8, frames) of several segments to float32 samples (frames * 320,) each."""
        with on_device(self.codec, self.codec_placement):
            return [self.codec.decode(c) for c in codes]

    def find_voice(
        self,
        voice: Voice | str | Path | Mapping[str, np.ndarray] | None,
        folders: Sequence[Path] = voice_folders(Options.output_dir),
        hub: Hub | None = None,
    ) -> Voice | None:
        """A voice that this model can speak with; `load_voice` describes the argument. Raises VoiceError.

        A published preset that does not suit the model is refused before it is downloaded.
        """
        if isinstance(voice, str | Path) and is_recording(str(voice)):
            raise VoiceError(f'{voice} is a recording and no voice file; clone its voice: Voice.clone("{voice}")')
        with python_words():
            if isinstance(voice, str | Path) and find_voice(str(voice), folders) is None:
                check_preset(str(voice), self.name, self.spec.semantic_vocab_size)
            found = load_voice(voice, hub or self.hub, folders, _log.warning)
            self.check_voice(found, f"the voice {voice}" if isinstance(voice, str | Path) else "the voice")
            return found

    def check_voice(self, voice: Voice | None, name: str = "the voice") -> None:
        """Raise VoiceError for the voice of another model; the message calls it `name`."""
        if voice is not None:
            check_compatible(voice, name, self.name, self.spec.semantic_vocab_size)
        self.check_history(History.of_voice(voice))

    def check_history(self, history: History) -> None:
        """Raise VoiceError for tokens beyond this model's vocabularies, as the voice of another model may have them."""
        check_tokens(history, self.token_limits, self.name)


def check_tokens(history: History, limits: Mapping[str, int], model: str) -> None:
    """Raise VoiceError for tokens of a history beyond the vocabularies (`Bark.token_limits`) of the model of this name."""
    for name, limit in limits.items():
        tokens = getattr(history, name)
        if tokens.size and tokens.max() >= limit:
            raise VoiceError(
                f"the voice was made for another model: its {name} token {tokens.max()} is beyond the {limit} that "
                f"{model} knows; voices that suit {model}: {suitable_voices(limits['semantic'])}"
            )


def word_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """WordPiece ids of a text. Raises TextError if there are none."""
    ids = tokenizer.encode(text)
    if not ids:
        raise TextError(f"the text {text[:200]!r} has nothing to say; give it words")
    return ids


def load_voice(
    voice: Voice | str | Path | Mapping[str, np.ndarray] | None,
    hub: Hub,
    folders: Sequence[Path] = voice_folders(Options.output_dir),
    on_mended: Callable[[str], object] = lambda _: None,
) -> Voice | None:
    """The voice given as a Voice, as the original's dict of arrays, as a path, or as a name of --list_speakers.

    Names are looked up in `folders`. `on_mended` is called with a sentence about a voice that is mended.
    Raises VoiceError for a voice that is missing or malformed or cannot be downloaded.
    """
    if voice is None or isinstance(voice, Voice):
        return voice
    if isinstance(voice, Mapping):
        return Voice.from_prompts(voice, "the history prompt", on_mended)
    path = find_voice(str(voice), folders)
    name = str(voice).removesuffix(".npz")
    return Voice.load(path, on_mended) if path else Voice.from_prompts(hub.preset(name), f"the voice {name}")


@dataclass(frozen=True, eq=False)
class _Row:
    """A segment in a batch: with the WordPiece ids of its texts, its settings, and the generator of each stage."""

    segment: Segment
    settings: Settings
    ids: Sequence[int]
    negative_ids: Sequence[int]
    randoms: Mapping[str, RowRandom]

    def semantic(self, max_ids: int) -> SemanticRow:
        """The row of the semantic stage, with texts of at most `max_ids` ids; without words it never stops early."""
        settings = self.settings.semantic
        if not self.ids:
            settings = dataclasses.replace(settings, allow_early_stop=False)
        history, random = self.segment.history.semantic, self.randoms["semantic"]
        negative_ids = self.negative_ids[:max_ids]
        return SemanticRow(self.ids[:max_ids], history, random, settings, negative_ids, self.segment.is_wanted)

    def coarse(self, semantic: np.ndarray) -> CoarseRow:
        """The row of the coarse stage for semantic tokens (n,)."""
        history, random = self.segment.history, self.randoms["coarse"]
        tokens = semantic, history.coarse_semantic, history.coarse
        return CoarseRow(*tokens, random, self.settings.coarse, self.segment.is_wanted)

    def fine(self, coarse: np.ndarray) -> FineRow:
        """The row of the fine stage for codes (2, frames)."""
        history, random = self.segment.history.fine, self.randoms["fine"]
        return FineRow(coarse, history, random, self.settings.fine, self.segment.is_wanted)


def _shortened(text: str | None) -> str:
    """The text in quotation marks, cut to its first characters if it is long."""
    return repr(text if text is None or len(text) <= _SHOWN_TEXT else f"{text[: _SHOWN_TEXT - 3]}...")


class _StageTimer:
    """Measures the seconds spent in each stage but for those in `progress`, divided evenly among the rows of a batch."""

    def __init__(self, rows: int, progress: StageProgress):
        self.rows, self._progress = rows, progress
        self.seconds: dict[str, float] = {}
        self._elsewhere = 0.0  # seconds

    @contextlib.contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = self.now()
        yield
        self.seconds[stage] = (self.now() - start) / self.rows

    def now(self) -> float:
        """The time in seconds, which stands still while `progress` is called."""
        return time.perf_counter() - self._elsewhere

    def progress(self, stage: str, tokens: int, tokens_total: int) -> None:
        """Call the batch's own `progress`."""
        start = time.perf_counter()
        self._progress(stage, tokens, tokens_total)
        self._elsewhere += time.perf_counter() - start


def _row_randoms(seeds: Seeds) -> dict[str, RowRandom]:
    """The generators of a segment by stage: one with the stage's own seed, or the segment's, continued from stage to stage."""
    segment = RowRandom(seeds.segment)
    stage_seeds = {stage: getattr(seeds, stage) for stage in STAGES}
    return {stage: segment if seed is None else RowRandom(seed) for stage, seed in stage_seeds.items()}
