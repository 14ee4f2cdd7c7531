"""The functions of Suno's package `bark`, with its arguments, defaults and array types.

They draw from torch's default generator: `torch.manual_seed(s)` before a call gives the original's tokens (CPU, float32).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from .bark import Bark
from .checkpoints.loading import ModelChoice, load_models
from .constants import MAX_COARSE_HISTORY, MAX_COARSE_INPUT, MIN_COARSE_HISTORY
from .errors import CheckpointError, UsageError
from .model.sampling import RowRandom
from .options.python_words import python_words
from .options.resolve import resolve
from .options.table import Options
from .stages.coarse import CoarseRow, CoarseSettings
from .stages.fine import FineRow, FineSettings
from .stages.semantic import SemanticRow, SemanticSettings
from .voices.history import History
from .voices.voice import Voice

_log = logging.getLogger(__name__)

HistoryPrompt = str | Path | Mapping[str, np.ndarray] | Voice | None


class _Session:
    """The model that these functions share, as the original's do: loaded on first use, or by `preload_models`."""

    def __init__(self) -> None:
        self._bark: Bark | None = None
        self._choice: ModelChoice | None = None

    def load(self, options: Options) -> None:
        """Load the model, unless this one is loaded already.

        Nothing is drawn from torch's default generator, so that the caller's seed gives the original's tokens.
        """
        choice = ModelChoice.from_options(resolve(options))
        if choice != self._choice or choice.force_reload:
            self._bark = None  # frees its memory before the new one is loaded
            with python_words():
                self._bark, self._choice = Bark(load_models(choice)), choice

    @property
    def bark(self) -> Bark:
        if self._bark is None:
            try:
                self.load(Options())
            except CheckpointError as error:
                raise CheckpointError(f"{error}; preload_models has the argument model") from error.__cause__
        assert self._bark is not None
        return self._bark


_session = _Session()


def preload_models(
    text_use_gpu: bool = True,
    text_use_small: bool = False,
    coarse_use_gpu: bool = True,
    coarse_use_small: bool = False,
    fine_use_gpu: bool = True,
    fine_use_small: bool = False,
    codec_use_gpu: bool = True,
    force_reload: bool = False,
    *,
    model: str = "large",
    device: str = "auto",
    dtype: str = "auto",
) -> None:
    """Load the models that the other functions use; `model`, `device` and `dtype` as on the command line."""
    _session.load(
        Options(
            text_use_gpu=text_use_gpu,
            text_use_small=text_use_small,
            coarse_use_gpu=coarse_use_gpu,
            coarse_use_small=coarse_use_small,
            fine_use_gpu=fine_use_gpu,
            fine_use_small=fine_use_small,
            codec_use_gpu=codec_use_gpu,
            force_reload=force_reload,
            model=model,
            device=device,
            dtype=dtype,
        )
    )


def generate_audio(
    text: str,
    history_prompt: HistoryPrompt = None,
    text_temp: float = 0.7,
    waveform_temp: float = 0.7,
    silent: bool = False,
    output_full: bool = False,
) -> np.ndarray | tuple[dict[str, np.ndarray], np.ndarray]:
    """Text to float32 samples at 24 kHz; with `output_full` (tokens, samples), the tokens being a history prompt."""
    semantic = text_to_semantic(text, history_prompt, text_temp, silent)
    return semantic_to_waveform(semantic, history_prompt, waveform_temp, silent, output_full)


def text_to_semantic(
    text: str, history_prompt: HistoryPrompt = None, temp: float = 0.7, silent: bool = False
) -> np.ndarray:
    """Text to semantic tokens (n,) int64."""
    return generate_text_semantic(text, history_prompt, temp, silent=silent, use_kv_caching=True)


def semantic_to_waveform(
    semantic_tokens: np.ndarray,
    history_prompt: HistoryPrompt = None,
    temp: float = 0.7,
    silent: bool = False,
    output_full: bool = False,
) -> np.ndarray | tuple[dict[str, np.ndarray], np.ndarray]:
    """Semantic tokens to float32 samples at 24 kHz; with `output_full` (tokens, samples)."""
    coarse = generate_coarse(semantic_tokens, history_prompt, temp, silent=silent, use_kv_caching=True)
    fine = generate_fine(coarse, history_prompt, temp=0.5)
    audio = codec_decode(fine)
    if not output_full:
        return audio
    return {"semantic_prompt": semantic_tokens, "coarse_prompt": coarse, "fine_prompt": fine}, audio


def save_as_prompt(filepath: str | Path, full_generation: Mapping[str, np.ndarray]) -> None:
    """Write the tokens that `output_full` returns as a voice file.

    Raises VoiceError for unusable tokens, UsageError for a name without .npz, OutputError.
    """
    if not str(filepath).endswith(".npz"):
        raise UsageError(f"{filepath} is no name for a voice file; let it end in .npz")
    Voice.from_prompts(full_generation, "the generation").save(filepath)


