"""What the codec's codes stand for: 54 log-mel bands and the phase of the fundamental, in residual codebooks.

A decoder can be trained for given latents in minutes, where a whole EnCodec takes days. The phase is what makes the sound
of a voice follow from them: a decoder that must invent it buzzes.

The first codebook holds the bands alone. The second holds the phase and, as the phase does not need 1024 entries, half of
what is left of the bands too: these two are all that the coarse stage predicts.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bark_infinity.constants import CODEBOOK_SIZE, FRAME_RATE_HZ, N_FINE_CODEBOOKS, SAMPLE_RATE

from . import settings

HOP = SAMPLE_RATE // FRAME_RATE_HZ
N_MELS, WIDTH = 54, 64
_MEL_WINDOW, _FFT, _MEL_TOP = 640, 1_024, 11_000  # samples, samples, Hz: the male teacher has nothing above
_FLOOR = 2e-3  # added to every band: 20 dB under a quiet vowel
PHASE_AT = (-128, -64, 0, 64, 128)  # samples from a frame's middle, as far apart as the decoder's first outputs
_VOICED_BAND = 60.0, 1_500.0  # Hz: what is squared where the fundamental is missing
PHASE_WEIGHT = 1.0  # of the phase beside the bands, in a codebook's distances
SCALE = 0.7  # of the latents that the decoder hears, and of the codebooks in the checkpoint


@cache
def mel_bands(bands: int, fft: int, top: float) -> Tensor:
    """[bands, fft // 2 + 1]: triangles on HTK's mel scale, each with the sum 1."""
    frequencies = np.linspace(0, SAMPLE_RATE / 2, fft // 2 + 1)
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + top / 700), bands + 2) / 2595) - 1)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    weights = np.clip(np.minimum((frequencies - low) / (middle - low), (high - frequencies) / (high - middle)), 0, None)
    return torch.tensor(weights / (weights.sum(1, keepdims=True) + 1e-9), dtype=torch.float32)


def latents(sound: Tensor, voice: settings.Voice) -> Tensor:
    """Samples [n] to [ceil(n / 320), 64]."""
    frames = -(-len(sound) // HOP)
    padded = F.pad(sound, (2 * HOP, frames * HOP - len(sound) + 3 * HOP))
    middles = torch.arange(frames) * HOP + 2 * HOP + HOP // 2
    pieces = padded.unfold(0, _MEL_WINDOW, 1)[middles - _MEL_WINDOW // 2] * torch.hann_window(_MEL_WINDOW)
    magnitude = torch.fft.rfft(pieces, _FFT).abs() / math.sqrt(_MEL_WINDOW)
    bands = (torch.log(magnitude @ mel_bands(N_MELS, _FFT, _MEL_TOP).T + _FLOOR) + 3.5) / 2
    voiced = _with_fundamental(padded) if voice.fundamental_missing else padded
    return torch.cat([bands, *(_phase(voiced, middles + at, voice) for at in PHASE_AT)], 1)


def _with_fundamental(sound: Tensor) -> Tensor:
    """The square of the sound's low harmonics: they beat at the fundamental, also where that was filtered away."""
    spectrum, frequencies = torch.fft.rfft(sound), torch.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE)
    lowest, highest = _VOICED_BAND
    spectrum[(frequencies < lowest) | (frequencies > highest)] = 0
    return torch.fft.irfft(spectrum, len(sound)).square()


def _phase(padded: Tensor, at: Tensor, voice: settings.Voice) -> Tensor:
    """[frames, 2]: cosine and negated sine of the fundamental's phase, shorter where there is none."""
    window = torch.hann_window(voice.window)
    angle = 2 * math.pi * voice.carrier / SAMPLE_RATE * (torch.arange(voice.window) - voice.window // 2)
    carrier = torch.stack([angle.cos(), angle.sin()], 1) * (window / window.sum())[:, None]
    found = padded.unfold(0, voice.window, 1)[at - voice.window // 2] @ carrier
    strength = found.norm(dim=1, keepdim=True)
    direction = found / strength.clamp(min=1e-9)
    amplitude = strength.sqrt() if voice.fundamental_missing else strength  # of a square, the root goes with the sound
    return PHASE_WEIGHT * direction * amplitude / (amplitude + voice.half_voiced)


def nearest(points: Tensor, entries: Tensor) -> Tensor:
    """[n, width], [entries, width] to the index of each point's nearest entry."""
    half = (entries * entries).sum(1) / 2
    return torch.cat([(half - part @ entries.T).argmin(1) for part in points.split(8_192)])


def _k_means(points: Tensor, rounds: int, generator: torch.Generator) -> Tensor:
    entries = points[torch.randperm(len(points), generator=generator)[:CODEBOOK_SIZE]].clone()
    for _ in range(rounds):
        of = nearest(points, entries)
        counts = torch.bincount(of, minlength=CODEBOOK_SIZE)
        sums = torch.zeros_like(entries).index_add_(0, of, points)
        used = counts > 0
        entries[used] = sums[used] / counts[used, None]
        unused = (~used).nonzero()[:, 0]
        entries[unused] = points[torch.randint(len(points), (len(unused),), generator=generator)]
    return entries


def codebooks(points: Tensor) -> Tensor:
    """[8, 1024, 64] from latents [n, 64]: the bands in the first, the phase and the rest in the others."""
    generator = torch.Generator().manual_seed(settings.SEED)
    books = torch.zeros(N_FINE_CODEBOOKS, CODEBOOK_SIZE, WIDTH)
    rest = points
    for i in range(N_FINE_CODEBOOKS):
        width = N_MELS if i == 0 else WIDTH
        books[i, :, :width] = _k_means(rest[:, :width], 14 if i < 2 else 8, generator)
        rest = rest - books[i][nearest(rest, books[i])]
    return books


def neighbours(book: Tensor, count: int) -> np.ndarray:
    """[1024, count]: the nearest entries of each of a codebook's entries, itself left out."""
    return torch.cdist(book, book).topk(count + 1, largest=False).indices[:, 1:].numpy()


def coded(points: Tensor, books: Tensor) -> Tensor:
    """Encode latents [n, 64] as codes [8, n]."""
    codes, rest = [], points
    for book in books:
        codes.append(nearest(rest, book))
        rest = rest - book[codes[-1]]
    return torch.stack(codes)


def decoded(codes: Tensor, books: Tensor) -> Tensor:
    """Decode codes [codebooks, ...] to the decoder's input [..., 64]; a negative code adds nothing."""
    return SCALE * sum(book[of] * (of >= 0)[..., None] for book, of in zip(books, codes, strict=False))
