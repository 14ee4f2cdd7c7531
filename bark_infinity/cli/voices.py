"""The voices that a command line names: checked before a model is loaded, and cloned from the recordings in --voice_dir."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from ..errors import VoiceError
from ..narration import ClipSource, named_voices
from ..options.table import Options
from ..reports.tables import count
from ..run.random_voice import RANDOM
from ..voices.compatibility import SEMANTIC_VOCAB_SIZES, check_compatible, check_preset
from ..voices.custom_history import check_name
from ..voices.library import find_voice, voice_folders
from ..voices.recorded_voices import RecordedVoice, check_recorded, voices_to_clone
from ..voices.voice import Voice
from . import console as view

if TYPE_CHECKING:  # these import torch
    from ..checkpoints.hub import Hub
    from ..checkpoints.loading import ModelChoice

Tell = Callable[[str], object]


def voice_folders_of(options: Options) -> tuple[Path, ...]:
    """Folders in which voices are looked up by name, including those of a script and of a manifest."""
    beside = [Path(name).parent for name in (options.prompt_file, options.from_manifest) if name is not None]
    asked = (options.asked or options).output_dir  # without the folder of --output_filename
    return tuple(dict.fromkeys((*voice_folders(asked, options.voice_dir), Path(options.output_dir), *beside)))


def check_voices(options: Options, tell: Tell) -> None:
    """Raise VoiceError or UsageError for a voice or function that cannot be used, before a model is loaded.

    `tell` is called with sentences about voices that are mended, or would be cloned.
    """
    for name in (options.history_prompt, options.bark_speaker_as_the_prompt):
        if name is not None and name != RANDOM:
            check_voice(name, options, tell)
    recording = options.audio_file_as_history_prompt
    if recording is not None and only_shows(options):  # else cloning reads and checks it
        from ..voices.cloning import check_recording

        check_recording(Path(recording), options.model)
    if options.custom_audio_processing_function is not None:
        check_name(options.custom_audio_processing_function)


def check_voice(name: str, options: Options, tell: Tell) -> None:
    """Raise VoiceError for a voice that is missing, malformed or made for another model, before a model is loaded."""
    if to_clone := voices_to_clone([name], options.voice_dir):
        if only_shows(options):  # else cloning reads and checks the recordings
            check_recorded(to_clone[0], options.model, tell)
            tell(f"the voice {name} would be cloned from {_described(to_clone[0])}")
        return
    path = find_voice(name, voice_folders_of(options))
    vocab_size = SEMANTIC_VOCAB_SIZES.get(options.model)
    if path is not None:
        voice = Voice.load(path, tell)
        if vocab_size is not None:
            check_compatible(voice, f"the voice {name}", options.model, vocab_size)
    elif vocab_size is not None:
        check_preset(name, options.model, vocab_size)


def missing_voices(source: ClipSource, tell: Tell) -> dict[str, VoiceError]:
    """The speakers whose voice is missing, malformed or made for another model, and why. `tell` as for `check_voices`."""
    missing: dict[str, VoiceError] = {}
    for speaker, (name, where) in source.voices.items():
        try:
            if name is not None:
                check_voice(name, source.options, tell)
        except VoiceError as error:
            missing[speaker] = VoiceError(f"{where}: {error}")
    return missing


def only_shows(options: Options) -> bool:
    """Whether nothing is to be made or written."""
    return options.dry_run or options.text_splits_only


def told_once(tell: Tell) -> Tell:
    """`tell` for sentences that were not told yet."""
    told: set[str] = set()

    def tell_new(sentence: str) -> None:
        if sentence not in told:
            told.add(sentence)
            tell(sentence)

    return tell_new


def clone_named(options: Options, source: ClipSource, choice: ModelChoice, hub: Hub, console: Console) -> None:
    """Clone the voices of --voice_dir that the run names, if they are not cloned yet, and say so.

    Raises VoiceError, CheckpointError, OutputError.
    """
    from ..checkpoints.loading import codec_device

    for voice in voices_to_clone(named_voices(source), options.voice_dir):
        cloned = voice.clone(
            choice.model_of("fine"), hub, codec_device(choice), lambda broken: view.warn(console, broken)
        )
        for warning in cloned.warnings:
            view.warn(console, f"the voice {voice.name}: {warning}")
        view.say(console, f"cloned {_described(voice)} to {voice.file}: {'; '.join(cloned.notes)}")


def _described(voice: RecordedVoice) -> str:
    """The recordings of a voice, for messages."""
    if len(voice.recordings) == 1:
        return str(voice.recordings[0])
    return f"{count(len(voice.recordings), 'recording')} in {voice.folder}"
