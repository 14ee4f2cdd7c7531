"""A complete small Bark in memory with random weights and the published vocabularies: it produces nonsense, ten times as fast as the demo."""

from __future__ import annotations

import functools
import math
import string
from collections.abc import Mapping

import torch

from bark_infinity import constants as c
from bark_infinity.checkpoints.huggingface import HuggingFaceCheckpoint
from bark_infinity.model.codec import CodecWeights
from bark_infinity.model.tokenizer import Tokenizer

_SEED = 20_230_420  # the day Bark was published
_WIDTH, _HEADS, _LAYERS = 64, 4, 2
_MEAN_TOKENS = 50  # semantic tokens until the end of speech: 1 s of babble a segment
_FEWEST_TOKENS = 20
_LETTERS = string.ascii_letters + string.digits + string.punctuation
_VOCABULARY = ["[PAD]", "[UNK]", *_LETTERS, *(f"##{letter}" for letter in _LETTERS)]
_TEXT_OFFSET = 10_048
_TEXT_PAD = _TEXT_OFFSET + len(_VOCABULARY)
_SEMANTIC_INPUTS, _SEMANTIC_OUTPUTS = _TEXT_PAD + 2, 10_048
_COARSE_IDS, _FINE_IDS = 12_096, 1_056

FINE_HISTORY = 128  # frames, a quarter of the published window: a segment of a second costs a quarter of the time

_GENERATION = {
    "semantic_config": {
        "text_encoding_offset": _TEXT_OFFSET,
        "text_pad_token": _TEXT_PAD,
        "semantic_infer_token": _TEXT_PAD + 1,
    },
    "fine_acoustics_config": {"max_fine_history_length": FINE_HISTORY, "max_fine_input_length": 2 * FINE_HISTORY},
}
_CODEC = {"num_filters": 4, "num_lstm_layers": 1, "hidden_size": 32, "sampling_rate": c.SAMPLE_RATE}


def _stage_config(inputs: int, outputs: int) -> dict[str, int]:
    sizes = {"num_layers": _LAYERS, "num_heads": _HEADS, "hidden_size": _WIDTH, "block_size": 1024}
    return sizes | {"input_vocab_size": inputs, "output_vocab_size": outputs}


_CONFIG = {
    "semantic_config": _stage_config(_SEMANTIC_INPUTS, _SEMANTIC_OUTPUTS),
    "coarse_acoustics_config": _stage_config(_COARSE_IDS, _COARSE_IDS),
    "fine_acoustics_config": _stage_config(_FINE_IDS, _FINE_IDS)
    | {"n_codes_total": c.N_FINE_CODEBOOKS, "n_codes_given": 1},
    "codec_config": _CODEC,
}


class Babbler(HuggingFaceCheckpoint):
    """A checkpoint of random weights in transformers' layout."""

    def __init__(self):
        tokenizer = Tokenizer.from_vocabulary(_VOCABULARY)
        super().__init__("the built-in demo model", _CONFIG, _GENERATION, _stage_tensors(), tokenizer)

    def codec(self) -> CodecWeights:
        return CodecWeights(_CODEC, _codec_tensors)


@functools.cache  # hundreds of tests load it, and none changes a weight
def _stage_tensors() -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(_SEED)

    def normal(*shape: int, scale: float = 0.05) -> torch.Tensor:
        return torch.randn(shape, generator=rng) * scale

    tensors = {}
    for prefix in ("semantic", "coarse_acoustics", "fine_acoustics"):
        sizes = _CONFIG[f"{prefix}_config"]
        tensors[f"{prefix}.position_embeds_layer.weight"] = normal(1024, _WIDTH)
        tensors |= {f"{prefix}.{name}": tensor for name, tensor in _block_tensors(normal).items()}
        inputs, outputs = sizes["input_vocab_size"], sizes["output_vocab_size"]
        if prefix == "fine_acoustics":  # heads are the embeddings of the next codebook, kept once
            embeddings = {f"input_embeds_layers.{i}.weight": normal(inputs, _WIDTH) for i in range(c.N_FINE_CODEBOOKS)}
        else:
            embeddings = {
                "input_embeds_layer.weight": normal(inputs, _WIDTH),
                "lm_head.weight": normal(outputs, _WIDTH),
            }
        tensors |= {f"{prefix}.{name}": tensor for name, tensor in embeddings.items()}
    _end_speech(tensors)
    return tensors


def _block_tensors(normal) -> dict[str, torch.Tensor]:
    """All layers of one stage, biases included, and the last norm."""
    shapes = {
        "attn.att_proj": (3 * _WIDTH, _WIDTH),
        "attn.out_proj": (_WIDTH, _WIDTH),
        "mlp.in_proj": (4 * _WIDTH, _WIDTH),
        "mlp.out_proj": (_WIDTH, 4 * _WIDTH),
    }
    norms = [f"layers.{i}.layernorm_{n}" for i in range(_LAYERS) for n in (1, 2)] + ["layernorm_final"]
    tensors = {}
    for i in range(_LAYERS):
        for name, shape in shapes.items():
            tensors[f"layers.{i}.{name}.weight"] = normal(*shape, scale=shape[1] ** -0.5)
            tensors[f"layers.{i}.{name}.bias"] = torch.zeros(shape[0])
    for name in norms:
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = torch.ones(_WIDTH), torch.zeros(_WIDTH)
    return tensors


def _end_speech(tensors: dict[str, torch.Tensor]) -> None:
    """Let speech end after `_MEAN_TOKENS` on average and never before `_FEWEST_TOKENS`, whatever the text.

    Channel 0 is kept for it: only the position writes it, and only the end-of-speech logit reads it.
    """
    for i in range(_LAYERS):
        for name in ("attn.out_proj", "mlp.out_proj"):
            tensors[f"semantic.layers.{i}.{name}.weight"][0] = 0.0
    tensors["semantic.input_embeds_layer.weight"][:, 0] = 0.0
    positions = tensors["semantic.position_embeds_layer.weight"]
    positions[:, 0] = 0.0
    positions[c.MAX_TEXT_IDS : c.MAX_TEXT_IDS + _FEWEST_TOKENS, 0] = -8.0  # too early
    tensors["semantic.layernorm_final.bias"][0] = 1.0
    head = tensors["semantic.lm_head.weight"]
    head[:, 0], head[c.SEMANTIC_VOCAB_SIZE] = 0.0, 0.0
    temperature = 0.7  # the default; others babble longer or shorter
    head[c.SEMANTIC_VOCAB_SIZE, 0] = temperature * math.log(c.SEMANTIC_VOCAB_SIZE / (_MEAN_TOKENS - _FEWEST_TOKENS))


@functools.cache
def _codec_tensors() -> Mapping[str, torch.Tensor]:
    """Random weights for every tensor of the codec's decoder, scaled so that it is neither silent nor clipped."""
    from transformers.models.encodec.configuration_encodec import EncodecConfig
    from transformers.models.encodec.modeling_encodec import EncodecModel

    rng = torch.Generator().manual_seed(_SEED)
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in EncodecModel(EncodecConfig(**_CODEC)).state_dict().items()}
    tensors = {}
    for name, shape in shapes.items():
        if name.endswith("original0"):  # gains of weight norm
            tensors[name] = torch.full(shape, 0.8)
        elif "bias" in name:
            tensors[name] = torch.zeros(shape)
        else:
            tensors[name] = torch.randn(shape, generator=rng) * 0.5
    return tensors
