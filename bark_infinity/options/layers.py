"""Merges settings from the command line, a script, a settings file and a manifest, in this order of precedence."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterator, Mapping

from ..audio.formats import FORMATS
from .flag import SHAPE_TOKENS
from .resolve import Conflict, conflicts, inherited, only_stitches, resolve
from .table import Options, flags

_FINER = {  # flag: flags that set parts of the same; a nearer value of the flag removes farther values of these
    "text_temp": ("semantic_temp",),
    "waveform_temp": ("coarse_temp",),
    "semantic_allow_early_stop": ("confused_travolta_mode",),
    "semantic_use_mirostat_sampling": ("semantic_mirostat_tau",),
    "absolute_semantic_history_only": ("absolute_semantic_history_only_every_x",),
    "use_smaller_models": ("text_use_small", "coarse_use_small", "fine_use_small"),
    # A manifest beside a text mends the manifest's clip; a text or manifest of another layer is not meant for that.
    "from_manifest": ("text_prompt", "prompt_file"),
    "text_prompt": ("from_manifest",),
    "prompt_file": ("from_manifest",),
}
_DETAILS = {  # flag: flags that only make sense with a certain value of it
    "split_each_text_prompt_by": ("split_each_text_prompt_by_value", "split_type_string", "group_text_by_counting"),
    "split_input_into_separate_prompts_by": ("split_input_into_separate_prompts_by_value",),
}


def layered(nearer: Mapping[str, object], farther: Mapping[str, object]) -> dict[str, object]:
    """Merge two layers. Farther settings that nearer ones override, contradict or make useless are left out.

    Contradictions within a layer stay, for `resolve` to report. Raises UsageError for an invalid --output_filename.
    """
    kept = {name: value for name, value in _adapted(farther, nearer).items() if name not in nearer}
    alone = set(_conflicts(kept))
    while unfit := _unfit(kept, nearer, alone):
        kept = {name: value for name, value in kept.items() if name not in unfit}
    return kept | dict(nearer)


def readable_beside(given: Mapping[str, object], settings: Mapping[str, object]) -> dict[str, object]:
    """Settings of a file; with --restitch or --take, without those that tokens depend on, because the tokens are kept."""
    if not only_stitches({**settings, **given}):
        return dict(settings)
    unread = {line.name for line in flags() if line.shapes in SHAPE_TOKENS and line.name != "from_manifest"}
    return {name: value for name, value in settings.items() if name not in unread}


def with_script_settings(options: Options, settings: Mapping[str, object]) -> Options:
    """Resolved options with the settings of a script: above a settings file and a manifest, below the command line.

    Raises UsageError.
    """
    if not settings:
        return options
    asked = options.asked or options
    changed = asked.changed()
    nearer = {name: getattr(asked, name) for name in (changed if asked.given is None else asked.given)}
    farther = {name: value for name, value in changed.items() if name not in nearer}
    merged = layered(nearer, layered(settings, farther))
    return resolve(dataclasses.replace(Options.from_settings(merged), given=asked.given))


def _unfit(kept: Mapping[str, object], nearer: Mapping[str, object], alone: Container[Conflict]) -> set[str]:
    """Names of kept settings that conflict with nearer ones or have no effect beside them."""
    found = (conflict for conflict in _conflicts({**kept, **nearer}) if conflict.lacking or conflict not in alone)
    return {name for conflict in found for name in conflict.names if name in kept}


def _conflicts(settings: Mapping[str, object]) -> Iterator[Conflict]:
    options = Options.from_settings(settings)
    return conflicts(inherited(options), options)


def _adapted(farther: Mapping[str, object], nearer: Mapping[str, object]) -> dict[str, object]:
    """The farther settings without those that set the same as a nearer one under another name or in parts."""
    settings = dict(farther)
    small = _FINER["use_smaller_models"]
    if settings.get("use_smaller_models") and any(name in nearer for name in small):
        settings |= dict.fromkeys(small, settings.pop("use_smaller_models"))
    overridden = [part for name, parts in _FINER.items() if name in nearer for part in parts]
    for name, details in _DETAILS.items():
        if name in nearer and nearer[name] != settings.get(name):
            overridden += details
    settings = {name: value for name, value in settings.items() if name not in overridden}
    stem, _, ending = str(settings.get("output_filename") or "").rpartition(".")
    if ending.lower() in FORMATS and nearer.get("output_format"):
        settings["output_filename"] = stem
    _, dot, ending = str(nearer.get("output_filename") or "").rpartition(".")
    if dot and ending.lower() in FORMATS:
        settings.pop("output_format", None)
    return settings
