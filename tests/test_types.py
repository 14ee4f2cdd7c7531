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


def mypy(*arguments: str) -> str:
    """mypy's output for the files, by default those of its configuration."""
    command = [sys.executable, "-m", "mypy", "--no-color-output", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.stdout + done.stderr


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed")
def test_package_and_engines_have_no_type_errors(tmp_path):
    """Also that Bark, the fakes and the benchmark's model implement Engine, and that mypy rejects a class that does not."""
    found = mypy()
    assert found.startswith("Success"), found
    (tmp_path / "no_engines.py").write_text(NO_ENGINES)
    found = mypy(str(tmp_path / "no_engines.py"))
    assert 'got "Nothing", expected "Engine"' in found and 'got "Other", expected "Engine"' in found, found
    assert found.count(" error: ") == 2, found
