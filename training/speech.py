"""The teachers' speech: the phones of every text, and audio clips in every voice."""

from __future__ import annotations

import json
import multiprocessing
import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from . import alignment, settings, texts
from .pronunciation import Phone, Pronouncer
from .teacher import TEACHERS, Teacher
from .tokens import phone_ids

_CLIP_SHARES = (3, 3, 3, 1, 2)  # of plain sentences, all sentences, passages, those with digits, what people say
_USUAL_CHARACTERS = 90  # of a clip that gets no more sentences


@dataclass(frozen=True)
class Utterance:
    """A text and its phones: ids [n], the index of each phone's word (-1: a pause), ends in seconds (0: not spoken)."""

    text: str
    phones: np.ndarray
    words: np.ndarray
    ends: np.ndarray


class Corpus:
    """Utterances in two files: the texts, and the phones of all of them."""

    def __init__(self, folder: Path, name: str):
        self._texts, self._arrays = folder / f"{name}.json", folder / f"{name}.npz"

    def write(self, utterances: Sequence[Utterance]) -> None:
        self._texts.write_text(json.dumps([u.text for u in utterances]))
        arrays = {name: np.concatenate([getattr(u, name) for u in utterances]) for name in ("phones", "words", "ends")}
        partial = self._arrays.with_suffix(".partial.npz")
        np.savez(partial, lengths=[len(u.phones) for u in utterances], **arrays)
        partial.rename(self._arrays)

    def read(self) -> list[Utterance]:
        with np.load(self._arrays) as arrays:
            cuts = np.cumsum(arrays["lengths"])[:-1]
            parts = [np.split(arrays[name], cuts) for name in ("phones", "words", "ends")]
        return [Utterance(*parts) for parts in zip(json.loads(self._texts.read_text()), *parts, strict=True)]


def utterance(text: str, phones: Sequence[Phone]) -> Utterance | None:
    """None if nothing is read of one of the text's words: what stands alone may be a sign that the teachers skip."""
    words = np.array([phone.token for phone in phones], np.int16)
    if len(phones) < 2 or len(np.unique(words[words >= 0])) != len(text.split()):
        return None
    return Utterance(text, phone_ids(phones), words, np.array([phone.end for phone in phones], np.float32))


def _pronounced(part: Sequence[str]) -> list[Utterance]:
    pronounced = _pronouncer()
    return [found for text in part if (found := utterance(text, pronounced(text)))]


@cache
def _pronouncer() -> Pronouncer:
    return Pronouncer()


@cache
def _teacher(voice: int) -> Teacher:
    return TEACHERS[settings.VOICES[voice].teacher]()


def pronounce(folder: Path) -> None:
    """`all`, `numbered`, `salads` and `short`: phones without durations of everything but the held-out sentences."""
    found = texts.sentences()
    held, learned = found[: settings.N_HELD_OUT], found[settings.N_HELD_OUT :]
    (folder / "held_out.txt").write_text("\n".join(held))
    sets = {
        "all": [*learned, *texts.passages(learned)],
        "numbered": texts.numbered(settings.N_NUMBERED),
        "salads": texts.salads(learned, settings.N_SALADS),
        "short": [*texts.short(learned, settings.N_SHORT), *texts.said(settings.N_SAID)],
    }
    for name, wanted in sets.items():
        Corpus(folder, name).write(_in_processes(_pronounced, wanted))


def _in_processes(work: Callable, items: Sequence) -> list:
    parts = [items[i : i + 100] for i in range(0, len(items), 100)]
    with multiprocessing.get_context("spawn").Pool() as pool:
        return [one for part in pool.imap(work, parts) for one in part]


def _clip_texts() -> list[tuple[str, int]]:
    """Texts and their voices, which take turns: of one to three sentences, behind them those of a few words."""
    waiting = [iter(_texts_of(voice)) for voice in range(len(settings.VOICES))]
    return [(next(waiting[voice]), voice) for voice in _turns([v.clips + v.short_clips for v in settings.VOICES])]


