"""Special tokens, vocabularies, rates and windows of a checkpoint. The defaults are the published values."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .. import constants as c


@dataclass(frozen=True)
class BarkSpec:
    """Numbers that the stages need beside the weights; names follow transformers' generation_config.json."""

    semantic_vocab_size: int = c.SEMANTIC_VOCAB_SIZE
    semantic_rate_hz: float = c.SEMANTIC_RATE_HZ
    semantic_pad_token: int = 10_000  # pads the history, and its logit is end-of-speech
    semantic_infer_token: int = 129_599
    text_encoding_offset: int = 10_048
    text_pad_token: int = 129_595
    max_text_ids: int = c.MAX_TEXT_IDS  # also the length of the semantic history beside them
    max_semantic_tokens: int = c.MAX_SEMANTIC_TOKENS
    coarse_semantic_pad_token: int = 12_048
    coarse_infer_token: int = 12_050
    coarse_rate_hz: float = c.FRAME_RATE_HZ
    n_coarse_codebooks: int = c.N_COARSE_CODEBOOKS
    max_coarse_semantic: int = 256  # semantic positions of a coarse window
    n_fine_codebooks: int = c.N_FINE_CODEBOOKS
    fine_history: int = c.FINE_HISTORY_WINDOW  # frames; also the hop between fine windows
    fine_window: int = 1024  # frames
    codebook_size: int = c.CODEBOOK_SIZE
    sample_rate: int = c.SAMPLE_RATE

    @property
    def coarse_per_semantic(self) -> float:
        """Interleaved coarse tokens for one semantic token: 75 / 49.9 * 2 = 3.006 in the published models."""
        return self.coarse_rate_hz / self.semantic_rate_hz * self.n_coarse_codebooks

    def coarse_steps(self, n_semantic: int) -> int:
        """Interleaved coarse tokens that `n_semantic` semantic tokens call for: whole frames, rounded down."""
        n = self.n_coarse_codebooks
        return round(math.floor(n_semantic * self.coarse_per_semantic / n) * n)

    def max_semantic_history(self, max_coarse_history: int) -> int:
        """Semantic tokens spoken in the same time as `max_coarse_history` interleaved coarse tokens (630 -> 209)."""
        return math.floor(max_coarse_history / self.coarse_per_semantic)

    def semantic_of_frames(self, frames: int) -> int:
        """Semantic tokens spoken in the same time as `frames` acoustic frames."""
        return round(frames * self.n_coarse_codebooks / self.coarse_per_semantic)
