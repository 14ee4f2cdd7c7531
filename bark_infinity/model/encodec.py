"""The networks of EnCodec (Défossez et al. 2022, "High Fidelity Neural Audio Compression"), under transformers' names.

Convolutions have plain weights: `fold_weight_norm` makes them of a magnitude and a direction in the file.

Shapes: b batch, t samples, f frames (t / 320 in the published codec), k codebooks.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast, get_type_hints

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_MAGNITUDE, _DIRECTION = "parametrizations.weight.original0", "parametrizations.weight.original1"  # of weight norm


@dataclass(frozen=True)
class EncodecConfig:
    """What of `config.json` shapes the networks; the defaults are those of facebook/encodec_24khz."""

    sampling_rate: int = 24_000
    target_bandwidths: Sequence[float] = (1.5, 3.0, 6.0, 12.0, 24.0)  # kbit/s
    audio_channels: int = 1
    hidden_size: int = 128
    num_filters: int = 32
    num_residual_layers: int = 1
    upsampling_ratios: Sequence[int] = (8, 5, 4, 2)
    norm_type: str = "weight_norm"
    kernel_size: int = 7
    last_kernel_size: int = 7
    residual_kernel_size: int = 3
    dilation_growth_rate: int = 2
    use_causal_conv: bool = True
    pad_mode: str = "reflect"
    compress: int = 2
    num_lstm_layers: int = 2
    trim_right_ratio: float = 1.0
    codebook_size: int = 1024
    codebook_dim: int | None = None
    use_conv_shortcut: bool = True

    @classmethod
    def from_dict(cls, config: Mapping[str, object]) -> EncodecConfig:
        """The known fields of a configuration, null ones left out. Raises ValueError for values of another kind."""
        kinds = get_type_hints(cls)
        fields = {field.name for field in dataclasses.fields(cls)}
        given: dict[str, Any] = {name: value for name, value in config.items() if name in fields and value is not None}
        for name, value in given.items():
            _check_kind(name, value, kinds[name])
        if (norm := given.get("norm_type", "weight_norm")) not in ("weight_norm", "time_group_norm"):
            raise ValueError(f"norm_type {norm!r} is unknown")
        parsed = cls(**given)
        if not (parsed.use_causal_conv or parsed.trim_right_ratio == 1):
            raise ValueError("trim_right_ratio is for causal convolutions")
        return parsed

    @property
    def frame_rate(self) -> int:
        """Frames per second."""
        return math.ceil(self.sampling_rate / math.prod(self.upsampling_ratios))

    @property
    def num_quantizers(self) -> int:
        """Codebooks that the largest bandwidth needs."""
        bits = math.ceil(math.log2(self.codebook_size))
        return int(1000 * self.target_bandwidths[-1] // (self.frame_rate * bits))


def _check_kind(name: str, value: object, kind: object) -> None:
    if kind == Sequence[int] or kind == Sequence[float]:
        numbers = value if isinstance(value, list | tuple) else ()
        right = bool(numbers) and all(type(n) is int or (kind == Sequence[float] and type(n) is float) for n in numbers)
        right = right and all(0 < n < math.inf for n in numbers)
    elif kind is float:
        right = isinstance(value, int | float) and type(value) is not bool and 0 <= value <= 1
    elif kind in (str, bool):
        right = type(value) is kind
    else:
        right = isinstance(value, int) and type(value) is not bool and value > 0
    if not right:
        raise ValueError(f"{name} cannot be {str(value)[:100]!r}")


class EncodecModel(nn.Module):
    """One half of the codec and its codebooks: the encoder, or with `decodes` the decoder. In evaluation alone."""

    def __init__(self, config: EncodecConfig, decodes: bool):
        super().__init__()
        if decodes:
            self.decoder = _Decoder(config)
        else:
            self.encoder = _Encoder(config)
        self.quantizer = _Quantizer(config)


class _WithoutInitialWeights:
    """Of layers whose weights are loaded: drawing random ones on `meta` would import seconds of torch."""

    def reset_parameters(self) -> None:
        pass


class _Conv1d(_WithoutInitialWeights, nn.Conv1d):
    pass


class _ConvTranspose1d(_WithoutInitialWeights, nn.ConvTranspose1d):
    pass


class _RecurrentLayers(_WithoutInitialWeights, nn.LSTM):
    pass


class _Layers(nn.Module):
    """Layers one after the other, named `layers.0`, `layers.1`, ..."""

    def __init__(self, layers: Sequence[nn.Module]):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class _Encoder(_Layers):
    """Samples (b, 1, t) -> latents (b, hidden_size, f)."""

    def __init__(self, config: EncodecConfig):
        width = config.num_filters
        layers: list[nn.Module] = [_Conv(config, config.audio_channels, width, config.kernel_size)]
        for ratio in reversed(config.upsampling_ratios):
            layers += _residuals(config, width)
            layers += [nn.ELU(), _Conv(config, width, 2 * width, 2 * ratio, ratio)]
            width *= 2
        layers += [_LSTM(config, width), nn.ELU(), _Conv(config, width, config.hidden_size, config.last_kernel_size)]
        super().__init__(layers)


class _Decoder(_Layers):
    """Latents (b, hidden_size, f) -> samples (b, 1, t)."""

    def __init__(self, config: EncodecConfig):
        width = config.num_filters * 2 ** len(config.upsampling_ratios)
        layers: list[nn.Module] = [_Conv(config, config.hidden_size, width, config.kernel_size), _LSTM(config, width)]
        for ratio in config.upsampling_ratios:
            layers += [nn.ELU(), _TransposedConv(config, width, width // 2, ratio)]
            width //= 2
            layers += _residuals(config, width)
        layers += [nn.ELU(), _Conv(config, width, config.audio_channels, config.last_kernel_size)]
        super().__init__(layers)


def _residuals(config: EncodecConfig, width: int) -> list[nn.Module]:
    return [_Residual(config, width, config.dilation_growth_rate**n) for n in range(config.num_residual_layers)]


class _Conv(nn.Module):
    """A convolution padded at its beginning, or at both ends where it is not causal, so that f = ceil(t / stride)."""

    def __init__(
        self, config: EncodecConfig, inputs: int, outputs: int, kernel_size: int, stride: int = 1, dilation: int = 1
    ):
        super().__init__()
        self.conv = _Conv1d(inputs, outputs, kernel_size, stride, dilation=dilation)
        self.norm = _norm_of_outputs(config, outputs)
        self._causal, self._mode, self._stride = config.use_causal_conv, config.pad_mode, stride
        self._padding = (kernel_size - 1) * dilation + 1 - stride

    def forward(self, x: Tensor) -> Tensor:
        extra = -x.shape[-1] % self._stride
        right = 0 if self._causal else self._padding // 2
        return self.norm(self.conv(self._padded(x, self._padding - right, right + extra)))

    def _padded(self, x: Tensor, left: int, right: int) -> Tensor:
        """Reflecting needs more samples than it adds: short inputs are first extended by zeros, which are cut off again."""
        if self._mode != "reflect":
            return F.pad(x, (left, right), self._mode)
        short = max(0, max(left, right) + 1 - x.shape[-1])
        padded = F.pad(F.pad(x, (0, short)), (left, right), "reflect")
        return padded[..., : padded.shape[-1] - short]


class _TransposedConv(nn.Module):
    """f frames -> f * ratio; what the kernel adds beyond that is cut off."""

    def __init__(self, config: EncodecConfig, inputs: int, outputs: int, ratio: int):
        super().__init__()
        self.conv = _ConvTranspose1d(inputs, outputs, 2 * ratio, ratio)
        self.norm = _norm_of_outputs(config, outputs)
        causal_cut = math.ceil(ratio * config.trim_right_ratio)
        self._right = causal_cut if config.use_causal_conv else ratio // 2
        self._left = ratio - self._right

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        return x[..., self._left : x.shape[-1] - self._right]


def _norm_of_outputs(config: EncodecConfig, channels: int) -> nn.Module:
    """What norms a convolution's outputs; with weight norm its weights are normed instead, when they are loaded."""
    return nn.Identity() if config.norm_type == "weight_norm" else nn.GroupNorm(1, channels)


