"""Train the coarse stage: semantic tokens to the codes of the first two codebooks, in the voice of the history."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bark_infinity.constants import CODEBOOK_SIZE, FRAME_RATE_HZ, SEMANTIC_RATE_HZ

from . import latents, settings
from . import tokens as t
from .codec import Coded, codebooks, coded_clips
from .loop import DEVICE, optimisers, products, train
from .transformer import SharedSinusoids, Transformer, periods_between, table

_SEMANTIC_WINDOW = 256
_LOOK_AHEAD = 47  # semantic tokens of a window ahead of the history's: 256 minus the 209 that belong to 630 codes
_MAX_CODES = 690  # 630 of history and 60 to make
_USUAL_CODES = 340
_NEIGHBOURS = 8
_TEMPERATURE = 0.7 / 1.2  # of the samples that replace input codes
_PERIODS = periods_between(0.06, 6, 32)  # in seconds
_TO_PHONE = SharedSinusoids(_PERIODS, query=64, key=0)  # the phones at the time of a code
_TO_CODE = SharedSinusoids(_PERIODS, query=64, key=64)  # the codes at about that time
_LOOKS_AT = (  # seconds from a code's time, of the heads of the first blocks
    ((_TO_PHONE, 0.0), (_TO_PHONE, 0.06), (_TO_PHONE, -0.06), (_TO_CODE, -0.013)),
    ((_TO_PHONE, 0.0), (_TO_PHONE, 0.12), (_TO_CODE, -0.04)),
)


@dataclass(frozen=True)
class ClipTokens:
    semantic: np.ndarray  # [tokens]
    codes: np.ndarray  # [frames * 2]: interleaved ids of the first two codebooks, offsets included


@dataclass(frozen=True)
class Batch:
    semantic: Tensor  # [rows, length]
    codes: Tensor  # [rows, even length]
    inputs: Tensor  # [rows, even length]: the codes as fed to the stage, some of them replaced
    mask: Tensor  # [rows, even length]: True where a code is to be predicted, False in the padding


def clip_tokens(one: Coded) -> ClipTokens:
    utterance = one.clip.utterance
    words = [t.characters(word) for word in utterance.text.split()]
    semantic = t.tokens_at_times(utterance.phones, t.places(words, utterance.words), utterance.ends)
    codes = one.codes[:2].astype(np.int64) + t.N_SEMANTIC + np.array([[0], [CODEBOOK_SIZE]])
    return ClipTokens(semantic, codes.T.reshape(-1))


class Windows:
    """Draws training windows: from the beginning of a clip or from inside it, continued with other clips of the same voice."""

    def __init__(self, clips: list[Coded], books: Tensor | None = None):
        """With `books`, some input codes of the first codebook are replaced by neighbours, as in the stage's own output."""
        self._voices = [
            [clip_tokens(one) for one in clips if one.clip.voice == voice] for voice in range(len(settings.VOICES))
        ]
        self._near = None if books is None else latents.neighbours(books[0], _NEIGHBOURS)

    def draw(self, rng: np.random.Generator, longest: int) -> ClipTokens:
        """Clips of one voice joined, from a random position, at most as long as a window."""
        voice = self._voices[rng.integers(len(self._voices))]
        tokens = min(_SEMANTIC_WINDOW, round(longest / 2 / FRAME_RATE_HZ * SEMANTIC_RATE_HZ) + _LOOK_AHEAD)
        first = voice[rng.integers(len(voice))]
        start = int(rng.integers(0, max(1, len(first.semantic) - 40))) if rng.random() < 0.5 else 0
        ahead = rng.uniform(0.0, 1.8) if start else 0.0  # tokens by which the codes of a moved window begin earlier
        frame = round(max(0.0, start - ahead) * FRAME_RATE_HZ / SEMANTIC_RATE_HZ)
        semantic, codes = [first.semantic[start:]], [first.codes[2 * frame :]]
        while sum(map(len, semantic)) < tokens and rng.random() < settings.COARSE_JOINED:
            following = voice[rng.integers(len(voice))]
            semantic.append(following.semantic)
            codes.append(following.codes)
        return ClipTokens(np.concatenate(semantic)[:tokens], np.concatenate(codes)[:longest])

    def batch(self, rng: np.random.Generator, positions: int) -> Batch:
        """Windows with about `positions` positions in all; a share of the batches has windows of full length."""
        longest = _MAX_CODES if rng.random() < settings.COARSE_WHOLE else _USUAL_CODES
        rows = max(1, positions // (longest + longest // 3 + _LOOK_AHEAD))
        windows = [self.draw(rng, longest) for _ in range(rows)]
        batch = collate(windows, _SEMANTIC_WINDOW if rng.random() < 0.15 else 0)
        if self._near is not None:
            batch = replace(batch, inputs=self._with_neighbours(rng, batch.codes))
        return Batch(*(tensor.to(DEVICE) for tensor in vars(batch).values()))

    def _with_neighbours(self, rng: np.random.Generator, codes: Tensor) -> Tensor:
        """[rows, length]: the codes with a random share of each row's first codebook replaced by neighbours."""
        inputs, bands = codes.clone(), codes[:, ::2]
        wrong = rng.random(bands.shape) < settings.COARSE_MISHEARD * rng.random((len(bands), 1))
        others = self._near[bands.numpy() - t.N_SEMANTIC, rng.integers(_NEIGHBOURS, size=bands.shape)] + t.N_SEMANTIC
        inputs[:, ::2] = torch.where(torch.from_numpy(wrong), torch.from_numpy(others), bands)
        return inputs


def collate(windows: list[ClipTokens], length: int = 0) -> Batch:
    """Pad and stack windows; the semantic part is as long as the longest, or `length`."""
    length = length or max(len(one.semantic) for one in windows)
    semantic = np.full((len(windows), length), t.COARSE_PAD)
    codes = np.full((len(windows), max(len(one.codes) for one in windows)), t.N_SEMANTIC)
    mask = np.zeros(codes.shape, bool)
    for i, one in enumerate(windows):
        semantic[i, : len(one.semantic)] = one.semantic
        codes[i, : len(one.codes)] = one.codes
        mask[i, : len(one.codes)] = True
    return Batch(*map(torch.from_numpy, (semantic, codes, codes, mask)))


class Coarse(nn.Module):
    """The coarse model. Code embeddings are initialised from their codebook's vectors, positions as sinusoids of time."""

    def __init__(self, books: Tensor | None = None):
        super().__init__()
        width = settings.COARSE.width
        self.body = Transformer(settings.COARSE)
        self.phone, self.other = table(len(t.PHONES), width, 0.05), table(2, width, 0.05)
        self.code, self.code_head = (table(2 * CODEBOOK_SIZE, width, 0.02) for _ in range(2))
        self.position = table(1024, width, 0.005)
        if books is not None:
            self._resemble(books)

    @torch.no_grad()
    def _resemble(self, books: Tensor) -> None:
        for i in range(2):
            points = (books[i] - books[i].mean(0)) / books[i].std()
            rows = slice(i * CODEBOOK_SIZE, (i + 1) * CODEBOOK_SIZE)
            for tensor, std in ((self.code, 0.04), (self.code_head, 0.02)):
                tensor[rows] += points @ torch.randn(points.shape[1], tensor.shape[1]) / points.shape[1] ** 0.5 * std
        tokens = (torch.arange(_SEMANTIC_WINDOW) + 0.5) / SEMANTIC_RATE_HZ
        frames = (torch.arange(1024 - _SEMANTIC_WINDOW - 1) // 2 + 0.5) / FRAME_RATE_HZ
        for embeddings in (self.phone, self.code, self.other):  # noise there would blur the alignment
            embeddings[:, : _TO_CODE.query_channels.stop] = 0.0
        spoken, heard = self.position[:_SEMANTIC_WINDOW], self.position[_SEMANTIC_WINDOW + 1 :]
        spoken[:, _TO_PHONE.key_channels] += _TO_PHONE.encoded(tokens) * 0.06
        heard[:, _TO_PHONE.query_channels] += _TO_PHONE.encoded(frames) * 0.06
        heard[::2, 129] += 0.1  # which of the two codebooks
        heard[1::2, 129] -= 0.1
        for block, offsets in zip(self.body.blocks, _LOOKS_AT, strict=False):
            for head, (sinusoids, offset) in zip(range(block.heads), offsets, strict=False):
                sinusoids.align_head(block, head, offset, 1.4)

    def inputs(self) -> Tensor:
        """[ids, width]: input embeddings; of a semantic token its phone alone counts."""
        return torch.cat([self.phone.repeat_interleave(2 * t.N_PLACES, 0), self.code, self.other])

    def head(self, sharpness: tuple[float, float] = (1.0, 1.0)) -> Tensor:
        """[ids, width]: output embeddings times the sharpness of their codebook, zero for ids that are never produced."""
        before = self.code_head.new_zeros(t.N_SEMANTIC, self.code_head.shape[1])
        halves = self.code_head.split(CODEBOOK_SIZE)
        return torch.cat([before, *(of * half for of, half in zip(sharpness, halves, strict=True)), before[:2]])

    def forward(self, batch: Batch) -> Tensor:
        """[rows, codes, width]: hidden states, each of which predicts the code at its position."""
        embeddings, length = self.inputs(), batch.semantic.shape[1]
        infer = torch.full_like(batch.codes[:, :1], t.COARSE_INFER)
        codes = F.embedding(torch.cat([infer, batch.inputs[:, :-1]], 1), embeddings)
        codes = codes + self.position[_SEMANTIC_WINDOW : _SEMANTIC_WINDOW + codes.shape[1]]
        semantic = F.embedding(batch.semantic, embeddings) + self.position[:length]
        return self.body(torch.cat([semantic, codes], 1))[:, length:]

    def _logits(self, hidden: Tensor, codebook: int) -> Tensor:
        """[..., width] to [..., 1024]."""
        with products(exact=not self.training):
            return F.linear(hidden, self.code_head[codebook * CODEBOOK_SIZE : (codebook + 1) * CODEBOOK_SIZE]).float()

    def entropies(self, batch: Batch) -> list[Tensor]:
        """Cross entropy of each of the two codebooks."""
        hidden, found = self(batch), []
        for i in range(2):
            mask = batch.mask[:, i::2]
            target = batch.codes[:, i::2][mask] - t.N_SEMANTIC - i * CODEBOOK_SIZE
            found.append(F.cross_entropy(self._logits(hidden[:, i::2][mask], i), target))
        return found

    @torch.no_grad()
    def with_sampled_inputs(self, rng: np.random.Generator, batch: Batch, most_phases: float) -> Batch:
        """The batch with some input codes replaced by samples of this model: scheduled sampling, all positions at once.

        Their share is drawn for each row, up to 1 of the bands and up to `most_phases` of the phases.
        """
        hidden, inputs = self(batch), batch.inputs.clone()
        share = rng.random((len(inputs), 1))
        for i, most in enumerate((1.0, most_phases)):
            logits = self._logits(hidden[:, i::2], i) / _TEMPERATURE
            below = logits.softmax(-1).cumsum(-1)
            chance = rng.random((2, *below.shape[:2]), np.float32)
            drawn = (below < torch.from_numpy(chance[0]).to(DEVICE)[..., None]).sum(-1).clamp(max=CODEBOOK_SIZE - 1)
            own = torch.from_numpy(chance[1] < most * share).to(DEVICE)
            inputs[:, i::2] = torch.where(own, drawn + t.N_SEMANTIC + i * CODEBOOK_SIZE, inputs[:, i::2])
        return replace(batch, inputs=inputs)


def learn(folder: Path) -> None:
    """Train on the coded clips in `folder`; writes `coarse.pt`."""
    torch.manual_seed(settings.SEED)
    books = codebooks(folder)
    model = Coarse(books).to(DEVICE)
    held, clips = coded_clips(folder)
    learned, judged = Windows(clips, books), Windows(held)
    batches = [judged.batch(np.random.default_rng(i), settings.COARSE_POSITIONS) for i in range(8)]

    def loss_of(rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        batch = learned.batch(rng, settings.COARSE_POSITIONS)
        rounds = sum(step >= first for first in settings.COARSE_OWN_FROM)
        if rounds and rng.random() < settings.COARSE_OWN:
            for _ in range(rounds):
                batch = model.with_sampled_inputs(rng, batch, settings.COARSE_OWN_PHASES)
        bands, phase = model.entropies(batch)
        return {"loss": bands + settings.PHASE_WEIGHT * phase, "bands": bands, "phase": phase}

    def judge() -> dict[str, float]:
        own = [model.with_sampled_inputs(np.random.default_rng(i), batch, 0.25) for i, batch in enumerate(batches)]
        with torch.no_grad():
            found = [np.mean([[float(one) for one in model.entropies(b)] for b in of], 0) for of in (batches, own)]
        return {"held bands": found[0][0], "held phase": found[0][1], "held bands after own codes": found[1][0]}

    train(folder, "coarse", model, optimisers(model, model.body, 1.0), settings.COARSE_SCHEDULE, loss_of, judge)