def generate_text_semantic(
    text: str,
    history_prompt: HistoryPrompt = None,
    temp: float | None = 0.7,
    top_k: int | None = None,
    top_p: float | None = None,
    silent: bool = False,
    min_eos_p: float | None = 0.2,
    max_gen_duration_s: float | None = None,
    allow_early_stop: bool = True,
    use_kv_caching: bool = False,
) -> np.ndarray:
    """Stage 1: semantic tokens (n,) int64. Raises TextError for an empty text."""
    bark = _session.bark
    ids = bark.encode(text)
    if len(ids) > bark.spec.max_text_ids:
        _log.warning("the text is too long: its last %d tokens are not spoken", len(ids) - bark.spec.max_text_ids)
    history = _history(history_prompt)
    settings = SemanticSettings(
        temp or 0, top_k, top_p, min_eos_p, max_gen_duration_s, allow_early_stop, use_kv_caching
    )
    row = SemanticRow(ids[: bark.spec.max_text_ids], history.semantic, RowRandom(), settings)
    with _bar(silent) as progress:
        return bark.run_stage("semantic", [row], progress)[0].tokens


def generate_coarse(
    x_semantic: np.ndarray,
    history_prompt: HistoryPrompt = None,
    temp: float | None = 0.7,
    top_k: int | None = None,
    top_p: float | None = None,
    silent: bool = False,
    max_coarse_history: int = MAX_COARSE_HISTORY,
    sliding_window_len: int = 60,
    use_kv_caching: bool = False,
) -> np.ndarray:
    """Stage 2: codes (2, frames) int64 of semantic tokens (n,). Raises UsageError for tokens or windows out of range."""
    if not MIN_COARSE_HISTORY <= max_coarse_history <= MAX_COARSE_HISTORY:
        raise UsageError(
            f"max_coarse_history must be {MIN_COARSE_HISTORY} to {MAX_COARSE_HISTORY}, not {max_coarse_history}"
        )
    if sliding_window_len < 1 or max_coarse_history + sliding_window_len > MAX_COARSE_INPUT:
        raise UsageError(f"max_coarse_history and sliding_window_len must be at most {MAX_COARSE_INPUT} together")
    spec = _session.bark.stages["coarse"].spec
    semantic = _checked(x_semantic, "x_semantic", 1, spec.semantic_vocab_size)
    history = _history(history_prompt)
    settings = CoarseSettings(
        temp or 0, top_k, top_p, max_coarse_history, sliding_window_len, use_kv_caching=use_kv_caching
    )
    row = CoarseRow(semantic, history.coarse_semantic, history.coarse, RowRandom(), settings)
    with _bar(silent) as progress:
        return _session.bark.run_stage("coarse", [row], progress)[0]


def generate_fine(
    x_coarse_gen: np.ndarray, history_prompt: HistoryPrompt = None, temp: float | None = 0.5, silent: bool = True
) -> np.ndarray:
    """Stage 3: codes (8, frames) int32 from those of the first 1 to 7 codebooks, usually 2.

    Raises UsageError for codes of another shape or out of range.
    """
    spec = _session.bark.stages["fine"].spec
    coarse = _checked(x_coarse_gen, "x_coarse_gen", 2, spec.codebook_size)
    if len(coarse) >= spec.n_fine_codebooks:
        raise UsageError(f"x_coarse_gen has {len(coarse)} codebooks; the fine stage goes on from 1 to 7")
    row = FineRow(coarse, _history(history_prompt).fine, RowRandom(), FineSettings(temp))
    with _bar(silent) as progress:
        return _session.bark.run_stage("fine", [row], progress)[0].astype(np.int32)


def codec_decode(fine_tokens: np.ndarray) -> np.ndarray:
    """Codes (8, frames) to float32 samples (frames * 320,) at 24 kHz. Raises UsageError for codes out of range."""
    codes = _checked(fine_tokens, "fine_tokens", 2, _session.bark.stages["fine"].spec.codebook_size)
    return _session.bark.decode([codes])[0]


def _history(history_prompt: HistoryPrompt) -> History:
    return History.of_voice(_session.bark.find_voice(history_prompt))


def _checked(tokens: np.ndarray, name: str, dimensions: int, limit: int) -> np.ndarray:
    """The tokens as int64. Raises UsageError, naming the argument, if they are empty or of another shape or range."""
    tokens = np.asarray(tokens)
    whole = tokens.dtype.kind in "iu" and tokens.ndim == dimensions and tokens.size
    if not whole or tokens.min() < 0 or tokens.max() >= limit:
        raise UsageError(f"{name} must be a {dimensions}-dimensional array of tokens 0..{limit - 1}, and not empty")
    return tokens.astype(np.int64)


@contextlib.contextmanager
def _bar(silent: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on stderr for one stage, unless `silent`."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=silent) as bar:
        task = bar.add_task("")
        yield lambda stage, done, total: bar.update(task, description=stage, completed=done, total=total)
