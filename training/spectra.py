"""How far two sounds are apart: in their spectra, and in mel bands."""

from __future__ import annotations

import torch
from torch import Tensor

from . import latents

_FFTS = (256, 512, 1024, 2048)
_MELS = {512: 40, 1024: 80, 2048: 100}  # bands of a transform's second score


def _spectrum(sound: Tensor, fft: int) -> Tensor:
    """[rows, samples] to magnitudes [rows, bins, frames]."""
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
