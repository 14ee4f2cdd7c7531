"""Rows of a batch for each stage, and the tokens of `transformers` for the same inputs."""

from __future__ import annotations

import numpy as np
import torch

from bark_infinity.model.sampling import RowRandom
from bark_infinity.stages.coarse import CoarseRow, CoarseSettings
from bark_infinity.stages.fine import FineRow, FineSettings
from bark_infinity.stages.semantic import SemanticRow, SemanticSettings
from bark_infinity.voices.history import History


def semantic_row(bark, text, voice=None, seed=None, negative=None, **settings) -> SemanticRow:
    """`negative`: its negative text."""
    unwanted = () if negative is None else bark.encode(negative)
    history = History.of_voice(voice).semantic
    return SemanticRow(bark.encode(text)[:256], history, RowRandom(seed), SemanticSettings(**settings), unwanted)


def coarse_row(semantic, voice=None, seed=None, **settings) -> CoarseRow:
    history = History.of_voice(voice)
    return CoarseRow(semantic, history.coarse_semantic, history.coarse, RowRandom(seed), CoarseSettings(**settings))


def fine_row(coarse, voice=None, seed=None, temperature: float | None = 0.5) -> FineRow:
    return FineRow(coarse, History.of_voice(voice).fine, RowRandom(seed), FineSettings(temperature))


def prompt_of(voice) -> dict[str, torch.Tensor] | None:
    """A voice in the form that transformers accepts."""
    return None if voice is None else {name: torch.from_numpy(a.copy()).long() for name, a in voice.prompts().items()}


def random_semantic(n: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 10_000, n)


def oracle_semantic(oracle, ids, voice) -> np.ndarray:
    g = oracle.generation_config.semantic_config
    padded = torch.zeros(1, 256, dtype=torch.long)
    padded[0, : len(ids)] = torch.tensor(ids)
    mask = (torch.arange(256) < len(ids)).long()[None]
    out = oracle.semantic.generate(
        padded, semantic_generation_config=g, history_prompt=prompt_of(voice), attention_mask=mask
    )
    return np.array([t for t in out[0].tolist() if t != g.eos_token_id])
