"""--history_prompt random: a new voice, made by speaking a sentence without a history, and named after its seed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import VoiceError
from ..options.table import Options
from ..seeds import Seeds, derive_seed
from ..text.languages import language_of

if TYPE_CHECKING:  # naming a voice imports no torch
    from ..voices.voice import Voice
    from .engine import Engine

RANDOM = "random"

_CONSONANTS, _VOWELS, _ENDINGS = "bdklmnrv", "aeiou", ("", "n", "l", "r", "s")
_SYLLABLES = 3
_TRIES = 4
_LEAST_SECONDS = 2.0  # of a voice, as of recordings

# What a new voice says, in the language of the text, because a voice keeps its accent. About 6 s each, with statements and a
# question, so that the voice has some melody.
_SENTENCES = {
    "en": "Good evening, it is nice to meet you. I have a story to tell. Would you like to hear it?",
    "de": "Guten Abend, es freut mich sehr. Ich habe eine Geschichte zu erzählen. Möchten Sie sie hören?",
    "es": "Buenas noches, mucho gusto. Tengo una historia que contar. ¿Le gustaría escucharla?",
    "fr": "Bonsoir, je suis ravi de vous voir. J'ai une histoire à raconter. Voulez-vous l'entendre ?",
    "hi": "नमस्ते, आपसे मिलकर अच्छा लगा। मेरे पास एक कहानी है। क्या आप उसे सुनना चाहेंगे?",
    "it": "Buonasera, piacere di conoscerla. Ho una storia da raccontare. Le piacerebbe ascoltarla?",
    "ja": "こんばんは、はじめまして。お話ししたい物語があります。聞いてみたいですか？",
    "ko": "안녕하세요, 만나서 반갑습니다. 들려 드릴 이야기가 있어요. 들어 보시겠어요?",
    "pl": "Dobry wieczór, miło mi pana poznać. Mam historię do opowiedzenia. Czy chciałby pan jej posłuchać?",
    "pt": "Boa noite, muito prazer. Tenho uma história para contar. Gostaria de ouvi-la?",
    "ru": "Добрый вечер, рад с вами познакомиться. Я хочу рассказать историю. Хотите её послушать?",
    "tr": "İyi akşamlar, tanıştığımıza sevindim. Anlatacak bir hikâyem var. Dinlemek ister misiniz?",
    "zh": "晚上好，很高兴认识你。我有一个故事想讲。你愿意听吗？",
}


def seed_of_voice(options: Options, drawn_seed: int) -> int:
    """The seed of the run, from which its new voice is made: the given one, else the drawn one."""
    given = options.seed if options.seed is not None else options.single_starting_seed
    return drawn_seed if given is None else given


def name_of_voice(seed: int, model: str) -> str:
    """A name that can be spoken, such as "velora"; the same for the same seed and model."""
    number = int.from_bytes(hashlib.sha256(f"{model} {seed}".encode()).digest(), "big")
    name = ""
    for letters in (_CONSONANTS, _VOWELS) * _SYLLABLES:
        number, place = divmod(number, len(letters))
        name += letters[place]
    return name + _ENDINGS[number % len(_ENDINGS)]


def make_voice(engine: Engine, seed: int, text: str) -> Voice:
    """A new voice; the same for the same model, seed and language of `text`, whatever the other settings.

    Raises VoiceError if the model says next to nothing.
    """
    from ..bark import Segment, Settings

    sentence = _SENTENCES[language_of(text) or "en"]
    for k in range(_TRIES):
        segment = Segment(sentence, seeds=Seeds(derive_seed(seed, "retry", k)))
        ((_, generation),) = engine.stream([segment], Settings(), lambda *_: None, 1)
        voice = generation.voice.aligned()
        if voice is not None and voice.seconds >= _LEAST_SECONDS:
            return voice
    raise VoiceError(f"--history_prompt {RANDOM}: no voice came out in {_TRIES} tries; give another --seed")


def planned_file(options: Options, drawn_seed: int) -> Path:
    """Where the new voice of a run is kept, unless another voice has that name."""
    return Path(options.voice_dir) / f"{name_of_voice(seed_of_voice(options, drawn_seed), options.model)}.npz"
