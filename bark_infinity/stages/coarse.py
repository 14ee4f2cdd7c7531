"""Stage 2: semantic tokens to the first two codebooks, interleaved frame by frame, in sliding windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..model.decoding import make_decoder
from ..model.gpt import CausalGPT
from ..model.sampling import RowRandom, draw, draws_ahead, probabilities, race
from ..model.spec import BarkSpec
from .progress import Progress, no_progress
from .slots import Slots


@dataclass(frozen=True)
class CoarseSettings:
    """How coarse tokens are drawn; the flags of the same names say more."""

    temperature: float = 0.7
    top_k: int | None = None
    top_p: float | None = None
    max_coarse_history: int = 630  # interleaved tokens
    sliding_window_len: int = 60  # interleaved tokens
    alignment: int = -2  # interleaved tokens dropped from the end of the history, negative
    use_kv_caching: bool = True


@dataclass(frozen=True, eq=False)
class CoarseRow:
    """One segment: new semantic tokens (n,); history as semantic (k,) and coarse (2, m) of the same time; randomness."""

    semantic: np.ndarray
    history_semantic: np.ndarray
    history_coarse: np.ndarray
    random: RowRandom


class _Run:
    """A row under way: everything in the model's ids."""

    def __init__(self, row: CoarseRow, model: CausalGPT, spec: BarkSpec, settings: CoarseSettings):
        self.random = row.random
        self.steps = spec.coarse_steps(len(row.semantic))
        history, self.history = trim_history(row.history_semantic, row.history_coarse, spec, settings)
        self.semantic = np.concatenate([history, row.semantic])
        self.n_history = len(history)
        self.made: list[int] = []
        self._model, self._spec, self._settings = model, spec, settings
        self._starts = self._window()  # of what the decoder has read

    @property
    def done(self) -> bool:
        return len(self.made) == self.steps

    @property
    def next_token(self) -> int:
        return self.made[-1] if self.made else self._prefix_ids()[-1]

    def prefix(self, _: int) -> torch.Tensor:
        """256 semantic positions, the sign to begin, the coarse tokens so far but for the last, (T, C)."""
        self._starts = self._window()
        return self._model.token_embedding(torch.tensor(self._prefix_ids()[:-1], device=self._model.device))

    @property
    def until_window_ends(self) -> int:
        """Steps that nothing but the row's own tokens decides."""
        window = self._settings.sliding_window_len
        return min(self.steps - len(self.made), window - len(self.made) % window)

    def must_read_again(self) -> bool:
        """Whether a window begins here that is not the last one grown longer: both parts must begin where they did."""
        return len(self.made) % self._settings.sliding_window_len == 0 and self._window() != self._starts

    def noise(self, ahead: int, size: int, device: torch.device) -> torch.Tensor:
        """Exponential noise (V,) for the draw that many steps ahead; drawn a window at a time, whoever the neighbours are."""
        at = (len(self.made) + ahead) % self._settings.sliding_window_len
        if at == 0:
            self._noise = self.random.noise(self._settings.sliding_window_len, size, device)
        return self._noise[at]

    def _window(self) -> tuple[int, int]:
        """First semantic and first coarse token, history included, that the window at this step hears."""
        at = self.n_history + round(len(self.made) / self._spec.coarse_per_semantic)
        longest = self._settings.max_coarse_history
        return (
            max(0, at - self._spec.max_semantic_history(longest)),
            max(0, len(self.history) + len(self.made) - longest),
        )

    def _prefix_ids(self) -> list[int]:
        n, (semantic, coarse) = self._spec.max_coarse_semantic, self._window()
        heard = self.semantic[semantic : semantic + n].tolist()
        padding = [self._spec.coarse_semantic_pad_token] * (n - len(heard))
        return [*heard, *padding, self._spec.coarse_infer_token, *[*self.history.tolist(), *self.made][coarse:]]


