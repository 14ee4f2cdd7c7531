"""Semantic tokens of recorded speech: HuBERT's features, and a small network trained to predict Bark's token for each.

Shapes: n tokens, D HuBERT's width. Bark's own way from sound to tokens was never published; this one approximates it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

SAMPLE_RATE = 16_000  # of HuBERT's input, in Hz
LAYER = 9  # HuBERT's layer, counted from 1, that the published quantizers were trained on (their `output_layer`)
HOP = 320  # samples for each token


class Quantizer(nn.Module):
    """Features (1, n, D) -> tokens (1, n). `middle` is the width of a layer that only the larger quantizers have."""

    def __init__(self, width: int, hidden: int, middle: int | None, n_tokens: int):
        super().__init__()
        self.lstm = nn.LSTM(width, hidden, num_layers=2, batch_first=True)
        self.intermediate = nn.Linear(hidden, middle) if middle else nn.Identity()
        self.fc = nn.Linear(middle or hidden, n_tokens)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        hidden, _ = self.lstm(features)
        return self.fc(self.intermediate(hidden)).argmax(-1)


class SemanticEncoder:
    """Samples at 16 kHz -> semantic tokens (n,), 50 a second. `hubert` is transformers' HubertModel, cut behind LAYER."""

    def __init__(self, hubert: nn.Module, quantizer: Quantizer):
        self._hubert, self._quantizer = hubert, quantizer

    @torch.inference_mode()
    def encode(self, samples: np.ndarray) -> np.ndarray:
        """Samples are not normalised, because HuBERT base and the quantizers were trained on speech of any level."""
        device = next(self._quantizer.parameters()).device
        features = self._hubert(torch.from_numpy(samples).to(device)[None]).last_hidden_state  # (1, n, D)
        return self._quantizer(features)[0].cpu().numpy()
