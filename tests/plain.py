"""The slow plain loop: BARK.md step by step, one row, no batch, no cache but the oracle's, with the oracle's networks and torch's
default generator. Every fast path must give its tokens."""

from __future__ import annotations

import inspect
import math

import numpy as np
import torch
import torch.nn.functional as F

R = 75 / 49.9 * 2


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max())
    return e / e.sum()


def draw(logits: torch.Tensor, temp: float, top_k: int | None, top_p: float | None) -> tuple[int, torch.Tensor]:
    logits = logits.float().clone()
    if top_p is not None:
        values = logits.numpy()
        order = np.argsort(values)[::-1]
        cumulative = np.cumsum(softmax(values[order]))
        keep = int(np.searchsorted(cumulative, top_p, side="right")) + 1  # the one that crosses p included
        values[order[keep:]] = -np.inf
    if top_k is not None:
        kth = torch.topk(logits, min(top_k, len(logits))).values[-1]
        logits[logits < kth] = -torch.inf
    if temp == 0:
        return int(logits.argmax()), F.one_hot(logits.argmax(), len(logits)).float()
    probs = F.softmax(logits / temp, dim=-1)
    return int(torch.multinomial(probs, 1)), probs


class LastLogits:
    """The logits behind the last position of a growing sequence, by the oracle's own cache of keys and values.

    Without the cache each step would recompute all positions, which takes a hundred times as long.
    """

    def __init__(self, model: torch.nn.Module):
        self._model, self._cache = model, None
        names = inspect.signature(model.forward).parameters
        self._cache_name = "cache" if "cache" in names else "past_key_values"  # as older versions call it

    def __call__(self, **new: torch.Tensor) -> torch.Tensor:
        """Append these input ids or embeddings to the sequence; the logits (V,) behind them."""
        hook = self._model.lm_head.register_forward_pre_hook(lambda _, hidden: (hidden[0][:, -1:],))
        try:
            out = self._model(**new, **{self._cache_name: self._cache}, use_cache=True)
        finally:
            hook.remove()
        self._cache = getattr(out, "past_key_values", None) or out.cache
        return out.logits[0, -1]


@torch.no_grad()
def semantic(
    oracle, ids, history, temp=0.7, top_k=None, top_p=None, min_eos_p=0.2, max_s=None, early=True
) -> np.ndarray:
    model, g = oracle.semantic, oracle.generation_config.semantic_config
    text = [i + g.text_encoding_offset for i in ids[:256]]
    text += [g.text_pad_token] * (256 - len(text))
    history_tokens = [] if history is None else [int(t) for t in history[-256:]]
    history_tokens += [g.semantic_pad_token] * (256 - len(history_tokens))
    embed = model.input_embeds_layer
    x = torch.cat(
        [embed(torch.tensor(text)) + embed(torch.tensor(history_tokens)), embed(torch.tensor([g.semantic_infer_token]))]
    )
    out: list[int] = []
    last_logits = LastLogits(model)
    for _ in range(g.max_new_tokens):
        logits = last_logits(inputs_embeds=x[None])
        relevant = logits[: g.semantic_vocab_size]
        if early:
            relevant = torch.hstack([relevant, logits[[g.semantic_pad_token]]])
        token, probs = draw(relevant, temp, top_k, top_p)
        if early and (token == g.semantic_vocab_size or (min_eos_p is not None and float(probs[-1]) >= min_eos_p)):
            break
        out.append(token)
        if max_s is not None and len(out) / 49.9 > max_s:
            break
        x = embed(torch.tensor([token]))
    return np.array(out, np.int64)


@torch.no_grad()
def coarse(
    oracle,
    semantic,
    history_semantic=None,
    history_coarse=None,
    temp=0.7,
    top_k=None,
    top_p=None,
    max_history=630,
    window=60,
    limit=None,
) -> np.ndarray:
    model = oracle.coarse_acoustics
    g, vocab = (
        oracle.generation_config.coarse_acoustics_config,
        oracle.generation_config.semantic_config.semantic_vocab_size,
    )
    max_sem = math.floor(max_history / R)
    past_semantic, past_coarse = np.zeros(0, np.int64), np.zeros(0, np.int64)
    if history_semantic is not None and len(history_semantic):
        flat = (np.asarray(history_coarse) + np.array([[vocab], [vocab + 1024]])).T.reshape(-1)
        n_sem = min(max_sem, len(history_semantic) - len(history_semantic) % 2, math.floor(len(flat) / R))
        past_semantic = np.asarray(history_semantic)[-n_sem:]
        past_coarse = flat[-round(n_sem * R) :][:-2]
    steps = limit or round(math.floor(len(semantic) * R / 2) * 2)
    all_sem = np.concatenate([past_semantic, semantic])
    tokens = list(past_coarse)
    n_generated = 0
    while n_generated < steps:
        at = len(past_semantic) + round(n_generated / R)
        part = all_sem[max(0, at - max_sem) :][:256]
        part = np.concatenate([part, np.full(256 - len(part), g.coarse_semantic_pad_token)])
        x = np.concatenate([part, [g.coarse_infer_token], tokens[-max_history:]]).astype(np.int64)
        last_logits = LastLogits(model)  # new for each window, whose positions start anew
        for _ in range(min(window, steps - n_generated)):
            logits = last_logits(input_ids=torch.from_numpy(x)[None])
            start = vocab + 1024 * (n_generated % 2)
            token = draw(logits[start : start + 1024], temp, top_k, top_p)[0] + start
            x = np.array([token])
            tokens.append(token)
            n_generated += 1
    return np.array(tokens[len(past_coarse) :]).reshape(-1, 2).T - np.array([[vocab], [vocab + 1024]])


@torch.no_grad()
def fine(oracle, coarse, history=None, temp=0.5) -> np.ndarray:
    model, frames = oracle.fine_acoustics, coarse.shape[1]
    codes = np.concatenate([coarse, np.full((6, frames), 1024)])
    n_history = 0
    if history is not None and history.shape[1]:
        codes = np.concatenate([history[:, -512:], codes], axis=1)
        n_history = history[:, -512:].shape[1]
    padding = max(0, 1024 - codes.shape[1])
    codes = np.concatenate([codes, np.full((8, padding), 1024)], axis=1).T.copy()
    loops = max(0, math.ceil((frames - (1024 - n_history)) / 512)) + 1
    for n in range(loops):
        start = min(512 * n, len(codes) - 1024)
        fill = min(n_history + 512 * n, len(codes) - 512)
        for book in range(2, 8):
            window = torch.from_numpy(codes[start : start + 1024])[None]
            logits = model(book, window).logits[0, fill - start :, :1024]
            if temp:
                probs = F.softmax(logits.float() / temp, dim=-1)
                codes[fill : start + 1024, book] = torch.multinomial(probs, 1)[:, 0].numpy()
            else:
                codes[fill : start + 1024, book] = logits.argmax(-1).numpy()
    codes = codes[n_history:]
    return (codes[:-padding] if padding else codes).T
