"""A tiny HuBERT with random weights, a quantizer in the published layout, and sound that resembles speech, for cloning."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import torch
from transformers import HubertConfig, HubertModel

from bark_infinity.checkpoints.hubert import HUBERT_REPO, QUANTIZER_FILE, QUANTIZER_REPO

WIDTH = 32


class PublishedQuantizer(torch.nn.Module):
    """The network of the published `.pth` files, written from its description: version 1 has one more linear layer."""

    def __init__(self, version: int):
        super().__init__()
        self.lstm = torch.nn.LSTM(WIDTH, 24, 2, batch_first=True)
        if version:
            self.intermediate = torch.nn.Linear(24, 40)
        self.fc = torch.nn.Linear(40 if version else 24, 10_000)
        torch.manual_seed(2)
        for parameter in self.parameters():
            torch.nn.init.normal_(parameter, std=0.5 if parameter.dim() > 1 else 0.0)

    def save(self, path: Path) -> None:
        """Save in torch's zip format, with the extra `.info` member that states the sizes."""
        torch.save(self.state_dict(), path)
        info = {"input_size": WIDTH, "hidden_size": 24, "output_size": 10_000, "version": 0}
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(f"{path.stem}/.info", json.dumps(info))

    def tokens(self, features: torch.Tensor) -> np.ndarray:
        """Semantic tokens [n] of features [n, width]."""
        hidden = self.lstm(features)[0]
        if hasattr(self, "intermediate"):
            hidden = self.intermediate(hidden)
        return torch.log_softmax(self.fc(hidden), dim=1).argmax(dim=1).numpy()


def make_hubert(**changes) -> HubertModel:
    torch.manual_seed(1)
    sizes = {"hidden_size": WIDTH, "num_hidden_layers": 11, "num_attention_heads": 2, "intermediate_size": 48}
    sizes |= {"conv_dim": [16] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
    model = HubertModel(HubertConfig(**sizes | changes)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:  # weak attention, so that every frame has features of its own
                parameter.normal_(0, 0.02 if "attention" in name else (2 / parameter[0].numel()) ** 0.5)
    return model


def speech(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Syllables: noise and tones that come and go four times a second."""
    t = np.arange(round(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * (150 + 80 * np.sin(3 * t)) * t) + np.random.default_rng(seed).standard_normal(len(t)) / 4
    return (0.3 * tone * np.clip(np.sin(2 * np.pi * 4 * t) + 0.9, 0, 1)).clip(-0.9, 0.9).astype(np.float32)


def put_quantizer(models: Path, quantizer: PublishedQuantizer) -> Path:
    path = models / QUANTIZER_REPO / QUANTIZER_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    quantizer.save(path)
    return path


def save_cloning_models(models: Path) -> Path:
    """Fill a folder as --model_dir may name it with all that cloning needs. Returns it."""
    make_hubert().save_pretrained(models / HUBERT_REPO)
    put_quantizer(models, PublishedQuantizer(version=0))
    return models
