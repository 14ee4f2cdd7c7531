"""EnCodec: codes to waveform, and back for cloning. Each way is one half of transformers' EncodecModel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from ..errors import CheckpointError
from .docstrings import transformers_without_docstrings

_BANDWIDTH = 6.0  # kbit/s: 8 codebooks of 10 bits, 75 times a second
_MAX_PARTS = 100  # layers, ratios or codebooks; the published codec has 32 codebooks
_MAX_BYTES = 2_000_000_000  # of all weights; the published codec's are 93 MB
_TRAINING_ONLY = ("inited", "cluster_size", "embed_avg")  # buffers of the codebooks that decoding never reads


@dataclass(frozen=True)
class CodecWeights:
    """The codec as found: EncodecConfig's fields; `read` gives the tensors under EncodecModel's names, when it is built."""

    config: Mapping[str, object]
    read: Callable[[], Mapping[str, torch.Tensor]]


class Codec:
    """Codes (8, frames) -> float32 samples (frames * 320,). Always in float32."""

    def __init__(self, weights: CodecWeights, device: torch.device, source: str):
        """Raises CheckpointError, naming `source`, where weights and configuration do not fit."""
        self.model = _load_without("encoder", weights, source).to(device)

    def to(self, device: torch.device) -> None:
        self.model.to(device)

    @torch.inference_mode()
    def decode(self, codes: np.ndarray) -> np.ndarray:
        """One segment at a time: the decoder's LSTM would carry one row's padding into its sound."""
        if not codes.shape[1]:
            return np.zeros(0, np.float32)
        device = next(self.model.decoder.parameters()).device
        latents = self.model.quantizer.decode(torch.from_numpy(codes.copy()).to(device)[:, None])  # (1, width, frames)
        return self.model.decoder(latents)[0, 0].cpu().numpy()


class Encoder:
    """Samples at 24 kHz (n,), at least one -> codes (8, ceil(n / 320)). Always in float32."""

    def __init__(self, weights: CodecWeights, device: torch.device, source: str):
        """Raises CheckpointError, naming `source`, where weights and configuration do not fit, or hold no encoder."""
        self.model = _load_without("decoder", weights, source).to(device)

    @torch.inference_mode()
    def encode(self, samples: np.ndarray) -> np.ndarray:
        wave = torch.from_numpy(samples).to(next(self.model.encoder.parameters()).device)[None, None]  # (1, 1, n)
        codes = self.model.quantizer.encode(self.model.encoder(wave), _BANDWIDTH)  # (8, 1, frames)
        return codes[:, 0].cpu().numpy()


def _load_without(half: str, weights: CodecWeights, source: str):
    """EncodecModel with one half left out, in float32. Raises CheckpointError."""
    # The slowest import of a run (2 to 4 s), so bark.py builds the codec in a thread beside the first stage.
    with transformers_without_docstrings():
        from transformers.models.encodec.configuration_encodec import EncodecConfig
        from transformers.models.encodec.modeling_encodec import EncodecModel

    try:
        with _NoDraws():
            config = EncodecConfig.from_dict(dict(weights.config))
            _check_size(config, EncodecModel)
            model = EncodecModel(config)
    except Exception as error:  # the library checks values in its own ways
        raise CheckpointError(f"the codec's configuration in {source} is no EnCodec's: {_line(error)}") from None
    delattr(model, half)
    wanted = {name for name in model.state_dict() if not name.endswith(_TRAINING_ONLY)}
    found = {name: tensor for name, tensor in modern_names(weights.read()).items() if name in wanted}
    if missing := sorted(wanted - set(found)):
        raise CheckpointError(
            f"the codec in {source} lacks {len(missing)} arrays, {missing[0]} for one; copy the whole checkpoint"
        )
    try:
        model.load_state_dict({name: tensor.float() for name, tensor in found.items()}, strict=False)
    except RuntimeError as error:
        raise CheckpointError(f"the codec in {source} does not fit its configuration: {_line(error)}") from None
    return model.eval()


def _check_size(config, model: type) -> None:
    """Raise ValueError for a configuration that would take hours to build, or more memory than there is."""
    counts = config.num_residual_layers, config.num_lstm_layers, len(config.upsampling_ratios), config.num_quantizers
    if max(counts) > _MAX_PARTS:
        raise ValueError(f"it has {max(counts)} parts of a kind")
    with torch.device("meta"):
        size = sum(tensor.nbytes for tensor in model(config).state_dict().values())
    if size > _MAX_BYTES:
        raise ValueError(f"it takes {size / 1e9:,.0f} GB")


class _NoDraws(TorchFunctionMode):
    """Leaves weights undrawn, in this thread alone: the main thread may be drawing tokens from the same generator."""

    def __torch_function__(self, function, _, args=(), kwargs=None):
        if getattr(function, "__name__", "") in ("uniform_", "normal_", "kaiming_uniform_", "kaiming_normal_"):
            return args[0] if args else kwargs["tensor"]
        return function(*args, **(kwargs or {}))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def modern_names(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weight norm's old names, `weight_g` and `weight_v`, as today's torch calls them."""
    modern = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
    split = ((name.rpartition("."), tensor) for name, tensor in state.items())
    return {f"{module}{dot}{modern.get(leaf, leaf)}": tensor for (module, dot, leaf), tensor in split}
