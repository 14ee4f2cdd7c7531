"""The `.json` beside a clip: everything that is needed to know how it was made, and to make it again."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from . import __version__
from . import constants as c
from .files import write_whole

FORMAT_VERSION = 1
_LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "soundfile")


def versions() -> dict[str, str]:
    """Versions of this program and of what its sound depends on."""
    own = {"bark_infinity": __version__, "python": platform.python_version()}
    return own | {name: metadata.version(name) for name in _LIBRARIES}


def seconds(samples: int) -> float:
    """Samples as seconds, exact enough that `round(seconds * 24000)` gives the samples back."""
    return round(samples / c.SAMPLE_RATE, 6)


def write_manifest(path: Path, content: Mapping[str, object]) -> None:
    """Readable JSON; the file appears whole or not at all. Raises FileExistsError where the name is taken."""
    text = json.dumps({"format": FORMAT_VERSION, **content}, indent=1, ensure_ascii=False)
    write_whole(path, lambda file: file.write(text.encode() + b"\n"), overwrite=False)