class _LSTM(nn.Module):
    """(b, width, f) -> (b, width, f), added to what comes in."""

    def __init__(self, config: EncodecConfig, width: int):
        super().__init__()
        self.lstm = _RecurrentLayers(width, width, config.num_lstm_layers)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(2, 0, 1)  # (f, b, width)
        return (self.lstm(x)[0] + x).permute(1, 2, 0)


class _Residual(nn.Module):
    def __init__(self, config: EncodecConfig, width: int, dilation: int):
        super().__init__()
        hidden = width // config.compress
        dilated = _Conv(config, width, hidden, config.residual_kernel_size, dilation=dilation)
        self.block = nn.Sequential(nn.ELU(), dilated, nn.ELU(), _Conv(config, hidden, width, 1))
        self.shortcut = _Conv(config, width, width, 1) if config.use_conv_shortcut else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.block(x)


class _Quantizer(nn.Module):
    """Residual vector quantization: each codebook codes the residual of those before it."""

    def __init__(self, config: EncodecConfig):
        super().__init__()
        self._bits_per_second = math.log2(config.codebook_size) * config.frame_rate  # of one codebook
        self.layers = nn.ModuleList(_Codebook(config) for _ in range(config.num_quantizers))

    def encode(self, latents: Tensor, bandwidth: float) -> Tensor:
        """Latents (b, width, f) -> codes (k, b, f), as many codebooks as `bandwidth` kbit/s hold."""
        codes, rest = [], latents
        for book in self._codebooks()[: max(1, math.floor(1000 * bandwidth / self._bits_per_second))]:
            codes.append(book.encode(rest))
            rest = rest - book.decode(codes[-1])
        return torch.stack(codes)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (k, b, f) -> latents (b, width, f)."""
        latents = torch.full((), 0.0, device=codes.device)
        for book, ids in zip(self._codebooks(), codes, strict=False):
            latents = latents + book.decode(ids)
        return latents

    def _codebooks(self) -> list[_Codebook]:
        return [cast(_Codebook, layer) for layer in self.layers]


class _Table(nn.Module):
    embed: Tensor  # (entries, width)


class _Codebook(nn.Module):
    def __init__(self, config: EncodecConfig):
        super().__init__()
        self.codebook = _Table()
        self.codebook.register_buffer(
            "embed", torch.zeros(config.codebook_size, config.codebook_dim or config.hidden_size)
        )

    def encode(self, latents: Tensor) -> Tensor:
        """The nearest entry to each frame: (b, width, f) -> (b, f)."""
        frames = latents.permute(0, 2, 1)
        rows, table = frames.reshape(-1, frames.shape[-1]), self.codebook.embed.t()
        distances = rows.pow(2).sum(1, keepdim=True) - 2 * rows @ table + table.pow(2).sum(0, keepdim=True)
        return (-distances).max(dim=-1).indices.view(frames.shape[:-1])

    def decode(self, ids: Tensor) -> Tensor:
        """(b, f) -> (b, width, f)."""
        return F.embedding(ids, self.codebook.embed).permute(0, 2, 1)


def modern_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with weight norm's old names, `weight_g` and `weight_v`, replaced by those of current torch."""
    modern = {"weight_g": _MAGNITUDE, "weight_v": _DIRECTION}
    split = ((name.rpartition("."), tensor) for name, tensor in state.items())
    return {f"{module}{dot}{modern.get(leaf, leaf)}": tensor for (module, dot, leaf), tensor in split}


def fold_weight_norm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with each magnitude and direction of a weight, under either names, replaced by the weight in float32.

    Raises RuntimeError where a magnitude and a direction do not fit each other.
    """
    folded = modern_names(state)
    for module in [name.removesuffix(_DIRECTION) for name in folded if name.endswith(_DIRECTION)]:
        if module + _MAGNITUDE in folded:
            direction, magnitude = (folded.pop(module + part).float() for part in (_DIRECTION, _MAGNITUDE))
            folded[f"{module}weight"] = torch._weight_norm(direction, magnitude, 0)
    return folded