@torch.inference_mode()
def generate_coarse(
    model: CausalGPT,
    spec: BarkSpec,
    rows: Sequence[CoarseRow],
    settings: CoarseSettings,
    progress: Progress = no_progress,
    at_once: int | None = None,
) -> list[np.ndarray]:
    """Codes (2, frames) of each row; no frames for a row without semantic tokens. `at_once` rows stand side by side."""
    runs = [_Run(row, model, spec, settings) for row in rows]
    total = sum(run.steps for run in runs)
    waiting = [run for run in runs if run.steps]
    places = min(at_once or len(waiting), len(waiting))
    longest = spec.max_coarse_semantic + settings.max_coarse_history + settings.sliding_window_len
    slots = Slots([make_decoder(model, places, longest, settings.use_kv_caching)], waiting, places)
    most = draws_ahead(model.device)
    done = 0
    while slots.at_work:
        ahead = min(most, *(run.until_window_ends for run in slots.at_work))
        made = _choose(model, spec, slots, settings, ahead, racing=most > 1)
        for run, tokens in zip(slots.at_work, made, strict=True):
            run.made += tokens
        done += len(made) * ahead
        progress(done, total)
        slots.leave([slot for slot, run in enumerate(slots.at_work) if run.done])
        slots.fill([slot for slot, run in enumerate(slots.at_work) if run.must_read_again()])
    return [_deinterleave(run.made, spec) for run in runs]


def trim_history(
    semantic: np.ndarray, coarse: np.ndarray, spec: BarkSpec, settings: CoarseSettings
) -> tuple[np.ndarray, np.ndarray]:
    """The ends of both histories that were spoken in the same time, as long as the window allows.

    (k,) semantic and (2, m) coarse in; (k',) semantic tokens and (m',) interleaved ids out. m' may be odd: the original
    cuts between the codebooks of a frame, and its tokens follow from that.
    """
    ids = _interleave(coarse, spec)
    n_semantic = min(
        spec.max_semantic_history(settings.max_coarse_history),
        len(semantic) - len(semantic) % 2,
        int(len(ids) / spec.coarse_per_semantic),
    )
    n_ids = round(n_semantic * spec.coarse_per_semantic)
    ids = ids[len(ids) - n_ids :]
    return semantic[len(semantic) - n_semantic :], ids[: max(0, n_ids + settings.alignment)]


def _choose(
    model: CausalGPT, spec: BarkSpec, slots: Slots[_Run], settings: CoarseSettings, ahead: int, racing: bool
) -> list[list[int]]:
    """The next `ahead` ids of each run, each of the codebook whose turn it is; the host reads them all at once.

    `racing`: drawn with noise from before, else by each row's generator.
    """
    first, n, size = spec.semantic_vocab_size, spec.n_coarse_codebooks, spec.codebook_size
    device, runs = model.device, slots.at_work
    turns = torch.tensor([[(len(run.made) + i) % n for run in runs] for i in range(ahead)], device=device)
    rows = torch.arange(len(runs), device=device)
    tokens, made = slots.next_tokens(device), []
    for i, turn in enumerate(turns):
        (hidden,) = slots.step(tokens)
        logits = model.logits(hidden, first, first + n * size).unflatten(-1, (n, size))[rows, turn]  # (B, V)
        probs = probabilities(logits, settings.temperature, settings.top_k, settings.top_p)
        if racing:
            codes = race(probs, torch.stack([run.noise(i, size, device) for run in runs]))
        else:
            codes = draw(probs, [run.random for run in runs]).to(device)
        tokens = codes + first + size * turn
        made.append(tokens)
    return torch.stack(made, dim=1).tolist()


def _interleave(coarse: np.ndarray, spec: BarkSpec) -> np.ndarray:
    """(2, m) codes -> (2m,) ids of the coarse vocabulary."""
    offsets = spec.semantic_vocab_size + spec.codebook_size * np.arange(len(coarse))
    return (coarse.T + offsets).reshape(-1)


def _deinterleave(ids: Sequence[int], spec: BarkSpec) -> np.ndarray:
    """(2m,) ids of the coarse vocabulary -> (2, m) codes."""
    offsets = spec.semantic_vocab_size + spec.codebook_size * np.arange(spec.n_coarse_codebooks)
    return (np.array(ids, np.int64).reshape(-1, spec.n_coarse_codebooks) - offsets).T
