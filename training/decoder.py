"""Train the codec's decoder, by the spectra of its sound."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import EncodecModel
from transformers.models.encodec import modeling_encodec as encodec

from bark_infinity.constants import N_COARSE_CODEBOOKS, N_FINE_CODEBOOKS

from . import latents, settings
from .codec import Coded, codebooks, coded_clips, config
from .loop import DEVICE, products, train
from .spectra import spectral_losses
from .speech import Clip

_FRAMES = 75  # of an example
_SCORED = slice(10, -5)  # of them: at the ends what stands before and behind is missing
_ROWS = 6
_ONLY_COARSE, _ALL = 0.45, 0.35  # shares of the rows with the first two codebooks and with all of them
_MISHEARD = 0.5  # share of the rows with two codebooks in which some codes are neighbours of the right ones
_MISHEARD_CODES = 0.25  # the largest share of the codes in such a row
_NEIGHBOURS = 8


class _Examples:
    """Random pieces of the clips: their samples, codes and latents."""

    def __init__(self, clips: list[Coded], books: Tensor):
        longer = [one for one in clips if one.codes.shape[1] > _FRAMES]
        self._voices = [[one for one in longer if one.clip.voice == voice] for voice in range(len(settings.VOICES))]
        self._books = books.to(DEVICE)
        self._near = [latents.neighbours(book, _NEIGHBOURS) for book in books[:N_COARSE_CODEBOOKS]]

    def draw(self, rng: np.random.Generator) -> list[tuple[Coded, int]]:
        """A batch of pieces, as many of each voice on average: (clip, first frame)."""
        voices = [self._voices[i] for i in rng.integers(len(self._voices), size=_ROWS)]
        drawn = [clips[rng.integers(len(clips))] for clips in voices]
        return [(one, int(rng.integers(0, one.codes.shape[1] - _FRAMES))) for one in drawn]

    def sound(self, pieces: list[tuple[Coded, int]]) -> Tensor:
        """[rows, samples]."""
        return torch.stack([_samples(one.clip, first, first + _FRAMES) for one, first in pieces]).to(DEVICE)

    def latents_of_codes(self, pieces: list[tuple[Coded, int]], rng: np.random.Generator | None) -> Tensor:
        """[rows, 64, frames]: the decoder's input; with `rng` of some codebooks only, and of some wrong codes."""
        codes = np.stack([one.codes[:, first : first + _FRAMES].astype(np.int64) for one, first in pieces], 1)
        if rng is not None:
            for row in range(len(pieces)):
                self._worsen(codes[:, row], rng)
        return latents.decoded(torch.from_numpy(codes).to(DEVICE), self._books).transpose(1, 2)

    def _worsen(self, codes: np.ndarray, rng: np.random.Generator) -> None:
        """Change codes [8, frames] into what the stages before the codec may make of them."""
        kind = rng.random()
        if kind < _ALL:
            return
        count = N_COARSE_CODEBOOKS if kind < _ALL + _ONLY_COARSE else rng.integers(3, N_FINE_CODEBOOKS)
        codes[count:] = -1
        if count == N_COARSE_CODEBOOKS and rng.random() < _MISHEARD:
            for of, near in zip(codes, self._near, strict=False):
                wrong = rng.random(len(of)) < rng.random() * _MISHEARD_CODES
                of[wrong] = near[of[wrong], rng.integers(_NEIGHBOURS, size=wrong.sum())]


def _samples(clip: Clip, first: int, last: int) -> Tensor:
    """The samples of some frames; zeros beyond the clip."""
    start, stop = first * latents.HOP, last * latents.HOP
    sound = clip.sound[max(0, start) : stop].astype(np.float32) / 32_768
    before = max(0, -start)
    return torch.from_numpy(np.pad(sound, (before, stop - start - before - len(sound))))


def _scored(sound: Tensor) -> Tensor:
    """The samples [rows, n] of the frames that are scored."""
    return sound[:, _SCORED.start * latents.HOP : _SCORED.stop * latents.HOP]