def _texts_of(voice: int) -> list[str]:
    """What a voice speaks, some of it with digits, questions or dialogue; each voice other texts."""
    rng = random.Random(settings.SEED + 3 + voice)
    kind, own = settings.VOICES[voice], slice(voice, None, len(settings.VOICES))
    learned = texts.sentences()[settings.N_HELD_OUT :]
    found = learned[own]
    sources = [
        *map(iter, (texts.plain(found), found[::-1], texts.passages(learned)[own]))
    ]  # both orders: few come twice
    sources += [iter(texts.numbered(4 * kind.clips)), iter(texts.said(4 * kind.clips))]

    def one() -> str:
        text = next(rng.choices(sources, _CLIP_SHARES)[0])
        while len(text) < _USUAL_CHARACTERS and rng.random() < 0.4:
            text += " " + next(rng.choices(sources, _CLIP_SHARES)[0])
        return text

    return [*(one() for _ in range(kind.clips)), *texts.short(found, kind.short_clips)]


def _turns(counts: Sequence[int]) -> list[int]:
    """The voices one after the other, each as often as its count says."""
    return [voice for turn in range(max(counts)) for voice, count in enumerate(counts) if turn < count]


def _spoken(part: Sequence[tuple[str, int]]) -> list[tuple[int, Utterance, np.ndarray]]:
    """Utterances with their voice and their sound, int16 at 24 kHz."""
    done = []
    for text, voice in part:
        samples, phones = _teacher(voice).speak(text, seed=zlib.crc32(text.encode()))
        if spoken := utterance(text, phones):
            done.append((voice, spoken, np.round(np.clip(samples, -1, 1) * 32_767).astype(np.int16)))
    return done


def _aligned(spoken: Sequence[tuple[int, Utterance, np.ndarray]]) -> list[tuple[int, Utterance, np.ndarray]]:
    """The same with better ends of the phones, which are looked for in each voice by itself."""
    aligned = list(spoken)
    for voice in range(len(settings.VOICES)):
        of_voice = [i for i, (one, *_) in enumerate(spoken) if one == voice]
        clips = [alignment.Timed(spoken[i][2], spoken[i][1].phones, spoken[i][1].ends) for i in of_voice]
        for i, ends in zip(of_voice, alignment.refined_ends(clips), strict=True):
            _, one, sound = spoken[i]
            aligned[i] = (voice, replace(one, ends=ends.astype(np.float32)), sound)
    return aligned


class Clips:
    """Utterances with audio: the samples of all of them in one file, read on demand."""

    def __init__(self, folder: Path):
        self.corpus = Corpus(folder, "clips")
        self._sound, self._cuts = folder / "clips.sound.npy", folder / "clips.cuts.npz"

    def write(self, spoken: Sequence[tuple[int, Utterance, np.ndarray]]) -> None:
        self.corpus.write([one for _, one, _ in spoken])
        np.save(self._sound, np.concatenate([sound for *_, sound in spoken]))
        np.savez(self._cuts, lengths=[len(sound) for *_, sound in spoken], voices=[voice for voice, *_ in spoken])

    def read(self) -> list[Clip]:
        sound = np.load(self._sound, mmap_mode="r")
        with np.load(self._cuts) as cuts:
            voices, ends = cuts["voices"], np.cumsum(cuts["lengths"])
        starts = ends - np.diff(ends, prepend=0)
        return [
            Clip(int(voice), one, sound[start:end])
            for voice, one, start, end in zip(voices, self.corpus.read(), starts, ends, strict=True)
        ]


@dataclass(frozen=True)
class Clip:
    voice: int  # index among `settings.VOICES`
    utterance: Utterance
    sound: np.ndarray  # int16 [n] at 24 kHz


def held_and_learned(clips: list) -> tuple[list, list]:
    """Split clips, in their order, into the held-out ones and the training ones."""
    held = settings.N_HELD_CLIPS * len(settings.VOICES)
    return clips[:held], clips[held:]


def speak(folder: Path) -> None:
    """Every clip text in its voice. The first clips are held out."""
    for voice in settings.VOICES:
        TEACHERS[
            voice.teacher
        ]()  # here first: a package that unpacks its model when it is first used takes one process
    Clips(folder).write(_aligned(_in_processes(_spoken, _clip_texts())))
