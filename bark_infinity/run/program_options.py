"""The options of `narrate`: those that only the command line has are refused, and those of computing are the loaded Bark's."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from ..bark import Bark
from ..checkpoints.reading import STAGES
from ..errors import TextError, UsageError
from ..model.devices import DTYPES
from ..options.resolve import REPORTS
from ..options.table import Options
from ..text.events import Script

_NAMES = {"semantic": "text", "coarse": "coarse", "fine": "fine"}  # of the stages, as flags begin
_TEXT = "pass the text itself: narrate(bark, text)"
_ONE_CLIP = "narrate makes one clip; call it for each"
_TERMINAL = "narrate shows nothing; leave it out"
_COMMAND = "run the command bark-infinity for it"
COMMAND_LINE: Mapping[str, str] = {  # flags that narrate refuses: what a program does in their place
    "text_prompt": _TEXT,
    "prompt_file": _TEXT,
    "text_encoding": _TEXT,
    "fit_subtitles": "pass a text with [at:...] tags, or a Script with StartAt events",
    "from_manifest": _COMMAND,
    "regenerate": _COMMAND,
    "restitch": _COMMAND,
    "take": _COMMAND,
    "show_takes": "look at segment.record.tries",
    "split_input_into_separate_prompts_by": _ONE_CLIP,
    "split_input_into_separate_prompts_by_value": _ONE_CLIP,
    "output_iterations": _ONE_CLIP,
    "audio_file_as_history_prompt": "pass voice=Voice.clone(path)",
    "audition": _ONE_CLIP,
    "list_chapters": _COMMAND,
    "export_script": _COMMAND,
    "list_speakers": _COMMAND,
    "dry_run": "look at narration.plan: nothing is made before the narration is iterated, waited for or saved",
    "text_splits_only": "look at narration.plan.segments: nothing is made before the narration is iterated",
    "output_dir": "pass folder=",
    "show_generation_times": "look at segment.record.seconds_taken",
    "silent": _TERMINAL,
    "render_npz_samples": _COMMAND,
    "check_delivery": "call bark_infinity.audio.delivery.check_acx([path])",
    "voice_report": _COMMAND,
    "convert_model": _COMMAND,
    "force_reload": _COMMAND,
    "config": "pass its settings as options",
    "print_config": _COMMAND,
    "print_completion": _COMMAND,
    **dict.fromkeys((*REPORTS, "show_all_reports"), _COMMAND),
    "loglevel": "set it with the module logging",
    "cluster": _COMMAND,
    "workers": _COMMAND,
    "shard": _ONE_CLIP,
}


IN_A_FOLDER: Mapping[str, str] = {  # flags that mean nothing where all is kept in memory
    "output_filename": "give narration.save the path, or pass folder=",
    "resume": "pass folder=",
}


def check_program_options(options: Options, bark: Bark, in_memory: bool) -> None:
    """Raise UsageError for given options that `narrate` cannot follow: of the command line, or of another model."""
    given = options.changed()
    for name, value in given.items():
        if name in COMMAND_LINE:
            raise UsageError(f"options: {name} is not for narrate; {COMMAND_LINE[name]}")
        if in_memory and name in IN_A_FOLDER:
            raise UsageError(f"options: {name} does nothing without a folder; {IN_A_FOLDER[name]}")
        if name in AS_LOADED and not AS_LOADED[name](bark, value):
            raise UsageError(
                f"options: {name}={value!r} is not how the given {bark!r} is loaded; leave it out, or load another Bark"
            )


def check_text(text: object, options: Options) -> None:
    """Raise UsageError or TextError for what `narrate` cannot speak: a text without words, or beside a voice to speak."""
    spoken = options.bark_speaker_as_the_prompt
    if (text is None and spoken is not None) or (isinstance(text, Script | Path) and spoken is None):
        return
    if not isinstance(text, str | Script | Path):
        raise UsageError(f"narrate speaks a text (a str), not {'None' if text is None else type(text).__name__}")
    if spoken is not None:
        raise UsageError(
            f"options: bark_speaker_as_the_prompt={spoken!r} is spoken in place of a text; "
            "pass None as the text, or leave it out"
        )
    assert isinstance(text, str)
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise TextError("the text has lone surrogates, which stand for no character; decode it with its own encoding")
    if not text.strip():
        raise TextError("the text is empty; give narrate words to speak")


def as_loaded(options: Options, bark: Bark) -> Options:
    """The options with those by which the given Bark was loaded, so that its manifests tell how to load it again."""
    settings: dict[str, object] = {"model": bark.name}
    if (choice := bark.choice) is not None:
        settings |= {"device": choice.device, "dtype": choice.dtype, "offload_cpu": choice.offload}
        settings |= {"global_enable_mps": choice.enable_mps, "suno_use_directml": choice.directml or None}
        settings |= {f"{name}_use_small": stage in choice.small_stages for stage, name in _NAMES.items()}
        settings |= {f"{name}_use_gpu": stage not in choice.cpu_stages for stage, name in _NAMES.items()}
        settings["codec_use_gpu"] = "codec" not in choice.cpu_stages
        settings |= {"model_dir": choice.model_dir, "offline": choice.offline}
    return options.with_settings({**settings, **options.changed()})


# ---- what a Bark was loaded with ------------------------------------------------------------------------------------


def _placed(bark: Bark, part: str) -> torch.device:
    """The device of a stage or the codec."""
    return (bark.codec_placement if part == "codec" else bark.stages[part].placement).device


def _is_on(bark: Bark, part: str, device: object) -> bool:
    return _placed(bark, part).type == device


def _is_small(bark: Bark, stage: str) -> bool:
    return bark.name == "small" or (bark.choice is not None and stage in bark.choice.small_stages)


def _is_offloaded(bark: Bark) -> bool:
    return any(stage.placement.offload for stage in bark.stages.values())


def _on_gpu(part: str) -> Callable[[Bark, object], bool]:
    return lambda bark, value: value is True or _is_on(bark, part, "cpu")


def _small(*stages: str) -> Callable[[Bark, object], bool]:
    return lambda bark, value: all(_is_small(bark, stage) for stage in stages) is value


AS_LOADED: Mapping[str, Callable[[Bark, object], bool]] = {  # flags of computing: whether a Bark is as the value says
    "model": lambda bark, value: bark.name in (value, os.path.expanduser(str(value))),
    "device": lambda bark, value: all(_is_on(bark, stage, value) for stage in STAGES),
    "dtype": lambda bark, value: {stage.placement.dtype for stage in bark.stages.values()} == {DTYPES.get(str(value))},
    "text_use_gpu": _on_gpu("semantic"),
    "coarse_use_gpu": _on_gpu("coarse"),
    "fine_use_gpu": _on_gpu("fine"),
    "codec_use_gpu": _on_gpu("codec"),
    "text_use_small": _small("semantic"),
    "coarse_use_small": _small("coarse"),
    "fine_use_small": _small("fine"),
    "use_smaller_models": _small(*STAGES),
    "offload_cpu": lambda bark, value: _is_offloaded(bark) is value,
    "global_enable_mps": lambda bark, value: any(_is_on(bark, stage, "mps") for stage in STAGES) is value,
    "suno_use_directml": lambda bark, value: any(_is_on(bark, stage, "privateuseone") for stage in STAGES) is value,
}
