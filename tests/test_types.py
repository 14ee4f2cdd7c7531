"""The program's types, by mypy with the settings in pyproject.toml.

mypy's cache is kept in `.mypy_cache`: a run takes 12 s the first time, and 2 s where little has changed.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NO_ENGINES = """
from collections.abc import Sequence
import numpy as np
from bark_infinity.bark import Bark
from bark_infinity.run.engine import Engine

class Nothing:
    name = identity = ""

class Other(Bark):
    def decode(self, codes: Sequence[str]) -> list[np.ndarray]:  # type: ignore[override]
        return []

def of_bark(engine: Bark) -> Engine:
    return engine

def of_nothing(engine: Nothing) -> Engine:
    return engine

def of_other(engine: Other) -> Engine:
    return engine
"""

USERS_PROGRAM = """
from bark_infinity import SUPPORTED_LANGS, Bark, Segment, Voice, generate_audio
from bark_infinity.api import semantic_to_waveform
from bark_infinity.generation import SAMPLE_RATE, generate_text_semantic, preload_models

reveal_type(Bark.load)
reveal_type(Bark.load("demo").speak("Hello.", voice="demo_male").voice)
reveal_type(SAMPLE_RATE)
reveal_type(SUPPORTED_LANGS)
preload_models(model="demo")
generate_audio("Hello.", 5, no_such_argument=1)
from bark_infinity import no_such_name
"""


def mypy(*arguments: str) -> str:
    """mypy's output for the files, by default those of its configuration."""
    command = [sys.executable, "-m", "mypy", "--no-color-output", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.stdout + done.stderr


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed")
def test_package_and_engines_have_no_type_errors(tmp_path):
    """Also that Bark, the fakes and the benchmark's model implement Engine, that mypy rejects a class that does not, and
    that it sees the public names, which are imported when first used, and their types.
    """
    found = mypy()
    assert found.startswith("Success"), found
    (tmp_path / "no_engines.py").write_text(NO_ENGINES)
    (tmp_path / "users_program.py").write_text(USERS_PROGRAM)
    found = mypy(str(tmp_path / "no_engines.py"), str(tmp_path / "users_program.py"))
    assert 'got "Nothing", expected "Engine"' in found and 'got "Other", expected "Engine"' in found, found
    assert 'Revealed type is "bark_infinity.voices.voice.Voice"' in found, found
    revealed = found.replace("builtins.", "")
    assert "def (model:" in revealed and 'Revealed type is "int"' in revealed, found
    assert "list[tuple[str, str]]" in revealed, found
    assert 'Unexpected keyword argument "no_such_argument"' in found
    assert 'has no attribute "no_such_name"' in found
    assert found.count(" error: ") == 2 + 3, found  # and the 5 that is no voice
