"""EnCodec: the decoder (codes to samples) and, for cloning voices, the encoder. Each class holds one half of the codec."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import CheckpointError
from .encodec import EncodecConfig, EncodecModel, fold_weight_norm

_BANDWIDTH = 6.0  # kbit/s: 8 codebooks of 10 bits, 75 times a second
_MAX_PARTS = 100  # layers, ratios or codebooks; the published codec has 32 codebooks
_MAX_BYTES = 2_000_000_000  # of all weights; the published codec's are 93 MB


@dataclass(frozen=True)
class CodecWeights:
    """The codec's configuration (EncodecConfig's fields), and `read`, which reads the tensors under EncodecModel's names."""

    config: Mapping[str, object]
    read: Callable[[], Mapping[str, torch.Tensor]]


class Codec:
    """Codes (8, frames) -> float32 samples (frames * 320,). Always in float32."""

    def __init__(self, weights: CodecWeights, device: torch.device, source: str):
        """Raises CheckpointError, naming `source`, where weights and configuration do not fit."""
        self.model = _load(weights, source, decodes=True).to(device)

    def to(self, device: torch.device) -> None:
        self.model.to(device)

    @torch.inference_mode()
    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Codes (8, frames) of one segment -> samples. Batches would need padding, which the LSTM carries into the audio."""
        if not codes.shape[1]:
            return np.zeros(0, np.float32)
        device = next(self.model.decoder.parameters()).device
        latents = self.model.quantizer.decode(torch.from_numpy(codes.copy()).to(device)[:, None])  # (1, width, frames)
        return self.model.decoder(latents)[0, 0].cpu().numpy()


class Encoder:
    """Samples at 24 kHz (n,), at least one -> codes (8, ceil(n / 320)). Always in float32."""

    def __init__(self, weights: CodecWeights, device: torch.device, source: str):
        """Raises CheckpointError, naming `source`, where weights and configuration do not fit, or hold no encoder."""
        self.model = _load(weights, source, decodes=False).to(device)

    @torch.inference_mode()
    def encode(self, samples: np.ndarray) -> np.ndarray:
        wave = torch.from_numpy(samples).to(next(self.model.encoder.parameters()).device)[None, None]  # (1, 1, n)
        codes = self.model.quantizer.encode(self.model.encoder(wave), _BANDWIDTH)  # (8, 1, frames)
        return codes[:, 0].cpu().numpy()


def _load(weights: CodecWeights, source: str, decodes: bool) -> EncodecModel:
    """One half of the codec with its codebooks, in float32. Raises CheckpointError."""
    try:
        config = EncodecConfig.from_dict(weights.config)
        _check_size(config)
        with torch.device("meta"):  # so that no random weights are drawn while another thread draws tokens
            model = EncodecModel(config, decodes)
        if (size := sum(tensor.nbytes for tensor in model.state_dict().values())) > _MAX_BYTES:
            raise ValueError(f"it takes {size / 1e9:,.0f} GB")
    except Exception as error:  # torch raises many types for unusable values
        raise CheckpointError(f"the codec's configuration in {source} is no EnCodec's: {_line(error)}") from None
    try:
        tensors = fold_weight_norm(weights.read())
        if missing := sorted(set(model.state_dict()) - set(tensors)):
            raise CheckpointError(
                f"the codec in {source} lacks {len(missing)} arrays, {missing[0]} for one; copy the whole checkpoint"
            )
        copies = {name: tensors[name].to(torch.float32, copy=True) for name in model.state_dict()}
        model.load_state_dict(copies, assign=True)
    except RuntimeError as error:
        raise CheckpointError(f"the codec in {source} does not fit its configuration: {_line(error)}") from None
    return model.eval()


def _check_size(config: EncodecConfig) -> None:
    """Raise ValueError for a configuration that would take hours to build."""
    counts = config.num_residual_layers, config.num_lstm_layers, len(config.upsampling_ratios), config.num_quantizers
    if max(counts) > _MAX_PARTS or not config.num_quantizers:
        raise ValueError(f"it has {max(counts)} parts of a kind and {config.num_quantizers} codebooks")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
