"""The decoder's training examples, and its gradients in bfloat16."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import EncodecModel

from training import codec, decoder, latents, loop, settings
from training.speech import Clip, Utterance


@pytest.fixture
def examples():
    """Two clips of random codes, and codebooks whose neighbours have ids close by."""
    rng = np.random.default_rng(0)
    nobody = Utterance("", *(np.zeros(0) for _ in range(3)))
    sounds = [rng.integers(-3_000, 3_000, 200 * latents.HOP).astype(np.int16) for _ in range(2)]
    clips = [codec.Coded(Clip(i, nobody, sound), rng.integers(0, 1024, (8, 200))) for i, sound in enumerate(sounds)]
    books = torch.arange(1024.0)[:, None].expand(8, 1024, latents.WIDTH)
    return decoder._Examples(clips, books)


def test_rows_have_two_to_eight_codebooks_and_some_wrong_codes_nearby(examples):
    rng = np.random.default_rng(0)
    counts, wrong = [], 0.0
    for _ in range(300):
        right = rng.integers(20, 1_000, (8, 75))
        codes = right.copy()
        examples._worsen(codes, rng)
        count = int((codes >= 0).all(1).sum())
        assert (codes[count:] == -1).all() and (codes[2:count] == right[2:count]).all()
        assert np.abs(codes[:2] - right[:2]).max() <= decoder._NEIGHBOURS
        counts.append(count)
        wrong += (codes[:2] != right[:2]).mean() / 300
    assert set(counts) == set(range(2, 9)) and 0.3 < np.mean(np.array(counts) == 2) < 0.6
    assert 0.01 < wrong < 0.05


def test_left_out_codebooks_add_nothing(examples):
    rng = np.random.default_rng(0)
    codes = torch.from_numpy(rng.integers(0, 1024, (8, 3, 5)))
    few = codes.clone()
    few[2:] = -1
    books = torch.randn(8, 1024, latents.WIDTH, generator=torch.Generator().manual_seed(0))
    assert torch.equal(latents.decoded(few, books), latents.decoded(codes[:2], books))


def test_gradients_in_bfloat16_are_those_of_float32(monkeypatch):
    monkeypatch.setattr(settings, "CODEC_FILTERS", 16)  # whose narrow layers oneDNN gets wrong
    torch.manual_seed(0)
    model = EncodecModel(codec.config()).decoder
    inputs = torch.randn(2, latents.WIDTH, 20)
    found = []
    for kind in (torch.float32, torch.bfloat16):
        monkeypatch.setattr(loop, "native_type", lambda kind=kind: kind)
        model.zero_grad()
        decoder._run(model, inputs).square().mean().sqrt().backward()
        found.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert (found[0] - found[1]).norm() < 0.05 * found[0].norm()
