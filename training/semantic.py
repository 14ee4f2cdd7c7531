"""Train the semantic stage: characters to phones, partly with one token per phone, and the phones' durations."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bark_infinity.constants import SEMANTIC_RATE_HZ

from . import settings
from . import tokens as t
from .durations import Durations
from .loop import DEVICE, optimisers, products, train
from .speech import Clips, Corpus, Utterance, held_and_learned
from .texts import plain
from .transformer import SharedSinusoids, Transformer, harmonic_periods, periods_between, sinusoids, table

_MAX_SEMANTIC = 740  # tokens of an example: Bark's segments have at most 768
_MAX_HISTORY = 256
_MOST_CHARACTERS = 244  # of an example, which may get more punctuation: the stage reads 256
_PAUSE = 0  # the id of the phone "pau"
_MAX_POSITIONS = 1024
_TOKENS_A_PHONE = 4.2  # about
_CHARACTERS_PER_SECOND = 14.3  # the teacher's, white space left out
_PLACE = SharedSinusoids(  # in pairs of characters: which pair a token reads, and where a character stands
    harmonic_periods(t.N_PLACES, 16), query=0, key=160
)
_TIME = SharedSinusoids(  # in seconds: which of the characters at the same place
    periods_between(1.5, 40, 16), query=32, key=32
)
# Characters from the first of the pair being read, of the heads of the first blocks.
_LOOKS_AT = ((0, 1, 2, 3), (1, 2, -1, 4))


@dataclass(frozen=True)
class Example:
    text: np.ndarray  # ids of characters, offset included
    history: np.ndarray  # semantic tokens of the previous sentence, or empty
    semantic: np.ndarray  # target tokens
    brisk: bool


@dataclass(frozen=True)
class Batch:
    prefix: Tensor  # [rows, prefix]
    history: Tensor  # [rows, prefix], `SEMANTIC_PAD` beyond its end
    infer: Tensor  # [rows, 1]
    semantic: Tensor  # [rows, length], `SEMANTIC_PAD` beyond its end
    target: Tensor  # [rows, length], -100 where nothing is to be predicted


class Reader:
    """Draws examples: their texts, how these are written, and the history."""

    def __init__(self, folder: Path, durations: Durations):
        every = Corpus(folder, "all").read()
        common = set(plain([u.text for u in every]))
        self._durations = durations
        self._texts = [
            [u for u in every if u.text in common],
            every,
            Corpus(folder, "numbered").read(),
            Corpus(folder, "salads").read(),
            Corpus(folder, "short").read(),
        ]

    def draw(self, rng: random.Random, sentences: int) -> list[Utterance]:
        """Utterances to be joined into one example."""
        return [rng.choice(rng.choices(self._texts, (42, 32, 10, 10, 6))[0]) for _ in range(sentences)]

    def batch(self, rng: random.Random, budget: int, brisk: bool) -> Batch:
        """Examples of similar length, with about `budget` positions in all."""
        sentences = rng.choices((1, 2, 3, 4), (5, 3, 2, 2))[0]
        whole = rng.random() < 0.15  # the prefix as it is at inference: padded to its full length

        def n_tokens(utterances: list[Utterance]) -> float:
            return sum(len(u.phones) for u in utterances) * (1 if brisk else _TOKENS_A_PHONE)

        def length(utterances: list[Utterance]) -> float:
            return n_tokens(utterances) + (t.MAX_TEXT if whole else _n_characters(utterances))

        pool = [self.draw(rng, sentences) for _ in range(200)]
        fitting = [u for u in pool if _n_characters(u) < _MOST_CHARACTERS and n_tokens(u) < _MAX_SEMANTIC]
        pool = sorted(fitting, key=length)
        filled = np.cumsum([length(utterances) for utterances in pool])
        first = rng.randrange(np.searchsorted(filled, filled[-1] - budget, "right") or 1)
        chosen = pool[first : np.searchsorted(filled, filled[first] + budget)]
        drawn = (self.draw(rng, 1)[0] if rng.random() < 0.5 else None for _ in chosen)
        durations = None if brisk else self._durations
        examples = [
            _example(rng, utterances, before, durations) for utterances, before in zip(chosen, drawn, strict=True)
        ]
        valid = [one for one in examples if one]
        return collate(valid, t.MAX_TEXT if whole else 0) if valid else self.batch(rng, budget, brisk)


def _n_characters(utterances: list[Utterance]) -> int:
    """The number of character ids of their texts, before rewriting."""
    return sum(len(u.text) - u.text.count(" ") for u in utterances)


def _rewritten(rng: random.Random, words: list[str]) -> list[str]:
    """The same words as people type them: other capitals, other punctuation, quotation marks and brackets."""
    manner = rng.random()
    if manner < 0.08:
        words = [word.lower() for word in words]
    elif manner < 0.12:
        words = [word.upper() for word in words]
    elif manner < 0.2:
        words = [word.upper() if rng.random() < 0.15 else word for word in words]
    elif manner < 0.24:
        words = [word.capitalize() for word in words]
    if rng.random() < 0.15:
        words = [*words[:-1], words[-1].rstrip(".")]
    elif rng.random() < 0.08:
        words = [*words[:-1], re.sub(r"\.$", rng.choice(("...", "!")), words[-1])]
    if rng.random() < 0.06:
        first = rng.randrange(len(words))
        last = rng.randrange(first, len(words))
        quote = rng.choice('""\'(')
        words = list(words)
        words[first] = quote + words[first]
        words[last] += {"(": ")"}.get(quote, quote)
    if rng.random() < 0.2:
        words = [re.sub(r",$", rng.choice(";:"), w) if rng.random() < 0.3 else w for w in words]
    return words


def _example(
    rng: random.Random,
    utterances: list[Utterance],
    before: Utterance | None,
    durations: Durations | None,
    clean: bool = False,
) -> Example | None:
    """An example, with one token per phone if `durations` is None; None if it is longer than a segment may be."""
    words: list[list[int]] = []
    phones, places_of, lengths = [], [], []
    for i, one in enumerate(utterances):
        start = 1 if i and one.phones[0] == _PAUSE else 0  # one pause between two sentences is enough
        phones.append(one.phones[start:])
        places_of.append(np.where(one.words[start:] < 0, -1, one.words[start:] + len(words)))
        lengths.append(durations.of(one)[start:] if durations else np.ones(len(phones[-1]), int))
        written = one.text.split()
        words += map(t.characters, written if clean else _rewritten(rng, written))
    of_words = np.concatenate(places_of)
    if not clean and rng.random() < 0.06:  # unreadable characters, which are to be skipped
        at = rng.randrange(len(words) + 1)
        words.insert(at, [0] * rng.randrange(1, 4))
        of_words = np.where(of_words >= at, of_words + 1, of_words)
    text = np.concatenate([np.array(word, int) for word in words]) + t.TEXT_OFFSET
    place, ids = t.places(words, of_words), np.concatenate(phones)
    semantic = t.tokens_of_durations(ids, place, np.concatenate(lengths))
    if len(text) > t.MAX_TEXT or len(semantic) > _MAX_SEMANTIC:
        return None
    history = np.zeros(0, int)
    if before is not None:
        previous = _example(rng, [before], None, durations, clean=True)
        history = previous.semantic[-_MAX_HISTORY:] if previous else history
    return Example(text, history, semantic, brisk=durations is None)


def collate(examples: list[Example], prefix: int = 0) -> Batch:
    """Pad and stack examples; the prefix is as long as the longest text, or `prefix`; histories keep their end."""
    rows = len(examples)
    prefix = prefix or max(len(e.text) for e in examples)
    length = max(len(e.semantic) for e in examples) + 1
    texts = np.full((rows, prefix), t.TEXT_PAD)
    history = np.full((rows, prefix), t.SEMANTIC_PAD)
    semantic = np.full((rows, length), t.SEMANTIC_PAD)
    target = np.full((rows, length), -100)
    for i, e in enumerate(examples):
        texts[i, : len(e.text)] = e.text
        past = e.history[-prefix:]
        history[i, : len(past)] = past
        semantic[i, : len(e.semantic)] = target[i, : len(e.semantic)] = e.semantic
        target[i, len(e.semantic)] = t.SEMANTIC_PAD
    infer = np.array([[t.INFER_BRISK if e.brisk else t.INFER] for e in examples])
    return Batch(*(torch.from_numpy(array).to(DEVICE) for array in (texts, history, infer, semantic, target)))


class Semantic(nn.Module):
    """The semantic model. Embeddings are sums over the parts of a token, so that a phone is learned for every place at once."""

    def __init__(self):
        super().__init__()
        width = settings.SEMANTIC.width
        self.body = Transformer(settings.SEMANTIC)
        self.phone, self.begins = table(len(t.PHONES), width, 0.05), table(2, width, 0.05)
        self.place, self.token = table(t.N_PLACES, width, 0.01), table(t.N_SEMANTIC, width, 0.003)
        self.other = table(t.N_INPUTS - t.N_SEMANTIC, width, 0.05)
        self.phone_head, self.begins_head = table(len(t.PHONES), width, 0.02), table(2, width, 0.02)
        self.place_head, self.token_head = table(t.N_PLACES, width, 0.02), table(t.N_SEMANTIC + 1, width, 0.002)
        self.position = table(_MAX_POSITIONS, width, 0.005)
        with torch.no_grad():
            self._place_characters()
            self._resemble()

    def _place_characters(self) -> None:
        """Initialise positions as sinusoids, and heads that look at the characters about the one being read."""
        count = torch.arange(_MAX_POSITIONS)
        for embeddings in (self.phone, self.begins, self.other):  # noise in these channels would blur the alignment
            for channels in (_PLACE.query_channels, _PLACE.key_channels, _TIME.key_channels):
                embeddings[:, channels] = 0.0
        text, spoken = count[: t.MAX_TEXT], count[t.MAX_TEXT :] - t.MAX_TEXT - 1
        seconds = torch.cat([text / _CHARACTERS_PER_SECOND, spoken / SEMANTIC_RATE_HZ])
        self.place[:, _PLACE.query_channels] += _PLACE.encoded(torch.arange(t.N_PLACES)) * 0.1
        self.position[: t.MAX_TEXT, _PLACE.key_channels] += _PLACE.encoded(text / t.CHARACTERS_PER_PLACE) * 0.1
        self.position[:, _TIME.key_channels] += _TIME.encoded(seconds) * 0.05
        self.position[:, 64:96] += sinusoids(seconds, periods_between(0.3, 1.5, 16)) * 0.05
        self.position[:, 96:160] += sinusoids(count, periods_between(2, 500, 32)) * 0.03
        for block, offsets in zip(self.body.blocks, _LOOKS_AT, strict=False):
            for head, offset in zip(range(block.heads), offsets, strict=False):
                _PLACE.align_head(block, head, offset / t.CHARACTERS_PER_PLACE, 1.5)
                _TIME.align_head(block, head, 0.0, 0.7, 2 * _PLACE.count)

    def _resemble(self) -> None:
        """Initialise capitals, accented letters and letters inside words near the small letter they stand for."""
        entries = {entry: 1 + i for i, entry in enumerate(t.VOCABULARY)}
        for entry, row in entries.items():
            base = entries.get(t.plain_letter(entry))
            if base is not None and base != row:
                self.other[row] = 0.85 * self.other[base] + 0.4 * self.other[row]

    def inputs(self) -> Tensor:
        """[ids, width]: the table of embeddings."""
        return torch.cat([_sums(self.phone, self.begins, self.place) + self.token, self.other])

    def head(self) -> Tensor:
        """[semantic tokens and the end, width]."""
        parts = _sums(self.phone_head, self.begins_head, self.place_head)
        return torch.cat([parts, parts.new_zeros(1, parts.shape[1])]) + self.token_head

    def forward(self, batch: Batch) -> Tensor:
        """Logits of every token to be predicted, in the order of `batch.target >= 0`."""
        hidden = self.hidden(batch)
        with products(exact=not self.training):  # in float32 a sixth of a step's time
            return F.linear(hidden, self.head()).float()

    def hidden(self, batch: Batch) -> Tensor:
        """[n, width]: the last hidden state of every token to be predicted."""
        embeddings, prefix = self.inputs(), batch.prefix.shape[1]
        text = F.embedding(batch.prefix, embeddings) + F.embedding(batch.history, embeddings) + self.position[:prefix]
        semantic = F.embedding(torch.cat([batch.infer, batch.semantic[:, :-1]], 1), embeddings)
        semantic = semantic + self.position[t.MAX_TEXT : t.MAX_TEXT + semantic.shape[1]]
        return self.body(torch.cat([text, semantic], 1))[:, prefix:][batch.target >= 0]


def _sums(phone: Tensor, begins: Tensor, place: Tensor) -> Tensor:
    """[phones, width], [2, width], [places, width] to [semantic tokens, width]: the sums of their parts."""
    return (phone[:, None, None] + begins[:, None] + place).flatten(0, 2)


def scores(logits: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Cross entropy, and the accuracy of phones where one begins."""
    by_phone = logits[:, : t.N_SEMANTIC].float().softmax(-1).view(-1, len(t.PHONES), 2, t.N_PLACES)[:, :, 1].sum(-1)
    begins = (target < t.N_SEMANTIC) & (target // t.N_PLACES % 2 == 1)
    right = by_phone.argmax(-1) == target // t.N_PLACES // 2
    return {"entropy": F.cross_entropy(logits, target), "phones": right[begins].float().mean()}


def learn(folder: Path) -> None:
    """Train on the corpora in `folder`, with one token per phone in a share of the batches; writes `semantic.pt`."""
    torch.manual_seed(settings.SEED)
    model = Semantic().to(DEVICE)
    held, learned = held_and_learned(Clips(folder).read())
    durations = Durations([clip.utterance for clip in learned if clip.voice == settings.TIMING])
    reader = Reader(folder, durations)
    examples = (_example(random.Random(0), [clip.utterance], None, durations, clean=True) for clip in held)
    judged = sorted((one for one in examples if one), key=lambda e: len(e.semantic))
    batches = [collate(judged[i : i + 8], t.MAX_TEXT) for i in range(0, len(judged), 8)]

    def loss_of(numbers: np.random.Generator, _: int) -> dict[str, Tensor]:
        draw = random.Random(int(numbers.integers(2**62)))
        brisk = draw.random() < settings.BRISK
        batch = reader.batch(draw, settings.SEMANTIC_POSITIONS, brisk)
        entropy = F.cross_entropy(model(batch), batch.target[batch.target >= 0])
        return {"loss": entropy, "brisk" if brisk else "timed": entropy}

    def judge() -> dict[str, float]:
        with torch.no_grad():
            found = [scores(model(b), b.target[b.target >= 0]) for b in batches]
        return {f"held {key}": float(np.mean([one[key] for one in found])) for key in found[0]}

    train(folder, "semantic", model, optimisers(model, model.body, 1.0), settings.SEMANTIC_SCHEDULE, loss_of, judge)
