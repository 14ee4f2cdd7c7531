"""Train the fine stage: the other six codebooks, each predicted from those before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bark_infinity.constants import CODEBOOK_SIZE, N_COARSE_CODEBOOKS, N_FINE_CODEBOOKS

from . import settings
from .codec import Coded, codebooks, coded_clips
from .loop import DEVICE, optimisers, train
from .transformer import Transformer, periods_between, sinusoids

_UNKNOWN = CODEBOOK_SIZE  # the id of a code that is not predicted yet
_WINDOW = 1024  # frames
_USUAL = 300


class Fine(nn.Module):
    """The fine model. A codebook's table is also its head, initialised from its vectors by one shared projection."""

    def __init__(self, books: Tensor | None = None):
        super().__init__()
        width = settings.FINE.width
        self.body = Transformer(settings.FINE, causal=False)
        self.tables = nn.Parameter(torch.randn(N_FINE_CODEBOOKS, CODEBOOK_SIZE + 1, width) * 0.02)
        self.position = nn.Parameter(torch.randn(_WINDOW, width) * 0.005)
        if books is not None:
            with torch.no_grad():
                points = (books - books.mean(1, keepdim=True)) / books[0].std()
                self.tables[:, :CODEBOOK_SIZE] += (
                    points @ torch.randn(books.shape[2], width) / books.shape[2] ** 0.5 * 0.05
                )
                self.position[:, :64] += sinusoids(torch.arange(_WINDOW), periods_between(2, 300, 32)) * 0.03

    def entropy(self, codes: Tensor, mask: Tensor, codebook: int) -> Tensor:
        """Cross entropy of one codebook. codes: [rows, frames, 8]; mask: [rows, frames], True where to predict."""
        known = codes.clone()
        later = known[..., codebook:]
        later[mask] = _UNKNOWN
        embedded = sum(F.embedding(known[..., i], self.tables[i]) for i in range(codebook + 1))
        hidden = self.body(embedded + self.position[: codes.shape[1]])[mask]
        return F.cross_entropy(F.linear(hidden, self.tables[codebook, :CODEBOOK_SIZE]), codes[..., codebook][mask])


def _batch(rng: np.random.Generator, clips: list[Coded]) -> tuple[Tensor, Tensor]:
    """Pieces of clips, a third of them with a known beginning, some padded to a whole window."""
    whole = rng.random() < 0.08
    frames, rows = (_WINDOW, 4) if whole else (_USUAL, 14)
    codes = np.full((rows, frames, N_FINE_CODEBOOKS), _UNKNOWN)
    mask = np.zeros((rows, frames), bool)
    for row in range(rows):
        piece = clips[rng.integers(len(clips))].codes.T
        first = int(rng.integers(0, max(1, len(piece) - frames)))
        piece = piece[first : first + frames]
        known = int(rng.integers(0, len(piece) // 2)) if rng.random() < 0.35 else 0
        codes[row, : len(piece)] = piece
        mask[row, known : len(piece)] = True
    return torch.from_numpy(codes).to(DEVICE), torch.from_numpy(mask).to(DEVICE)


def learn(folder: Path) -> None:
    """Train on the coded clips in `folder`; writes `fine.pt`."""
    torch.manual_seed(settings.SEED)
    held, clips = coded_clips(folder)
    model = Fine(codebooks(folder)).to(DEVICE)
    predicted = range(N_COARSE_CODEBOOKS, N_FINE_CODEBOOKS)

    def loss_of(rng: np.random.Generator, _: int) -> dict[str, Tensor]:
        return {"loss": model.entropy(*_batch(rng, clips), int(rng.choice(predicted)))}

    def judge() -> dict[str, float]:
        rng = np.random.default_rng(0)
        with torch.no_grad():
            return {f"held {i}": float(model.entropy(*_batch(rng, held), i)) for i in predicted}

    train(folder, "fine", model, optimisers(model, model.body, 0.7), settings.FINE_SCHEDULE, loss_of, judge)
