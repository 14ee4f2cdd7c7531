"""Train the codec: codebooks by k-means from the clips' latents, and a decoder and an encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import EncodecConfig, EncodecModel
from transformers.models.encodec import modeling_encodec as encodec

from bark_infinity.constants import CODEBOOK_SIZE, N_FINE_CODEBOOKS

from . import latents, settings
from .loop import DEVICE, load_trained, train
from .speech import Clip, Clips, held_and_learned

_FRAMES, _WARM_UP = 60, 12  # of an example, and the first of them, which are not scored
_ROWS = 8
_N_POINTS = 120_000  # latents that the codebooks are made from
_FFTS = (256, 512, 1024, 2048)
_MELS = {512: 40, 1024: 80, 2048: 100}  # bands of a transform's second score


@dataclass(frozen=True)
class Coded:
    clip: Clip
    codes: np.ndarray  # int16 [8, frames]


def config() -> EncodecConfig:
    return EncodecConfig(
        num_filters=settings.CODEC_FILTERS,
        upsampling_ratios=[8, 5, 4, 2],
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


def _spectrum(sound: Tensor, fft: int) -> Tensor:
    window = torch.hann_window(fft, device=sound.device)
    found = torch.stft(sound, fft, fft // 4, window=window, normalized=True, return_complex=True)
    return torch.view_as_real(found).square().sum(-1).add(1e-8).sqrt()


def spectral_losses(generated: Tensor, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Losses of sounds [rows, n]: spectra (convergence and log), mel bands, and 80 mel bands alone (reported only)."""
    spectra = bands = torch.zeros(())
    reported = torch.zeros(())
    for fft in _FFTS:
        ours, theirs = _spectrum(generated, fft), _spectrum(real, fft)
        apart = (ours - theirs).square().sum((1, 2)).sqrt() / (theirs.square().sum((1, 2)).sqrt() + 0.1)
        spectra = spectra + 0.5 * (apart.mean() + (torch.log(ours + 2e-3) - torch.log(theirs + 2e-3)).abs().mean())
        if fft in _MELS:
            mel = latents.mel_bands(_MELS[fft], fft, 12_000).to(ours.device)
            apart = (torch.log(mel @ ours + 1e-3) - torch.log(mel @ theirs + 1e-3)).abs().mean()
            bands = bands + apart
            reported = apart if fft == 1024 else reported
    return spectra / len(_FFTS), bands / len(_MELS), reported


@torch.no_grad()
def _calibrate(half: torch.nn.Module, inputs: Tensor, loudness: float) -> None:
    """Scale every convolution so that its output has a deviation of 0.15: untrained EnCodecs are silent or too loud."""

    def scale(layer, x: Tensor, wanted: float) -> Tensor:
        layer.conv.bias.zero_()
        layer.conv.parametrizations.weight.original0.mul_(wanted / (layer(x).std() + 1e-9))
        return layer(x)

    x = inputs
    for i, layer in enumerate(half.layers):
        if isinstance(layer, encodec.EncodecResnetBlock):
            inside = x
            for j, part in enumerate(layer.block):
                inside = scale(part, inside, 0.15 if j < 3 else 0.07) if hasattr(part, "conv") else part(inside)
            x = scale(layer.shortcut, x, 0.13) + inside
        elif hasattr(layer, "conv"):
            x = scale(layer, x, loudness if i == len(half.layers) - 1 else 0.15)
        else:
            x = layer(x)
    for name, weight in half.named_parameters():
        if name.endswith("original1"):  # directions: their size sets how fast they turn
            weight.mul_(0.07 / weight.std())


class _Examples:
    """Random pieces of the clips: their samples, codes and latents."""

    def __init__(self, clips: list[Coded], books: Tensor):
        self._clips = [one for one in clips if one.codes.shape[1] > _FRAMES]
        self._books = books.to(DEVICE)

    def draw(self, rng: np.random.Generator) -> list[tuple[Coded, int]]:
        """A batch of pieces: (clip, first frame)."""
        drawn = [self._clips[i] for i in rng.integers(len(self._clips), size=_ROWS)]
        return [(one, int(rng.integers(0, one.codes.shape[1] - _FRAMES))) for one in drawn]

    def sound(self, pieces: list[tuple[Coded, int]]) -> Tensor:
        """[rows, samples]."""
        return torch.stack([_samples(one.clip, first, first + _FRAMES) for one, first in pieces]).to(DEVICE)

    def latents_of_codes(self, pieces: list[tuple[Coded, int]], codebooks: int) -> Tensor:
        """[rows, 64, frames]: the decoder's input from the first `codebooks` codebooks."""
        codes = [one.codes[:codebooks, first : first + _FRAMES].astype(np.int64) for one, first in pieces]
        return latents.decoded(torch.from_numpy(np.stack(codes, 1)).to(DEVICE), self._books).transpose(1, 2)

    def exact(self, pieces: list[tuple[Coded, int]]) -> Tensor:
        """[rows, 64, frames]: the exact latents, scaled as the decoder's input."""
        around = 4  # frames, of context, so that the windows at the ends are complete
        found = []
        for one, first in pieces:
            sound = _samples(one.clip, first - around, first + _FRAMES + around)
            found.append(latents.latents(sound, settings.VOICES[one.clip.voice])[around:-around])
        return latents.SCALE * torch.stack(found).transpose(1, 2).to(DEVICE)


