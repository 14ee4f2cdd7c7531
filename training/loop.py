"""The training loop of every stage: seeded steps, a schedule, a log, and a saved state to resume from."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bark_infinity.model.devices import native_type

from . import settings

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")  # every stage is trained on it
_SAVE_EVERY = 60  # seconds
_LOG_EVERY = 50  # steps


def products(exact: bool = False) -> torch.autocast:
    """Computes products in bfloat16 where the device has them, unless they are to be exact."""
    fast = DEVICE.type == "cuda" or native_type() == torch.bfloat16
    return torch.autocast(DEVICE.type, torch.bfloat16, enabled=fast and not exact)


def optimisers(model: nn.Module, blocks: nn.Module, embeddings: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW at `embeddings` times the rate for tables and vectors."""
    matrices = [p for p in blocks.parameters() if p.dim() == 2]
    inside = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in inside]
    muon = torch.optim.Muon(matrices, weight_decay=0.02, adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.AdamW(rest, betas=(0.9, 0.97), weight_decay=0.0)
    for optimiser, scale in ((muon, 1.0), (adam, embeddings)):
        for group in optimiser.param_groups:
            group["scale"] = scale
    return [muon, adam]


def train(
    folder: Path,
    name: str,
    model: nn.Module,
    optimisers: list[torch.optim.Optimizer],
    schedule: settings.Schedule,
    loss_of: Callable[[np.random.Generator, int], dict[str, Tensor]],
    judge: Callable[[], dict[str, float]],
    clip: float = 1.0,
) -> None:
    """Until `schedule.steps`, from `folder`/`name`.pt where that is. The model is on `DEVICE` already.

    loss_of(rng, step) draws a batch and gives its losses by name; "loss" is the one to follow down. judge() gives what to tell
    of clips that are held out. `clip` is the largest norm of the gradients. The log is a line of JSON for every
    `_LOG_EVERY` steps in `folder`/`name`.log.
    """
    path = folder / f"{name}.pt"
    step, seconds = 0, 0.0
    if path.is_file():
        state = torch.load(path, map_location=DEVICE, weights_only=True)
        model.load_state_dict(state["model"])
        for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        step, seconds = state["step"], state["seconds"]

    def save() -> None:
        state = {"model": model.state_dict(), "optimisers": [o.state_dict() for o in optimisers]}
        partial = path.with_suffix(".partial")
        torch.save(state | {"step": step, "seconds": seconds}, partial)
        partial.rename(path)

    saved = time.monotonic()
    started = saved - seconds
    recent: list[dict[str, float]] = []
    while step < schedule.steps:
        rate = schedule.at(step)
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate * group["scale"]
            optimiser.zero_grad()
        losses = loss_of(np.random.default_rng([settings.SEED, step]), step)
        losses["loss"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        for optimiser in optimisers:
            optimiser.step()
        step += 1
        seconds = time.monotonic() - started
        recent.append({key: float(value.detach()) for key, value in losses.items()})
        if step % _LOG_EVERY == 0 or step == schedule.steps:
            keys = sorted({key for one in recent for key in one})
            line = {key: round(float(np.mean([one[key] for one in recent if key in one])), 4) for key in keys}
            if step % (4 * _LOG_EVERY) == 0 or step == schedule.steps:
                line |= {key: round(value, 4) for key, value in judge().items()}
            with open(folder / f"{name}.log", "a") as log:
                log.write(json.dumps({"step": step, "seconds": round(seconds), "rate": rate} | line) + "\n")
            recent = []
        if time.monotonic() - saved > _SAVE_EVERY:
            save()
            saved = time.monotonic()
    save()


def load_trained(folder: Path, name: str, model: nn.Module) -> nn.Module:
    """Load the weights that `train` saved into the model, on the CPU."""
    model.load_state_dict(torch.load(folder / f"{name}.pt", map_location="cpu", weights_only=True)["model"])
    return model.eval()
