"""--custom_audio_processing_function: a user's own Python function decides which history a segment gets."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import BarkError, UsageError
from .history import Weights
from .voice import Voice

_FLAG = "--custom_audio_processing_function"
_UNSHOWABLE = "its message cannot be shown"


@dataclass(frozen=True, eq=False)
class HistoryContext:
    """The argument of the user's function, before a segment is generated."""

    prompt: int  # of the clip, from 0; several clips may be generated in turns
    take: int  # of that prompt, from 0
    index: int  # of the segment, from 0
    total: int  # segments of the clip
    text: str  # of the segment; empty where it continues the history without words
    starting_voice: Voice | None  # of the segment's speaker: the given one, or that of his first segment
    before: Sequence[Voice]  # the voices of the same speaker's earlier segments, without silent segments
    weights: Weights  # the history that the interval and the weight flags give
    speaker: str | None = None  # a name in the cast; None: the narrator


HistoryFunction = Callable[[HistoryContext], Weights | Voice | None]
"""Returns weights for starting voice and previous segment, or a voice to continue, or None for `context.weights`."""


def load_function(name: str) -> HistoryFunction:
    """The function `file.py:function` or `module:function`, for the command line; its prints go to stderr.

    The file or module is imported, so its code is executed. Raises UsageError.
    """
    where, function_name = check_name(name)
    with _errors_of_user(f"{where} cannot be imported", "mend it or name another"), redirect_stdout(sys.stderr):
        module = _module_of_file(Path(where)) if where.endswith(".py") else _module(where)
        function: Any = getattr(module, function_name, None)
        usable = callable(function)
    if not usable:
        raise UsageError(f"{_FLAG}: {where} has no function {function_name}; check its name")

    def printing_to_stderr(context: HistoryContext) -> Weights | Voice | None:
        with redirect_stdout(sys.stderr):
            return function(context)

    printing_to_stderr.__name__ = function_name
    return printing_to_stderr


def check_name(name: str) -> tuple[str, str]:
    """Split the name into file or module, and function. Raises UsageError for another form or a missing file."""
    where, _, function_name = name.rpartition(":")
    if not where or not function_name.isidentifier():
        raise UsageError(f"{_FLAG} {name} is not of the form file.py:function or module:function")
    if where.endswith(".py") and not Path(where).is_file():
        raise UsageError(f"{_FLAG}: there is no file {where}; check the path")
    return where, function_name


def ask(function: HistoryFunction, context: HistoryContext) -> Weights | Voice:
    """Call the function for a segment. Raises UsageError or VoiceError if it fails or returns something unusable."""
    name = getattr(function, "__name__", None)
    name = name if isinstance(name, str) else "the function"
    where = f"segment {context.index + 1}"
    with _errors_of_user(f"{name} failed at {where}", "mend it"):
        answer = function(context)
    try:
        return _usable(answer, context, name)
    except BarkError:
        raise
    except BaseException as error:  # of what it returned, which may be any object
        with _errors_of_user(
            f"what {name} returned at {where} cannot be used", "let it return Weights, a Voice or None"
        ):
            raise error


@contextmanager
def _errors_of_user(what: str, mend: str) -> Iterator[None]:
    """Turn every exception of a user's code except KeyboardInterrupt into a UsageError."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        reason = _describe(error)
        cause = None if reason.endswith(_UNSHOWABLE) else error  # its traceback could not be printed
        raise UsageError(f"{_FLAG}: {what} ({reason}); {mend}") from cause


def _usable(answer: object, context: HistoryContext, name: str) -> Weights | Voice:
    """Check what a function returned. Raises UsageError or VoiceError, and any exception of foreign objects."""
    if answer is None:
        return context.weights
    if isinstance(answer, Weights):
        for stage in ("semantic", "coarse", "fine"):
            _check_shares(getattr(answer, stage), f"{name} returned {stage} weights")
        return answer
    if not isinstance(answer, Voice):
        raise UsageError(f"{_FLAG}: {name} returned {type(answer).__name__}; let it return Weights, a Voice or None")
    arrays = {"semantic_prompt": answer.semantic, "coarse_prompt": answer.coarse, "fine_prompt": answer.fine}
    return Voice.from_prompts(arrays, f"what {name} returned at segment {context.index + 1}")


def _check_shares(shares: Any, what: str) -> None:
    """Raise UsageError for what is no pair of shares; a user's function may have put anything there."""
    try:
        starting, previous = shares
        good = 0 <= starting <= 1 and 0 <= previous <= 1
    except (TypeError, ValueError):
        good = False
    if not good:
        raise UsageError(f"{_FLAG}: {what} {repr(shares)[:200]}; let them be two shares from 0 to 1")


def _module(name: str) -> ModuleType:
    """Import a module, also from the current folder."""
    sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove("")


def _module_of_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"_custom_{path.stem}", path)  # torch.py must not become torch
    assert spec is not None and spec.loader is not None  # as for every name that ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their own module up
    spec.loader.exec_module(module)
    return module


def _describe(error: BaseException) -> str:
    """Kind and message of a foreign exception, whose own methods may fail as well."""
    kind = type.__dict__["__name__"].__get__(type(error))  # a metaclass may override __name__
    try:
        message = str(error)
    except KeyboardInterrupt:
        raise
    except BaseException:
        message = _UNSHOWABLE
    return " ".join((f"{kind}: {message}" if message else kind).split())[:200]
