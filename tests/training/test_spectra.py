"""Losses between sounds: zero for the same one, and the larger the farther two are apart."""

from __future__ import annotations

import torch

from training.spectra import spectral_losses


def sounds(count: int = 2) -> torch.Tensor:
    return 0.1 * torch.randn(count, 9_600, generator=torch.Generator().manual_seed(0))


def test_spectral_losses_are_zero_for_the_same_sound_and_grow_with_the_difference():
    real = sounds()
    nearer, farther = (spectral_losses(loudness * real, real) for loudness in (0.9, 0.5))
    assert all(float(loss) == 0 for loss in spectral_losses(real, real))
    assert all(0 < float(near) < float(far) for near, far in zip(nearer, farther, strict=True))
