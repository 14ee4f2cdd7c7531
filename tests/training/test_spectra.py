"""Losses between sounds: what they call alike, and whom their gradients reach."""

from __future__ import annotations

import torch

from training.spectra import Discriminators, Refined, spectral_losses


def sounds(count: int = 2) -> torch.Tensor:
    return 0.1 * torch.randn(count, 9_600, generator=torch.Generator().manual_seed(0))


def test_spectral_losses_are_zero_for_the_same_sound_and_grow_with_the_difference():
    real = sounds()
    nearer, farther = (spectral_losses(loudness * real, real) for loudness in (0.9, 0.5))
    assert all(float(loss) == 0 for loss in spectral_losses(real, real))
    assert all(0 < float(near) < float(far) for near, far in zip(nearer, farther, strict=True))


def test_discriminators_and_generator_learn_from_different_losses():
    torch.manual_seed(0)
    judges = Discriminators()
    real = sounds()
    generated = (0.3 * real).requires_grad_()
    learned, fooled, features = judges.losses(generated, real, range(3))
    (fooled + features).backward(retain_graph=True)
    assert generated.grad.abs().sum() > 0 and all(p.grad is None for p in judges.parameters())
    generated.grad = None
    learned.backward()
    assert generated.grad is None and all(p.grad.abs().sum() > 0 for p in judges.parameters())


def test_features_of_the_real_sound_are_at_no_distance():
    real = sounds()
    assert float(Discriminators().losses(real, real, range(3))[2]) < 1e-6


def test_discriminators_learn_to_tell_noise_from_a_tone():
    torch.manual_seed(0)
    judges = Refined(torch.nn.Identity()).discriminators
    adam = torch.optim.Adam(judges.parameters(), 3e-3)
    tone = 0.1 * torch.sin(torch.arange(9_600) * 0.06).expand(2, -1)
    losses = []
    for _ in range(25):
        adam.zero_grad()
        loss = judges.losses(sounds(), tone, [1])[0]
        loss.backward()
        adam.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_discriminators_that_were_not_asked_learn_nothing():
    judges = Discriminators()
    judges.losses(sounds(), sounds().roll(1, 0), [1])[0].backward()
    assert [all(p.grad is not None for p in judge.parameters()) for judge in judges.each] == [False, True, False]


def test_gradients_in_bfloat16_are_those_of_float32():
    torch.manual_seed(0)
    judges = Discriminators()
    found = []
    for fast in (False, True):
        judges.zero_grad()
        generated = (0.5 * sounds().roll(1, 0)).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            learned, fooled, features = judges.losses(generated, sounds(), range(3))
        (learned + fooled + features).backward()
        found.append((generated.grad, torch.cat([p.grad.flatten() for p in judges.parameters()])))
    for exact, fast in zip(*found, strict=True):
        assert (exact - fast).norm() < 0.1 * exact.norm()
