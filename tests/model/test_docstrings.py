"""`python -OO` leaves no docstrings: the program speaks all the same, and the classes for cloning can be imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bark_infinity.model.docstrings import transformers_without_docstrings

ROOT = Path(__file__).parents[2]
CODE = """
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


def test_without_docstrings_it_speaks_and_imports_what_cloning_needs(tmp_path):
    result = subprocess.run(
        [sys.executable, "-OO", "-c", CODE], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert result.returncode == 0, result.stderr
    path, status, refused, after = result.stdout.splitlines()
    assert status == "0" and (tmp_path / path).stat().st_size > 10_000
    assert "no HuBERT's" in refused
    assert after == "None auto_docstring"  # the library's decorator is back in its place


def test_with_docstrings_nothing_is_put_aside():
    from transformers import utils

    before = utils.auto_docstring
    with transformers_without_docstrings():
        assert utils.auto_docstring is before
