"""--custom_audio_processing_function: a user's own Python decides what history a segment hears."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from ..errors import UsageError
from .history import Weights
from .voice import Voice

_FLAG = "--custom_audio_processing_function"


@dataclass(frozen=True, eq=False)
class HistoryContext:
    """What the function is told before a segment is made."""

    prompt: int  # of the clip, from 0; clips may take turns
    take: int  # of that prompt, from 0
    index: int  # of the segment, from 0
    total: int  # segments of the clip
    text: str  # of the segment; empty where it goes on without words
    starting_voice: Voice | None  # the given voice, or the first segment's
    before: Sequence[Voice]  # what each segment before came out as; those that stayed silent are left out
    weights: Weights  # what the segment would hear by the interval and the weight flags


HistoryFunction = Callable[[HistoryContext], Weights | Voice | None]
"""Returns a mix of starting voice and segment before, or a voice to go on from, or None for `context.weights`."""


def load_function(name: str) -> HistoryFunction:
    """The function `file.py:function` or `module:function`. Raises UsageError; whatever stands in the file is run."""
    where, function_name = check_name(name)
    try:
        with redirect_stdout(sys.stderr):  # stdout is for result paths
            module = _module_of_file(Path(where)) if where.endswith(".py") else _module(where)
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        raise UsageError(f"{_FLAG}: {where} cannot be imported ({_said(error)}); mend it or name another") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise UsageError(f"{_FLAG}: {where} has no function {function_name}; check its name")
    return function


def check_name(name: str) -> tuple[str, str]:
    """File or module, and function. Raises UsageError for another form, and for a file that is not there."""
    where, _, function_name = name.rpartition(":")
    if not where or not function_name.isidentifier():
        raise UsageError(f"{_FLAG} {name} is not of the form file.py:function or module:function")
    if where.endswith(".py") and not Path(where).is_file():
        raise UsageError(f"{_FLAG}: there is no file {where}; check the path")
    return where, function_name


def ask(function: HistoryFunction, context: HistoryContext) -> Weights | Voice:
    """What the function wants for a segment. Raises UsageError or VoiceError if it fails or returns something else."""
    name = getattr(function, "__name__", "the function")
    try:
        with redirect_stdout(sys.stderr):
            answer = function(context)
    except (Exception, SystemExit) as error:
        raise UsageError(f"{_FLAG}: {name} failed at segment {context.index + 1} ({_said(error)}); mend it") from error
    if answer is None:
        return context.weights
    if isinstance(answer, Weights):
        _check(answer, name)
        return answer
    if not isinstance(answer, Voice):
        raise UsageError(f"{_FLAG}: {name} returned {type(answer).__name__}; let it return Weights, a Voice or None")
    arrays = {"semantic_prompt": answer.semantic, "coarse_prompt": answer.coarse, "fine_prompt": answer.fine}
    return Voice.from_prompts(arrays, f"what {name} returned at segment {context.index + 1}")


def _check(weights: Weights, name: str) -> None:
    for stage in ("semantic", "coarse", "fine"):
        try:
            starting, previous = getattr(weights, stage)
            good = 0 <= starting <= 1 and 0 <= previous <= 1
        except (TypeError, ValueError):
            good = False
        if not good:
            raise UsageError(
                f"{_FLAG}: {name} returned {stage} weights {getattr(weights, stage)!r}; let them be two shares from 0 to 1"
            )


def _module(name: str) -> ModuleType:
    """An importable module, also one of the folder the user is in."""
    sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove("")


def _module_of_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"_custom_{path.stem}", path)  # torch.py must not become torch
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their own module up
    spec.loader.exec_module(module)
    return module


def _said(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
