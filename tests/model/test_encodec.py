"""Our EnCodec networks equal transformers' bit for bit in every supported configuration."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import spread_codebooks
from transformers import EncodecConfig as TheirConfig
from transformers import EncodecModel as TheirModel

from bark_infinity.model.encodec import EncodecConfig, EncodecModel, fold_weight_norm

ROOT = Path(__file__).parents[2]
SMALL = {"num_filters": 4, "num_lstm_layers": 1, "hidden_size": 16}
CONFIGS = [
    SMALL,
    SMALL | {"num_residual_layers": 2, "use_conv_shortcut": False, "codebook_size": 64, "trim_right_ratio": 0.5},
    SMALL | {"use_causal_conv": False, "norm_type": "time_group_norm", "sampling_rate": 48_000, "pad_mode": "constant"},
    SMALL
    | {
        "upsampling_ratios": [3, 2],
        "sampling_rate": 450,
        "kernel_size": 5,
        "last_kernel_size": 3,
        "dilation_growth_rate": 3,
    },
]


@pytest.mark.parametrize("config", CONFIGS)
def test_encoder_and_decoder_equal_transformers(config):
    torch.manual_seed(0)
    theirs = spread_codebooks(TheirModel(TheirConfig(**config)).eval())
    ours = EncodecConfig.from_dict(theirs.config.to_dict())
    assert (ours.frame_rate, ours.num_quantizers) == (theirs.config.frame_rate, theirs.config.num_quantizers)
    halves = [EncodecModel(ours, decodes).eval() for decodes in (False, True)]
    for half in halves:
        assert not half.load_state_dict(fold_weight_norm(theirs.state_dict()), strict=False).missing_keys
    encoder, decoder = halves
    with torch.inference_mode():
        for n in (1, 2, 5, 319, 320, 321, 3_333):
            wave = torch.randn(1, 1, n)
            latents = encoder.encoder(wave)
            assert torch.equal(latents, theirs.encoder(wave))
            assert torch.equal(encoder.quantizer.encode(latents, 6.0), theirs.quantizer.encode(latents, 6.0))
        codes = torch.randint(0, ours.codebook_size, (min(8, ours.num_quantizers), 1, 77))
        latents = decoder.quantizer.decode(codes)
        assert torch.equal(latents, theirs.quantizer.decode(codes))
        assert torch.equal(decoder.decoder(latents), theirs.decoder(latents))


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_filters": "8"},
        {"hidden_size": 0},
        {"kernel_size": True},
        {"upsampling_ratios": []},
        {"upsampling_ratios": [8, -5]},
        {"target_bandwidths": [float("nan")]},
        {"use_causal_conv": 1},
        {"norm_type": "layer_norm"},
        {"trim_right_ratio": 7.0},
        {"use_causal_conv": False, "trim_right_ratio": 0.5},
    ],
)
def test_invalid_configuration_values_are_refused(wrong):
    with pytest.raises(ValueError):
        EncodecConfig.from_dict(wrong)


def test_speaking_imports_nothing_slow(tmp_path):
    """Neither transformers nor torch's compiler, which weights that are normed or drawn on `meta` bring in: each takes seconds."""
    slow = ("transformers", "torch._dynamo", "torch._inductor", "sympy", "pandas")
    code = (
        "import sys; from bark_infinity import Bark; bark = Bark.load('demo', device='cpu'); "
        f"print(len(bark.speak('Hello.', seed=1).audio) > 0, *[name for name in {slow} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert result.stdout.split() == ["True"], result.stderr
