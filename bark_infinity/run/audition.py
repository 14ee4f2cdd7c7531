"""--audition: the same text in several voices, one clip each, as if each voice were a speaker of a script."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..errors import UsageError
from ..options.table import Options
from ..text.dialogue import is_speaker_name
from ..text.events import Event, Script, Speaker, Speech
from ..voices.compatibility import PUBLISHED_MODELS, SEMANTIC_VOCAB_SIZES
from ..voices.library import FoundVoice, list_voices, voice_folders

ALL = "all"


def auditioned_voices(options: Options) -> Mapping[str, str]:
    """The voices of --audition, by the names that they have as speakers, in order. Raises UsageError if there are none."""
    assert options.audition is not None
    named = [name.strip() for name in options.audition.split(",")]
    if not all(named):
        raise UsageError(f"--audition takes voices with commas between them, or all, not {options.audition[:200]!r}")
    if named == [ALL]:
        named = list(_all_voices(options))
        if not named:
            raise UsageError(
                f"--audition {ALL}: there is no voice for {options.model} in {options.voice_dir}, prompts or "
                "custom_speakers; put some there, or name presets such as v2/en_speaker_6"
            )
    speakers: dict[str, str] = {}
    for voice in dict.fromkeys(named):
        speakers[_speaker_name(voice, speakers)] = voice
    return speakers


def in_voices(prompts: Sequence[Script], voices: Mapping[str, str]) -> list[Script]:
    """Every prompt in the first voice, then every prompt in the second one, and so on; only the narrator's part changes.

    `voices`: as from `auditioned_voices`.
    """
    return [_in_voice(prompt, speaker, voice) for speaker, voice in voices.items() for prompt in prompts]


def _in_voice(script: Script, speaker: str, voice: str) -> Script:
    if speaker in script.cast:
        raise UsageError(f"--audition {voice}: the cast has {speaker} too; rename that speaker")

    def spoken(event: Event) -> Event:
        if isinstance(event, Speech) and event.speaker is None and event.voice is None:
            return dataclasses.replace(event, speaker=speaker)
        return event

    cast = {**script.cast, speaker: Speaker(speaker, voice)}
    return dataclasses.replace(script, events=tuple(map(spoken, script.events)), cast=cast)


def _all_voices(options: Options) -> Iterable[str]:
    """Names of the voices on this machine that suit the model, without those of clips in the output folder."""
    usual = voice_folders(options.output_dir, options.voice_dir)
    folders = [folder for folder in usual if folder != Path(options.output_dir)]
    for voice in list_voices(folders, Path(options.voice_dir)):
        if _suits(voice, options.model) and (voice.seconds is not None or not voice.cloned):
            yield voice.name


def _suits(voice: FoundVoice, model: str) -> bool:
    if not voice.models or model in voice.models.split(", "):
        return True
    return (
        voice.models == PUBLISHED_MODELS and model not in SEMANTIC_VOCAB_SIZES
    )  # most other models are made from those


def _speaker_name(voice: str, taken: Mapping[str, str]) -> str:
    """The name of a voice as that of a speaker, which is not taken."""
    name = re.sub(r"[:|\[\]\s]+", " ", Path(voice).name.removesuffix(".npz")).strip()
    if is_speaker_name(name) and name not in taken:
        return name
    return f"Voice {len(taken) + 1}"
