"""Under `python -OO`, which strips docstrings, the program speaks and the classes for cloning can be imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bark_infinity.model.docstrings import transformers_without_docstrings

ROOT = Path(__file__).parents[2]
CODE = """
import importlib._bootstrap_external as finding
plain = finding.cache_from_source
def compiled(path, *debug, optimization=None):
    stripped = "bark_infinity" in path or "transformers" in path
    return plain(path, *debug, optimization=optimization if stripped else "")
finding.cache_from_source = compiled
from pathlib import Path
from bark_infinity.cli.main import main
print(main(["--model", "demo", "--text_prompt", "Hello."]))
from bark_infinity.checkpoints.hubert import read_hubert
from bark_infinity.errors import CheckpointError
Path("config.json").write_text('{"model_type": "hubert", "hidden_size": "wide"}')
try:
    read_hubert(Path())
except CheckpointError as error:
    print(error)
from transformers import utils
from transformers.models.hubert.modeling_hubert import HubertModel
print(HubertModel.__doc__, utils.auto_docstring.__name__)
"""


def test_program_speaks_and_cloning_imports_under_python_oo(tmp_path):
    """Torch and others are taken as compiled with docstrings, which are not the matter: compiling them takes 15 s."""
    command = [sys.executable, "-OO", "-B", "-c", CODE]  # -B: nothing stripped is kept under the name of the whole
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert result.returncode == 0, result.stderr
    path, status, refused, after = result.stdout.splitlines()
    assert status == "0" and (tmp_path / path).stat().st_size > 10_000
    assert "no HuBERT's" in refused
    assert after == "None auto_docstring"  # the library's decorator is restored


def test_transformers_is_not_patched_when_docstrings_exist():
    from transformers import utils

    before = utils.auto_docstring
    with transformers_without_docstrings():
        assert utils.auto_docstring is before
