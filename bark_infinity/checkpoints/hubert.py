"""HuBERT in transformers' layout, and the quantizer that GitMylo published for it: a dict of tensors in a `.pth`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from ..constants import SEMANTIC_VOCAB_SIZE
from ..errors import CheckpointError
from ..model.docstrings import transformers_without_docstrings
from ..model.encodec import modern_names
from ..model.hubert import HOP, LAYER, Quantizer, SemanticEncoder
from .hub import Hub
from .huggingface import read_json, read_tensors
from .reading import check_tensors, load_pickled, tensors_of

HUBERT_REPO = "facebook/hubert-base-ls960"
QUANTIZER_REPO, QUANTIZER_FILE = "GitMylo/bark-voice-cloning", "quantifier_hubert_base_ls960_14.pth"
_VERDICT = "use the published file"


def read_semantic_encoder(hub: Hub, device: torch.device) -> SemanticEncoder:
    """HuBERT and its quantizer, downloaded where needed. Raises CheckpointError."""
    path = hub.file(QUANTIZER_REPO, QUANTIZER_FILE, mend=_mend(QUANTIZER_REPO))
    folder = hub.weights_folder(HUBERT_REPO, mend=_mend(HUBERT_REPO))
    hubert, quantizer = read_hubert(folder), read_quantizer(path)
    if (ours := quantizer.lstm.input_size) != (theirs := hubert.config.hidden_size):
        raise CheckpointError(
            f"{path} is for a HuBERT of width {ours} and the one in {folder} has {theirs}; take both from "
            f"{QUANTIZER_REPO} and {HUBERT_REPO}"
        )
    return SemanticEncoder(hubert.to(device), quantizer.to(device))


def read_hubert(folder: Path) -> nn.Module:
    """transformers' HubertModel up to LAYER. Raises CheckpointError."""
    with transformers_without_docstrings():
        from transformers.models.hubert.configuration_hubert import HubertConfig
        from transformers.models.hubert.modeling_hubert import HubertModel

    config = read_json(folder / "config.json")
    layers = config.get("num_hidden_layers", 12)
    cut = {"num_hidden_layers": LAYER, "mask_time_prob": 0.0, "mask_feature_prob": 0.0}  # masks are for training
    try:
        with torch.device("meta"):
            model = HubertModel(HubertConfig.from_dict(dict(config) | cut))
    except Exception as error:  # the library checks values in its own ways
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{folder / 'config.json'} is no HuBERT's ({reason}); {_VERDICT}") from None
    hop = model.config.inputs_to_logits_ratio
    if config.get("model_type") != "hubert" or type(layers) is not int or layers < LAYER or hop != HOP:
        raise CheckpointError(
            f"{folder / 'config.json'} is no HuBERT of {LAYER} layers or more at {HOP} samples a step; {_VERDICT}"
        )
    wanted = {name: tensor.shape for name, tensor in model.state_dict().items()}
    found = modern_names(read_tensors(folder))
    _fill(model, {name: tensor for name, tensor in found.items() if name in wanted}, f"the HuBERT in {folder}")
    return model


def read_quantizer(path: Path) -> Quantizer:
    """The quantizer in a `.pth`, its sizes read off its tensors; nothing is unpickled. Raises CheckpointError."""
    state = tensors_of(load_pickled(path), path)
    try:
        width, (n_tokens, _) = state["lstm.weight_ih_l0"].shape[1], state["fc.weight"].shape
        hidden = state["lstm.weight_hh_l0"].shape[1]
        middle = state["intermediate.weight"].shape[0] if "intermediate.weight" in state else None
        with torch.device("meta"):
            quantizer = Quantizer(width, hidden, middle, n_tokens)
    except (KeyError, IndexError, ValueError):
        raise CheckpointError(f"{path} is no quantizer of HuBERT's features; {_VERDICT}") from None
    if n_tokens != SEMANTIC_VOCAB_SIZE:
        raise CheckpointError(f"{path} knows {n_tokens} semantic tokens and Bark {SEMANTIC_VOCAB_SIZE}; {_VERDICT}")
    _fill(quantizer, state, f"the quantizer {path}")
    return quantizer


def _fill(model: nn.Module, state: Mapping[str, torch.Tensor], what: str) -> None:
    """Every tensor of a model on the meta device, from a checkpoint, in float32."""
    wanted = {name: tensor.shape for name, tensor in model.state_dict().items()}
    check_tensors(wanted, state, what, _VERDICT)
    model.load_state_dict({name: tensor.float() for name, tensor in state.items()}, assign=True)
    model.eval().requires_grad_(False)


def _mend(repo: str) -> str:
    return (
        f"connect once to download it for --audio_file_as_history_prompt, or put the repository's files into DIR/{repo} "
        "and give --model_dir DIR"
    )
