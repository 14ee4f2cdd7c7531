"""Tiny random Barks in both published layouts, built with `transformers`, whose model is also the tests' oracle."""

from __future__ import annotations

import json
import shutil
import string
from pathlib import Path

import numpy as np
import torch
from transformers import BarkConfig, BarkModel, EncodecModel, GenerationConfig
from transformers.models.bark.generation_configuration_bark import (
    BarkCoarseGenerationConfig,
    BarkFineGenerationConfig,
    BarkGenerationConfig,
    BarkSemanticGenerationConfig,
)

CHARACTERS = string.ascii_letters + string.digits + string.punctuation
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *CHARACTERS, *(f"##{c}" for c in CHARACTERS)]
WIDTH, HEADS, LAYERS = 32, 4, 2
END_OF_SPEECH_AT = 330  # context position from which the tiny models want to end, 73 tokens into the speech

SUNO_NAMES = {  # transformers' -> Suno's
    "input_embeds_layers": "transformer.wtes",
    "input_embeds_layer": "transformer.wte",
    "position_embeds_layer": "transformer.wpe",
    "layers": "transformer.h",
    "layernorm_1": "ln_1",
    "layernorm_2": "ln_2",
    "att_proj": "c_attn",
    "in_proj": "c_fc",
    "layernorm_final": "transformer.ln_f",
}


def make_oracle(seed: int = 0, bias: bool = False, ends: bool = True, spec: dict | None = None) -> BarkModel:
    """A tiny Bark with the published vocabularies or those of `spec`; its weights are large enough for clear argmaxes.

    With `ends`, the semantic stage's end of speech grows with the position, so that greedy decoding stops.
    """
    spec = spec or {}
    text_vocab = spec.get("text_vocab", 129_600)
    sizes = {
        "block_size": 1024,
        "num_layers": LAYERS,
        "num_heads": HEADS,
        "hidden_size": WIDTH,
        "dropout": 0.0,
        "bias": bias,
    }
    coarse_vocab = spec.get("coarse_vocab", 12_096)
    config = BarkConfig(
        semantic_config=sizes
        | {"input_vocab_size": text_vocab, "output_vocab_size": spec.get("semantic_outputs", 10_048)},
        coarse_acoustics_config=sizes | {"input_vocab_size": coarse_vocab, "output_vocab_size": coarse_vocab},
        fine_acoustics_config=sizes
        | {"input_vocab_size": 1_056, "output_vocab_size": 1_056, "n_codes_total": 8, "n_codes_given": 1},
        codec_config={"num_filters": 4, "num_lstm_layers": 1, "hidden_size": 16},
    )
    torch.manual_seed(seed)
    model = BarkModel(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2 and not name.startswith("codec_model."):
                parameter.normal_(0, 0.3)
        model.coarse_acoustics.lm_head.weight[spec.get("coarse_outputs", 12_048) :] = 0  # see BARK.md on transformers
        for name, buffer in model.codec_model.named_buffers():
            if name.endswith("embed"):
                buffer.normal_()
        if ends:
            semantic, end = model.semantic, spec.get("semantic_end", 10_000)
            for block in semantic.layers:  # the last channel carries the position and nothing else
                block.attn.out_proj.weight[-1] = block.mlp.out_proj.weight[-1] = 0
            semantic.input_embeds_layer.weight[:, -1] = 0
            semantic.position_embeds_layer.weight[:, -1] = (torch.arange(1024) - END_OF_SPEECH_AT).clamp(min=0) * 0.25
            semantic.lm_head.weight[:, -1] = 0
            semantic.lm_head.weight[end] = 0
            semantic.lm_head.weight[end, -1] = 3
    model.generation_config = make_generation_config(spec)
    return model


def make_generation_config(spec: dict) -> BarkGenerationConfig:
    return BarkGenerationConfig.from_sub_model_configs(
        BarkSemanticGenerationConfig(**spec.get("semantic", {})),
        BarkCoarseGenerationConfig(**spec.get("coarse", {})),
        BarkFineGenerationConfig(temperature=None),
    )


def save_huggingface(model: BarkModel, folder: Path) -> Path:
    """Save with the oracle's own `save_pretrained`, and the other files of a hub repository."""
    folder.mkdir(parents=True)
    generation, model.generation_config = model.generation_config, GenerationConfig()
    try:
        model.save_pretrained(folder)
    finally:
        model.generation_config = generation
    (folder / "generation_config.json").write_text(json.dumps(generation.to_dict(), default=lambda x: x.to_dict()))
    write_tokenizer(folder)
    return folder


def write_tokenizer(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))


def save_suno(model: BarkModel, folder: Path, size: str = "_2") -> Path:
    """The same weights as `text_2.pt`, `coarse_2.pt` and `fine_2.pt`, with tokenizer and codec beside them."""
    import numpy as np

    folder.mkdir(parents=True)
    parts = {"text": model.semantic, "coarse": model.coarse_acoustics, "fine": model.fine_acoustics}
    for name, part in parts.items():
        c = part.config
        args = {"n_layer": c.num_layers, "n_head": c.num_heads, "n_embd": c.hidden_size, "block_size": c.block_size}
        args |= {"bias": c.bias, "dropout": 0.0}
        if name == "text":
            args |= {"input_vocab_size": c.input_vocab_size, "output_vocab_size": c.output_vocab_size}
        else:
            args |= {"vocab_size": c.input_vocab_size}
        if name == "fine":
            args |= {"n_codes_total": c.n_codes_total, "n_codes_given": c.n_codes_given}
        tensors = {f"_orig_mod.{suno_name(key)}": tensor for key, tensor in part.state_dict().items()}
        torch.save(
            {"model": tensors, "model_args": args, "best_val_loss": np.float64(1.5)}, folder / f"{name}{size}.pt"
        )
    write_tokenizer(folder / "tokenizer")
    model.codec_model.save_pretrained(folder / "codec")
    return folder


def suno_name(name: str) -> str:
    parts = name.split(".")
    if parts[-2] == "out_proj":
        parts[-2] = "c_proj"
    return ".".join(SUNO_NAMES.get(part, part) for part in parts)


def spread_codebooks(model: EncodecModel) -> EncodecModel:
    """Random codebooks in the range of the encoder's output, so that different sounds get different codes."""
    with torch.no_grad():
        latents = model.encoder(torch.from_numpy(noise(24_000))[None, None])[0]  # (width, 75)
        spread, centre = latents.std(1), latents.mean(1)
        for i, layer in enumerate(model.quantizer.layers):
            layer.codebook.embed.normal_().mul_(spread * 0.8**i).add_(centre if i == 0 else 0)
    return model


def noise(n: int) -> np.ndarray:
    return (np.random.default_rng(1).standard_normal(n) * 0.3).astype(np.float32)


def put_in_hub_cache(cache, repo: str, folder) -> None:
    """Copy a folder into the layout of a repository in the hub's cache."""
    home = cache / f"models--{repo.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("0" * 40)
    shutil.copytree(folder, home / "snapshots" / ("0" * 40))
