"""How far two sounds are apart: in their samples' spectra, in mel bands, and to networks that tell one from the other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import latents

_FFTS = (256, 512, 1024, 2048)
_MELS = {512: 40, 1024: 80, 2048: 100}  # bands of a transform's second score
_JUDGED_FFTS = (256, 512, 1024)  # of the discriminators, one each
_CHANNELS = 16  # of a discriminator's first layers
_SLOPE = 0.1


def _transform(sound: Tensor, fft: int) -> Tensor:
    """[rows, samples] to the real and imaginary parts [rows, bins, frames, 2]."""
    window = torch.hann_window(fft, device=sound.device)
    found = torch.stft(sound, fft, fft // 4, window=window, normalized=True, return_complex=True)
    return torch.view_as_real(found)


def _spectrum(sound: Tensor, fft: int) -> Tensor:
    return _transform(sound, fft).square().sum(-1).add(1e-8).sqrt()


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


class _Discriminator(nn.Module):
    """Judges places of a complex spectrum of one resolution: 1 where the sound is real, 0 where it is generated."""

    def __init__(self, fft: int):
        super().__init__()
        self._fft = fft
        wide = 2 * _CHANNELS
        self.layers = nn.ModuleList(
            (
                nn.Conv2d(2, _CHANNELS, (7, 3), (2, 1), (3, 1)),
                nn.Conv2d(_CHANNELS, _CHANNELS, (7, 3), (2, 1), (3, 1)),
                nn.Conv2d(_CHANNELS, wide, (5, 3), (2, 2), (2, 1)),
                nn.Conv2d(wide, wide, (3, 3), (1, 1), (1, 1)),
                nn.Conv2d(wide, 1, (3, 3), (1, 1), (1, 1)),
            )
        )

    def forward(self, sound: Tensor, learns: bool) -> list[Tensor]:
        """The output of every layer, the last of them the verdict. Without `learns` its weights get no gradient."""
        parts = _transform(sound, self._fft)
        strength = parts.square().sum(-1, keepdim=True).add(1e-6).pow(-0.3)  # quiet parts count too
        x = (parts * strength).permute(0, 3, 1, 2)
        found = []
        for i, layer in enumerate(self.layers):
            weight, bias = (p if learns else p.detach() for p in (layer.weight, layer.bias))
            x = F.conv2d(x if i == 0 else F.leaky_relu(x, _SLOPE), weight, bias, layer.stride, layer.padding)
            found.append(x)
        return found


class Discriminators(nn.Module):
    """Discriminators of several resolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.each = nn.ModuleList(map(_Discriminator, _JUDGED_FFTS))

    def losses(self, generated: Tensor, real: Tensor, of: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Losses of sounds [rows, n] by the discriminators `of`: what they have to learn, and for the generator, how far
        it is from being taken for real and how far its features are from the real ones, relative to their size."""
        learned = fooled = features = torch.zeros(())
        for i in of:
            judge = self.each[i]
            both = judge(torch.cat([real, generated.detach()]), learns=True)
            of_real, of_generated = both[-1].float().chunk(2)
            learned = learned + (1 - of_real).square().mean() + of_generated.square().mean()
            judged = judge(generated, learns=False)
            fooled = fooled + (1 - judged[-1].float()).square().mean()
            for ours, theirs in zip(judged[:-1], both[:-1], strict=True):
                theirs = theirs[: len(real)].detach().float()
                features = features + (ours.float() - theirs).abs().mean() / (theirs.abs().mean() + 1e-3)
        return learned / len(of), fooled / len(of), features / len(of)


class Refined(nn.Module):
    """A decoder and the discriminators that it is trained against."""

    def __init__(self, decoder: nn.Module):
        super().__init__()
        self.decoder, self.discriminators = decoder, Discriminators()
