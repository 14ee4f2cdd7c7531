"""The one table: complete lines, inherited defaults, environment; and the house's rules that a program can check."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bark_infinity.cli import make_parser
from bark_infinity.errors import UsageError
from bark_infinity.options import Options, flags

PACKAGE = Path(__file__).parents[1] / "bark_infinity"
LAYERS = [
    {"constants", "errors"},
    {
        "spec",
        "options",
        "seeds",
        "files",
        "sentences",
        "text_splitting",
        "planning",
        "voice",
        "voice_history",
        "audio",
        "manifest",
        "tokenizer",
    },
    {"devices", "decoding", "sampling", "gpt", "codec"},
    {"stages", "checkpoints"},
    {"loading", "bark"},
    {"long_form", "results", "drop_in"},
    {"cli", "console", "__main__"},
]
NO_TORCH = LAYERS[0] | LAYERS[1] | LAYERS[6]


def module_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """Modules and packages of ours that a file imports, wherever in it, and foreign ones it imports at its top level."""
    tree, depth = ast.parse(path.read_text(encoding="utf-8")), len(path.relative_to(PACKAGE).parts)
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            parts = (node.module or "").split(".")
            if node.level == depth:
                found |= {parts[0]} if parts[0] else {alias.name for alias in node.names}
    for node in tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.split(".")[0])
    return found


def test_imports_go_downwards_only():
    level = {name: i for i, names in enumerate(LAYERS) for name in names}
    files = [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"]
    assert {module_of(path) for path in files} == set(level)
    for path in files:
        name, imported = module_of(path), imports_of(path)
        upwards = {other for other in imported & set(level) if level[other] > level[name]}
        # the console types its progress by the run's
        assert upwards == set() or (name, upwards) == ("console", set()), f"{path.name} imports {upwards}"
        if name in NO_TORCH:
            assert not imported & {"torch", "transformers", "nltk", "tokenizers", "soundfile"}, path.name


def test_every_flag_is_read_by_live_code():
    """Each option's name stands as an attribute, or in a pattern that getattr reads, outside the table itself."""
    code = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py") if path.name != "options.py")
    table = (PACKAGE / "options.py").read_text(encoding="utf-8")
    inherited = set(re.findall(r"self\.(\w+)", table))
    patterned = {
        f"{s}_{w}"
        for s in ("semantic", "coarse", "fine")
        for w in ("history_starting_weight", "history_future_weight", "prev_segment_weight")
    }
    unread = [f.name for f in flags() if f"options.{f.name}" not in code and f.name not in inherited | patterned]
    assert unread == []


def test_every_flag_explains_itself():
    names = [name for line in flags() for name in (line.name, *line.aliases)]
    assert len(names) == len(set(names)) and all(name == name.lower() for name in names)
    for line in flags():
        assert line.help.endswith((".", ")")) and line.kind in (str, bool, int, float)


def test_help_shows_every_flag_within_80_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = re.sub(r"\x1b\[[\d;]*m", "", make_parser().format_help())
    assert "Long clips:" in text
    assert all(f"--{line.name}" in text for line in flags())
    assert max(map(len, text.splitlines())) <= 80


def test_inherited_defaults():
    default = Options().resolved()
    assert (default.semantic_temp, default.coarse_temp) == (0.7, 0.7) and default.changed() == {}
    given = Options(
        text_temp=0.3, waveform_temp=0.0, semantic_temp=0.0, use_smaller_models=True, confused_travolta_mode=True
    ).resolved()
    assert (given.semantic_temp, given.coarse_temp) == (0.0, 0.0)
    assert given.text_use_small and given.coarse_use_small and given.fine_use_small
    assert not given.semantic_allow_early_stop
    assert given.changed()["text_temp"] == 0.3


@pytest.mark.parametrize(("word", "value"), [("1", True), ("true", True), ("no", False)])
def test_environment_counts_where_the_flag_is_not_given(monkeypatch, word, value):
    monkeypatch.setenv("SUNO_OFFLOAD_CPU", word)
    monkeypatch.setenv("SUNO_USE_SMALL_MODELS", word)
    assert Options().resolved().offload_cpu is value and Options().resolved().text_use_small is value
    assert Options(offload_cpu=True, use_smaller_models=False).resolved().offload_cpu is True
    assert Options(use_smaller_models=False).resolved().text_use_small is False


def test_a_wrong_environment_word_is_named(monkeypatch):
    monkeypatch.setenv("SUNO_ENABLE_MPS", "perhaps")
    with pytest.raises(UsageError, match="global_enable_mps"):
        Options().resolved()


def test_the_code_is_formatted_and_clean():
    root = str(PACKAGE.parent)
    for check in (["check"], ["format", "--check"]):
        result = subprocess.run([sys.executable, "-m", "ruff", *check, root], capture_output=True, text=True)
        assert result.returncode == 0, result.stdout
