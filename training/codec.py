"""The codec: its configuration, the clips as codes, and its trained parts put together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import EncodecConfig, EncodecModel

from bark_infinity.constants import CODEBOOK_SIZE

from . import latents, settings
from .loop import load_trained
from .speech import Clip, Clips, held_and_learned

_N_POINTS = 120_000  # latents that the codebooks are made from


@dataclass(frozen=True)
class Coded:
    clip: Clip
    codes: np.ndarray  # int16 [8, frames]


def config() -> EncodecConfig:
    """Its convolutions look ahead too, so that the decoder smooths over the frames what the codes round."""
    return EncodecConfig(
        num_filters=settings.CODEC_FILTERS,
        upsampling_ratios=[5, 4, 4, 4],
        num_residual_layers=2,
        use_causal_conv=False,
        use_conv_shortcut=False,
        pad_mode="constant",
        target_bandwidths=[1.5, 3.0, 6.0],
        num_lstm_layers=1,
        hidden_size=latents.WIDTH,
        codebook_dim=latents.WIDTH,
        codebook_size=CODEBOOK_SIZE,
    )


def _latents_of(clip: Clip) -> Tensor:
    return latents.latents(torch.from_numpy(clip.sound.astype(np.float32) / 32_768), settings.VOICES[clip.voice])


def code(folder: Path) -> None:
    """Encode every clip; writes `codebooks.npy` and `codes.npz`."""
    clips = Clips(folder).read()
    _, learned = held_and_learned(clips)
    few = torch.cat([_latents_of(clip) for clip in learned[:500]])
    order = torch.randperm(len(few), generator=torch.Generator().manual_seed(settings.SEED))
    books = latents.codebooks(few[order[:_N_POINTS]])
    codes = [latents.coded(_latents_of(clip), books).numpy().astype(np.int16) for clip in clips]
    np.save(folder / "codebooks.npy", books.numpy())
    partial = folder / "codes.partial.npz"
    np.savez(partial, codes=np.concatenate(codes, 1), lengths=[one.shape[1] for one in codes])
    partial.rename(folder / "codes.npz")


def coded_clips(folder: Path) -> tuple[list[Coded], list[Coded]]:
    """The held-out clips and the training clips, with their codes."""
    with np.load(folder / "codes.npz") as arrays:
        codes = np.split(arrays["codes"], np.cumsum(arrays["lengths"])[:-1], 1)
    clips = [Coded(clip, of) for clip, of in zip(Clips(folder).read(), codes, strict=True)]
    return held_and_learned(clips)


def codebooks(folder: Path) -> Tensor:
    """The codebooks [8, 1024, 64]."""
    return torch.from_numpy(np.load(folder / "codebooks.npy"))


def trained_codec(folder: Path) -> EncodecModel:
    """The codec with its codebooks and its trained decoder; its encoder stays untrained, as nothing uses it."""
    model = EncodecModel(config())
    load_trained(folder, "decoder", model.decoder)
    for layer, book in zip(model.quantizer.layers, latents.SCALE * codebooks(folder), strict=True):
        layer.codebook.embed.copy_(book)
    return model.eval()
