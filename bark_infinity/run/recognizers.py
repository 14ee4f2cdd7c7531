"""The recogniser that --recognizer names, loaded."""

from __future__ import annotations

from collections.abc import Callable

from ..checkpoints.hub import Hub
from ..errors import BarkError
from ..extras import missing_extra
from ..options.recognizer_name import OFF, POCKETSPHINX, read_recognizer_name
from ..options.table import Options
from .recognition import Recognizer


def load_recognizer(options: Options, hub: Hub, warn: Callable[[str], None]) -> Recognizer | None:
    """The recogniser of resolved options; None if it is off, or cannot be had, of which `warn` is told in a sentence."""
    try:
        return _load(options, hub)
    except BarkError as error:
        warn(f"{error} (until then takes are chosen by the checks alone)")
        return None


def _load(options: Options, hub: Hub) -> Recognizer | None:
    """Raises UsageError where packages are missing, CheckpointError."""
    kind, model = read_recognizer_name(options.recognizer)
    if kind == OFF:
        return None
    try:
        if kind == POCKETSPHINX:
            from .recognizer_pocketsphinx import Pocketsphinx

            return Pocketsphinx()
        from .recognizer_whisper import Whisper

        return Whisper(model, hub, gpu=options.device != "cpu")
    except ImportError:
        raise missing_extra(f"--recognizer {kind}", "check") from None