def _samples(clip: Clip, first: int, last: int) -> Tensor:
    """The samples of some frames; zeros beyond the clip."""
    start, stop = first * latents.HOP, last * latents.HOP
    sound = clip.sound[max(0, start) : stop].astype(np.float32) / 32_768
    before = max(0, -start)
    return torch.from_numpy(np.pad(sound, (before, stop - start - before - len(sound))))


def _learn_half(
    folder: Path,
    name: str,
    half: torch.nn.Module,
    schedule: settings.Schedule,
    losses: Callable[[np.random.Generator, _Examples, bool], dict[str, Tensor]],
    prepare: Callable[[_Examples], None],
) -> None:
    """Train one half of the codec on losses(rng, examples, judged); prepare(examples) initialises its weights."""
    held, clips = coded_clips(folder)
    books = codebooks(folder)
    examples, judged = _Examples(clips, books), _Examples(held, books)
    if not (folder / f"{name}.pt").is_file():
        prepare(examples)
    recurrent = [p for name, p in half.named_parameters() if "lstm" in name]
    others = [p for name, p in half.named_parameters() if "lstm" not in name]
    groups = [{"params": others, "scale": 1.0}, {"params": recurrent, "scale": 0.3}]
    adam = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.0)

    def judge() -> dict[str, float]:
        with torch.no_grad():
            found = [losses(np.random.default_rng(i), judged, True) for i in range(4)]
        return {f"held {key}": float(np.mean([one[key] for one in found])) for key in found[0]}

    train(folder, name, half, [adam], schedule, lambda rng: losses(rng, examples, False), judge, clip=3.0)


def learn_decoder(folder: Path) -> None:
    """Train the decoder, in some batches with fewer codebooks so that coarse codes alone work; writes `decoder.pt`."""
    torch.manual_seed(settings.SEED)
    decoder = EncodecModel(config()).decoder.to(DEVICE)

    def losses(rng: np.random.Generator, drawn: _Examples, judged: bool) -> dict[str, Tensor]:
        fewer = not judged and rng.random() >= 0.7
        count = int(rng.integers(2, N_FINE_CODEBOOKS)) if fewer else N_FINE_CODEBOOKS
        pieces = drawn.draw(rng)
        scored = slice(_WARM_UP * latents.HOP, None)
        generated = decoder(drawn.latents_of_codes(pieces, count))[:, 0, scored]
        sound = drawn.sound(pieces)[:, scored]
        waves = (generated - sound).abs().mean()
        spectra, bands, mel = spectral_losses(generated, sound)
        return {"loss": 8 * waves + spectra + bands, "waves": waves / sound.abs().mean(), "mel": mel}

    def prepare(examples: _Examples) -> None:
        pieces = examples.draw(np.random.default_rng(settings.SEED))
        loudness = 0.5 * float(examples.sound(pieces).std())
        _calibrate(decoder, examples.latents_of_codes(pieces, N_FINE_CODEBOOKS), loudness)

    _learn_half(folder, "decoder", decoder, settings.DECODER_SCHEDULE, losses, prepare)


def learn_encoder(folder: Path) -> None:
    """Train the encoder, from samples up to each frame's end to latents; only cloning needs it. Writes `encoder.pt`."""
    torch.manual_seed(settings.SEED)
    encoder = EncodecModel(config()).encoder.to(DEVICE)

    def losses(rng: np.random.Generator, drawn: _Examples, _: bool) -> dict[str, Tensor]:
        pieces = drawn.draw(rng)
        found, exact = encoder(drawn.sound(pieces)[:, None])[..., _WARM_UP:], drawn.exact(pieces)[..., _WARM_UP:]
        apart = (found - exact).square().mean((0, 2))
        bands, phase = apart[: latents.N_MELS].mean(), apart[latents.N_MELS :].mean()
        return {"loss": apart.mean(), "bands": bands / exact.var(), "phase": phase / exact.var()}

    def prepare(examples: _Examples) -> None:
        pieces = examples.draw(np.random.default_rng(settings.SEED))
        _calibrate(encoder, examples.sound(pieces)[:, None], float(examples.exact(pieces).std()))

    _learn_half(folder, "encoder", encoder, settings.ENCODER_SCHEDULE, losses, prepare)


def trained_codec(folder: Path) -> EncodecModel:
    """The codec with its codebooks and both load_trained halves."""
    model = EncodecModel(config())
    load_trained(folder, "encoder", model.encoder)
    load_trained(folder, "decoder", model.decoder)
    for layer, book in zip(model.quantizer.layers, latents.SCALE * codebooks(folder), strict=True):
        layer.codebook.embed.copy_(book)
    return model.eval()
