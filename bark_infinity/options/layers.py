"""Settings of several layers: the command line, below it a settings file, below that a manifest. The nearest wins."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping

from ..audio.formats import FORMATS
from .flag import SHAPE_TOKENS
from .resolve import Conflict, conflicts, inherited
from .table import Options, flags

_SAYS_MORE = {  # flag: those by which a file says the same more finely; a nearer value of the flag undoes them
    "text_temp": ("semantic_temp",),
    "waveform_temp": ("coarse_temp",),
    "semantic_allow_early_stop": ("confused_travolta_mode",),
    "semantic_use_mirostat_sampling": ("semantic_mirostat_tau",),
    "absolute_semantic_history_only": ("absolute_semantic_history_only_every_x",),
    "use_smaller_models": ("text_use_small", "coarse_use_small", "fine_use_small"),
}
_DETAILS = {  # flag: those that go with one value of it
    "split_each_text_prompt_by": ("split_each_text_prompt_by_value", "split_type_string", "group_text_by_counting"),
    "split_input_into_separate_prompts_by": ("split_input_into_separate_prompts_by_value",),
}


def layered(nearer: Mapping[str, object], farther: Mapping[str, object]) -> dict[str, object]:
    """Both layers in one. What the nearer one contradicts, undoes or makes idle in the farther one is left out.

    Contradictions within a layer stay, for `resolve` to refuse. Raises UsageError for an --output_filename that is none.
    """
    kept = {name: value for name, value in _adapted(farther, nearer).items() if name not in nearer}
    alone = set(_conflicts(kept))
    while unfit := _unfit(kept, nearer, alone):
        kept = {name: value for name, value in kept.items() if name not in unfit}
    return kept | dict(nearer)


def readable_beside(given: Mapping[str, object], settings: Mapping[str, object]) -> dict[str, object]:
    """Settings of a file without those that nothing reads where --restitch is given: the tokens stay as they are."""
    if not {**settings, **given}.get("restitch"):
        return dict(settings)
    unread = {line.name for line in flags() if line.shapes in SHAPE_TOKENS and line.name != "from_manifest"}
    return {name: value for name, value in settings.items() if name not in unread}


def _unfit(kept: Mapping[str, object], nearer: Mapping[str, object], alone: Container[Conflict]) -> set[str]:
    """Names of kept settings that do not go together with nearer ones, or do nothing."""
    found = (conflict for conflict in _conflicts({**kept, **nearer}) if conflict.lacking or conflict not in alone)
    return {name for conflict in found for name in conflict.names if name in kept}


def _conflicts(settings: Mapping[str, object]) -> Iterator[Conflict]:
    options = Options.from_settings(settings)
    return conflicts(inherited(options), options)


def _adapted(farther: Mapping[str, object], nearer: Mapping[str, object]) -> dict[str, object]:
    """The farther settings without what says more finely, or in other words, what the nearer ones say."""
    settings = dict(farther)
    small = _SAYS_MORE["use_smaller_models"]
    if settings.get("use_smaller_models") and any(name in nearer for name in small):
        settings |= dict.fromkeys(small, settings.pop("use_smaller_models"))
    undone = [more for name, finer in _SAYS_MORE.items() if name in nearer for more in finer]
    for name, details in _DETAILS.items():
        if name in nearer and nearer[name] != settings.get(name):
            undone += details
    settings = {name: value for name, value in settings.items() if name not in undone}
    stem, _, ending = str(settings.get("output_filename") or "").rpartition(".")
    if ending.lower() in FORMATS and nearer.get("output_format"):
        settings["output_filename"] = stem
    _, dot, ending = str(nearer.get("output_filename") or "").rpartition(".")
    if dot and ending.lower() in FORMATS:
        settings.pop("output_format", None)
    return settings