def _run(half: nn.Module, inputs: Tensor) -> Tensor:
    """The output of a half of the codec in float32."""
    for layer in half.layers:
        # oneDNN's gradient for the input of narrow transposed convolutions is wrong in bfloat16.
        exact = isinstance(layer, encodec.EncodecConvTranspose1d)
        with products(exact):
            inputs = layer(inputs.float() if exact else inputs)
    return inputs.float()


@torch.no_grad()
def _calibrate(half: nn.Module, inputs: Tensor, loudness: float) -> None:
    """Scale every convolution so that its output has a deviation of 0.15: untrained EnCodecs are silent or too loud."""

    def scale(layer: nn.Module, x: Tensor, wanted: float) -> Tensor:
        layer.conv.bias.zero_()
        layer.conv.parametrizations.weight.original0.mul_(wanted / (layer(x).std() + 1e-9))
        return layer(x)

    x = inputs
    for i, layer in enumerate(half.layers):
        if isinstance(layer, encodec.EncodecResnetBlock):
            inside = x
            for j, part in enumerate(layer.block):
                inside = scale(part, inside, 0.15 if j < 3 else 0.07) if hasattr(part, "conv") else part(inside)
            x = x + inside
        elif hasattr(layer, "conv"):
            x = scale(layer, x, loudness if i == len(half.layers) - 1 else 0.15)
        else:
            x = layer(x)
    for name, weight in half.named_parameters():
        if name.endswith("original1"):  # directions: their size sets how fast they turn
            weight.mul_(0.07 / weight.std())


def _groups(half: nn.Module) -> list[dict]:
    """Parameter groups: the recurrent layer learns more slowly."""
    recurrent = [p for name, p in half.named_parameters() if "lstm" in name]
    others = [p for name, p in half.named_parameters() if "lstm" not in name]
    return [{"params": others, "scale": 1.0}, {"params": recurrent, "scale": 0.3}]


def _judge(
    losses: Callable[[np.random.Generator, _Examples, bool], dict[str, Tensor]], held: _Examples
) -> Callable[[], dict[str, float]]:
    def judge() -> dict[str, float]:
        with torch.no_grad():
            found = [losses(np.random.default_rng(i), held, True) for i in range(4)]
        return {f"held {key}": float(np.mean([one[key] for one in found])) for key in found[0]}

    return judge


def _examples(folder: Path) -> tuple[_Examples, _Examples]:
    """Of the training clips and of the held-out ones."""
    held, clips = coded_clips(folder)
    books = codebooks(folder)
    return _Examples(clips, books), _Examples(held, books)


def learn(folder: Path) -> None:
    """Train the decoder by its spectra, mostly on fewer codebooks so that coarse codes alone work; writes `decoder.pt`."""
    torch.manual_seed(settings.SEED)
    decoder = EncodecModel(config()).decoder.to(DEVICE)
    examples, held = _examples(folder)
    if not (folder / "decoder.pt").is_file():
        pieces = examples.draw(np.random.default_rng(settings.SEED))
        loudness = 0.5 * float(examples.sound(pieces).std())
        _calibrate(decoder, examples.latents_of_codes(pieces, None), loudness)
    adam = torch.optim.AdamW(_groups(decoder), betas=(0.9, 0.98), weight_decay=0.0)

    def losses(rng: np.random.Generator, drawn: _Examples, judged: bool) -> dict[str, Tensor]:
        pieces = drawn.draw(rng)
        inputs = drawn.latents_of_codes(pieces, None if judged else rng)
        generated, real = _scored(_run(decoder, inputs)[:, 0]), _scored(drawn.sound(pieces))
        waves = (generated - real).abs().mean()
        spectra, bands, mel = spectral_losses(generated, real)
        return {"loss": 8 * waves + spectra + bands, "waves": waves / real.abs().mean(), "mel": mel}

    train(
        folder,
        "decoder",
        decoder,
        [adam],
        settings.DECODER_SCHEDULE,
        lambda rng, _: losses(rng, examples, False),
        _judge(losses, held),
        clip=3.0,
    )
