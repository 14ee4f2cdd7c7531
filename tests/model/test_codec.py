"""The codec's encoder gives the codes of transformers' EnCodec."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from babbler import Babbler
from tiny import noise, spread_codebooks
from transformers import EncodecConfig, EncodecModel

from bark_infinity.checkpoints.huggingface import HuggingFaceCheckpoint
from bark_infinity.checkpoints.reading import rename
from bark_infinity.checkpoints.suno import SunoCheckpoint
from bark_infinity.errors import CheckpointError
from bark_infinity.model.codec import Codec, CodecWeights, Encoder
from bark_infinity.model.encodec import fold_weight_norm

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def codec() -> EncodecModel:
    torch.manual_seed(0)
    return spread_codebooks(EncodecModel(EncodecConfig(num_filters=4, num_lstm_layers=1, hidden_size=16)).eval())


@pytest.fixture
def weights(codec) -> CodecWeights:
    return CodecWeights(codec.config.to_dict(), codec.state_dict)


def without(weights: CodecWeights, half: str) -> CodecWeights:
    return CodecWeights(
        weights.config, lambda: {name: t for name, t in weights.read().items() if not name.startswith(f"{half}.")}
    )


@pytest.mark.parametrize("n", [1, 320, 24_000, 24_001, 31_999])
def test_codes_are_those_of_transformers(weights, codec, n):
    wave = noise(n)
    with torch.inference_mode():
        theirs = codec.encode(torch.from_numpy(wave)[None, None], bandwidth=6.0).audio_codes
    ours = Encoder(weights, CPU, "tiny").encode(wave)
    np.testing.assert_array_equal(ours, theirs[0, 0].numpy())
    assert ours.shape == (8, -(-n // 320)) and ours.min() >= 0 and ours.max() < 1024
    if n > 20_000:
        assert len(np.unique(ours)) > 100


def test_encoder_is_read_from_every_checkpoint_layout(oracle, huggingface_folder, suno_folder):
    found = HuggingFaceCheckpoint.open(huggingface_folder), SunoCheckpoint(suno_folder, hub=None), Babbler()
    encoders = [Encoder(checkpoint.codec(), CPU, "tiny") for checkpoint in found]
    for encoder in encoders[:2]:
        for name, tensor in fold_weight_norm(oracle.codec_model.encoder.state_dict()).items():
            torch.testing.assert_close(encoder.model.encoder.state_dict()[name], tensor, atol=0, rtol=0)
    assert encoders[2].encode(noise(3_200)).shape == (8, 10)


def test_old_weight_norm_names_are_read(weights):
    """The published files use the old names."""
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    renamed = {rename(old, name): tensor for name, tensor in weights.read().items()}
    other = Encoder(CodecWeights(weights.config, lambda: renamed), CPU, "old")
    np.testing.assert_array_equal(other.encode(noise(4_000)), Encoder(weights, CPU, "new").encode(noise(4_000)))


def test_encoding_and_decoding_each_need_only_their_own_weights(weights):
    codes = Encoder(without(weights, "decoder"), CPU, "tiny").encode(noise(3_200))
    assert Codec(without(weights, "encoder"), CPU, "tiny").decode(codes).shape == (3_200,)
    with pytest.raises(CheckpointError, match=r"the codec in tiny lacks \d+ arrays, encoder\..*; copy the whole"):
        Encoder(without(weights, "encoder"), CPU, "tiny")
