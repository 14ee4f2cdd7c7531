"""Export the trained stages as one checkpoint in transformers' layout, with two voices."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import BarkConfig, BarkModel, GenerationConfig

from bark_infinity import Voice
from bark_infinity import constants as c
from bark_infinity.checkpoints.huggingface import generation_config
from bark_infinity.model.spec import BarkSpec
from bark_infinity.model.tokenizer import IGNORES_TAGS

from . import settings
from . import tokens as t
from .coarse import Coarse, clip_tokens
from .codec import coded_clips, trained_codec
from .fine import Fine
from .loop import load_trained
from .semantic import Semantic
from .transformer import Transformer

SPEC = BarkSpec(
    semantic_vocab_size=t.N_SEMANTIC,
    semantic_pad_token=t.SEMANTIC_PAD,
    semantic_infer_token=t.INFER,
    text_encoding_offset=t.TEXT_OFFSET,
    text_pad_token=t.TEXT_PAD,
    coarse_semantic_pad_token=t.COARSE_PAD,
    coarse_infer_token=t.COARSE_INFER,
)
# Causal masks and buffers of training: 9 MB that transformers creates by itself.
CREATED_ON_LOADING = (".attn.bias", ".embed_avg", ".cluster_size", ".inited")
_UNUSED = "codec_model.encoder."  # nothing can be cloned for the demo: no recording has its semantic tokens


def is_left_out(name: str) -> bool:
    """Whether the checkpoint lacks a tensor of transformers' model, which makes it anew when it loads the rest."""
    return name.endswith(CREATED_ON_LOADING) or name.startswith(_UNUSED)


def _stage_config(shape: settings.Shape, inputs: int, outputs: int) -> dict[str, object]:
    sizes = {"num_layers": shape.layers, "num_heads": shape.heads, "hidden_size": shape.width, "block_size": 1024}
    return sizes | {"input_vocab_size": inputs, "output_vocab_size": outputs, "bias": False, "dropout": 0.0}


def _tensors(folder: Path) -> dict[str, Tensor]:
    """The tensors of the three stages under the layout's names. Factored embeddings are summed, and logits sharpened."""
    semantic = load_trained(folder, "semantic", Semantic())
    coarse = load_trained(folder, "coarse", Coarse())
    fine = load_trained(folder, "fine", Fine())

    def stage(prefix: str, body: Transformer, position: Tensor) -> dict[str, Tensor]:
        return body.exported(prefix) | {f"{prefix}.position_embeds_layer.weight": position}

    tensors = stage("semantic", semantic.body, semantic.position)
    tensors |= stage("coarse_acoustics", coarse.body, coarse.position)
    tensors |= stage("fine_acoustics", fine.body, fine.position)
    tensors["semantic.input_embeds_layer.weight"] = semantic.inputs()
    tensors["semantic.lm_head.weight"] = settings.SEMANTIC_SHARPNESS * semantic.head()
    tensors["coarse_acoustics.input_embeds_layer.weight"] = coarse.inputs()
    tensors["coarse_acoustics.lm_head.weight"] = coarse.head(settings.COARSE_SHARPNESS)
    for i in range(c.N_FINE_CODEBOOKS):
        tensors[f"fine_acoustics.input_embeds_layers.{i}.weight"] = fine.tables[i]
    for i in range(c.N_FINE_CODEBOOKS - 1):  # a head is the table of the codebook that it predicts
        tensors[f"fine_acoustics.lm_heads.{i}.weight"] = fine.tables[i + 1]
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def model_of(folder: Path) -> BarkModel:
    """transformers' model with the weights trained in `folder`, in float32."""
    codec = trained_codec(folder)
    fine = _stage_config(settings.FINE, c.CODEBOOK_SIZE + 1, c.CODEBOOK_SIZE + 1)
    config = BarkConfig(
        semantic_config=_stage_config(settings.SEMANTIC, t.N_INPUTS, t.N_SEMANTIC + 1),
        coarse_acoustics_config=_stage_config(settings.COARSE, t.N_COARSE, t.N_COARSE),
        fine_acoustics_config=fine | {"n_codes_total": c.N_FINE_CODEBOOKS, "n_codes_given": 1},
        codec_config=codec.config.to_dict(),
    )
    model = BarkModel(config).eval()
    tensors = _tensors(folder) | {f"codec_model.{name}": tensor for name, tensor in codec.state_dict().items()}
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    missing = [name for name in missing if not name.endswith(CREATED_ON_LOADING)]
    assert not missing and not unexpected, (missing, unexpected)
    return model


def export(folder: Path, target: Path) -> None:
    """Write the checkpoint into `target`: bfloat16, with the tokenizer's vocabulary and what decoding needs to know."""
    model = model_of(folder).to(torch.bfloat16)
    model.generation_config = GenerationConfig()  # its own is written below: `save_pretrained` refuses it
    target.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor for name, tensor in model.state_dict().items() if not is_left_out(name)}
    model.save_pretrained(target, state_dict=tensors)
    (target / "model.safetensors").chmod(0o644)
    stages = dict.fromkeys(("semantic", "coarse", "fine"), SPEC)
    (target / "generation_config.json").write_text(json.dumps(generation_config(stages), indent=2) + "\n")
    (target / "vocab.txt").write_text("\n".join(t.VOCABULARY) + "\n")
    (target / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False, IGNORES_TAGS: True}) + "\n")


def voices(folder: Path, target: Path) -> None:
    """`demo_<name>.npz` for each voice: the teacher's tokens of its sample, a held-out clip. Raises LookupError without it."""
    target.mkdir(parents=True, exist_ok=True)
    held, _ = coded_clips(folder)
    for i, voice in enumerate(settings.VOICES):
        clip = next((one for one in held if one.clip.voice == i and one.clip.utterance.text == voice.sample), None)
        if clip is None:
            raise LookupError(
                f"no held-out clip of {voice.name} says {voice.sample!r}: name another in settings.VOICES"
            )
        semantic = clip_tokens(clip).semantic
        codes = clip.codes[:, : SPEC.coarse_steps(len(semantic)) // SPEC.n_coarse_codebooks].astype(np.int64)
        Voice(semantic, codes[: SPEC.n_coarse_codebooks], codes).save(target / f"demo_{voice.name}.npz")
