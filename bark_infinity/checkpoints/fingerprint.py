"""A fingerprint of a checkpoint's weights that needs no reading of gigabytes: a digest of a part of every tensor."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch

_WHOLE_ROWS = 8  # of each matrix, spread evenly


def fingerprint(state: Mapping[str, torch.Tensor]) -> str:
    """Digest of names, shapes, types, all vectors, some rows of each matrix, and one number of every row.

    Any further training changes it, because training changes nearly all numbers of a layer. The single numbers are taken
    along a diagonal, which covers every row and every column.
    """
    digest = hashlib.blake2b(digest_size=32)
    for name in sorted(state):
        tensor = state[name].detach()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        if tensor.ndim < 2:
            digest.update(_bytes(tensor))
            continue
        rows = tensor.flatten(1)
        n, width = rows.shape
        some = torch.linspace(0, n - 1, min(n, _WHOLE_ROWS)).round().long() if n else torch.zeros(0, dtype=torch.long)
        every = torch.arange(n)
        digest.update(_bytes(rows[some]))
        if width:
            digest.update(_bytes(rows[every, every % width]))
    return digest.hexdigest()


def _bytes(tensor: torch.Tensor) -> memoryview:
    flat = tensor.contiguous().reshape(-1).cpu()
    return memoryview(flat.view(torch.uint8).numpy())
