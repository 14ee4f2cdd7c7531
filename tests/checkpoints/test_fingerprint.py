"""The fingerprint that distinguishes the weights of two checkpoints."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bark_infinity import Bark
from bark_infinity.checkpoints.fingerprint import fingerprint


def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {"norm": torch.randn(64), "matrix": torch.randn(200, 64), "half": torch.randn(50, 64).bfloat16()}


def changed(name: str, place: object, value: object) -> str:
    weights = state()
    weights[name][place] = value
    return fingerprint(weights)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("norm", 40),
        ("matrix", 0),  # a row, as when one word is trained
        ("matrix", 77),
        ("matrix", 199),
        ("matrix", (slice(None), 63)),  # a column
        ("half", 3),
        ("matrix", (slice(10, 14), slice(None))),
    ],
)
def test_changing_part_of_a_tensor_changes_the_fingerprint(name, place):
    assert changed(name, place, 0.5) != fingerprint(state()) == fingerprint(state())


def test_fingerprint_depends_on_names_shapes_and_dtypes():
    before = state()
    different = [
        {**before, "norm": before["norm"].double()},
        {**before, "norm": before["norm"][None]},
        {"other": before["norm"], "matrix": before["matrix"], "half": before["half"]},
        {"norm": before["norm"], "matrix": before["matrix"]},
        {**before, "empty": torch.zeros(0, 5), "number": torch.zeros(())},
    ]
    assert len({fingerprint(weights) for weights in (before, *different)}) == 6
    assert fingerprint(dict(reversed(before.items()))) == fingerprint(before)


def test_fingerprint_is_fast():
    """33 ms of processor time for a large stage (1.8 GB in float32); here a tenth of one."""
    weights = {str(k): torch.ones(4096, 1024) for k in range(10)}
    fingerprint(weights)
    start = time.process_time()
    fingerprint(weights)
    assert time.process_time() - start < 0.2


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_identity_changes_with_one_middle_layer_and_not_with_the_path(huggingface_folder, dtype):
    folder = Path("model")
    shutil.copytree(huggingface_folder, folder)
    before = Bark.load(str(folder), "cpu", dtype).identity
    assert Bark.load(str(folder), "cpu", dtype).identity == before
    (path,) = folder.glob("*.safetensors")
    weights = load_file(path)
    name = next(n for n in sorted(weights) if n.startswith("coarse_acoustics.") and "mlp" in n and n.endswith("weight"))
    weights[name] = weights[name] * 1.01
    save_file(weights, path, {"format": "pt"})
    assert Bark.load(str(folder), "cpu", dtype).identity != before
    shutil.rmtree(folder)
    shutil.copytree(huggingface_folder, "elsewhere")
    assert Bark.load("elsewhere", "cpu", dtype).identity == before  # the same weights in another folder
