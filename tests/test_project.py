"""Consistency of pyproject.toml, the documents, the tests and the demo model."""

from __future__ import annotations

import re
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]


def test_every_marker_has_a_test():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["markers"]
    tests = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    for marker in declared:
        name = marker.partition(":")[0]
        assert any(
            re.search(rf"^@pytest\.mark\.{name}\b|marks=pytest\.mark\.{name}\b", text, re.M) for text in tests
        ), name


def test_no_document_calls_the_trained_demo_random():
    for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "bark_infinity/assets/demo/README.md"):
        for sentence in re.split(r"(?<=[.;:])\s", (ROOT / name).read_text(encoding="utf-8")):
            assert "babbler.py" in sentence or not ("demo" in sentence and "random weights" in sentence), (
                name,
                sentence,
            )
