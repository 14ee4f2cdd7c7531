"""The option table: complete entries, inherited defaults, environment variables; and the project's rules that a program can check."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bark_infinity.cli.main import make_parser
from bark_infinity.errors import UsageError
from bark_infinity.options.resolve import REPORTS, resolve
from bark_infinity.options.table import Options, flags
from bark_infinity.run.planning import history_plan

PACKAGE = Path(__file__).parents[2] / "bark_infinity"


def test_every_flag_is_read_by_live_code():
    """Each option is read as an attribute of `options` outside the table, or other options inherit from it."""
    read = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            on_options = isinstance(node, ast.Attribute) and (
                (isinstance(node.value, ast.Name) and node.value.id == "options")
                or (isinstance(node.value, ast.Attribute) and node.value.attr in ("options", "_options"))
            )
            if on_options and path.parent.name != "options":
                read.add(node.attr)
    inherited = {"text_temp", "waveform_temp", "use_smaller_models", "confused_travolta_mode"}  # tested below
    inherited |= {
        "absolute_semantic_history_only",
        "semantic_use_mirostat_sampling",
        "show_all_reports",
        "config",
        *REPORTS,
    }
    weights = {
        line.name for line in flags() if line.name.endswith("_weight")
    }  # tested in test_each_weight_flag_sets_its_weight
    assert {line.name for line in flags()} - read - inherited - weights == set()


def test_each_weight_flag_sets_its_weight():
    names = [line.name for line in flags() if line.name.endswith("_weight")]
    assert len(names) == 9
    for name in names:
        stage, which = name.split("_")[0], name.removesuffix("_weight").split("_")[-1]
        plan = history_plan(Options(**{name: 0.125}))
        field = {"weight": "starting", "starting": "starting", "future": "future", "segment": "previous"}[which]
        assert getattr(getattr(plan, stage), field) == 0.125
        assert plan != history_plan(Options())


SETTINGS = {
    "semantic_inverted_p": 0.5,
    "semantic_bottom_k": 5,
    "semantic_token_repeat_penalty": 0.9,
    "semantic_mirostat_tau": 4.5,
    "negative_text_prompt": "shout",
    "extra_stats": True,
    "semantic_temp": 0.3,
    "semantic_top_k": 5,
    "semantic_top_p": 0.5,
    "semantic_min_eos_p": 0.9,
    "semantic_max_gen_duration_s": 3.0,
    "semantic_allow_early_stop": False,
    "semantic_use_kv_caching": False,
    "semantic_history_oversize_limit": 9,
    "coarse_temp": 0.3,
    "coarse_top_k": 5,
    "coarse_top_p": 0.5,
    "coarse_max_coarse_history": 99,
    "coarse_sliding_window_len": 9,
    "coarse_history_time_alignment_hack": -4,
    "coarse_kv_caching": False,
    "fine_temp": 0.3,
}
CHOICES = {
    "model": "small",
    "model_dir": "here",
    "offline": True,
    "force_reload": True,
    "device": "cpu",
    "dtype": "bfloat16",
    "text_use_gpu": False,
    "coarse_use_gpu": False,
    "fine_use_gpu": False,
    "codec_use_gpu": False,
    "text_use_small": True,
    "coarse_use_small": True,
    "fine_use_small": True,
    "offload_cpu": True,
    "suno_use_directml": True,
    "global_enable_mps": False,
}


def differences(make, values: dict[str, object]) -> list[str]:
    """The repr of `make`'s result with each option changed alone."""
    return [repr(make(resolve(Options(**{name: value})))) for name, value in values.items()]


def test_every_sampling_and_model_flag_reaches_its_setting():
    """Each option changed alone gives a result that differs from the default and from all others."""
    from bark_infinity.bark import Settings
    from bark_infinity.checkpoints.loading import ModelChoice

    for make, values in ((Settings.from_options, SETTINGS), (ModelChoice.from_options, CHOICES)):
        seen = [repr(make(resolve(Options()))), *differences(make, values)]
        assert len(set(seen)) == len(values) + 1
        for name, text in zip(values, seen[1:], strict=True):
            value = values[name]
            assert value in (True, False) or repr(value) in text, name


def test_every_flag_has_help_and_a_unique_lower_case_name():
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
    default = resolve(Options())
    assert (default.semantic_temp, default.coarse_temp) == (0.7, 0.7) and default.changed() == {}
    options = resolve(
        Options(
            text_temp=0.3, waveform_temp=0.0, semantic_temp=0.0, use_smaller_models=True, confused_travolta_mode=True
        )
    )
    assert (options.semantic_temp, options.coarse_temp) == (0.0, 0.0)
    assert options.text_use_small and options.coarse_use_small and options.fine_use_small
    assert not options.semantic_allow_early_stop
    assert options.changed()["text_temp"] == 0.3


@pytest.mark.parametrize(("word", "value"), [("1", True), ("true", True), ("no", False)])
def test_environment_variable_is_used_when_the_flag_is_unset(monkeypatch, word, value):
    monkeypatch.setenv("SUNO_OFFLOAD_CPU", word)
    monkeypatch.setenv("SUNO_USE_SMALL_MODELS", word)
    assert resolve(Options()).offload_cpu is value and resolve(Options()).text_use_small is value
    assert resolve(Options(offload_cpu=True, use_smaller_models=False)).offload_cpu is True
    assert resolve(Options(use_smaller_models=False)).text_use_small is False


def test_invalid_environment_variable_raises_usage_error(monkeypatch):
    monkeypatch.setenv("SUNO_ENABLE_MPS", "perhaps")
    with pytest.raises(UsageError, match="global_enable_mps"):
        resolve(Options())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("text_temp", "hot", "--text_temp takes a number, not 'hot'"),
        ("text_temp", None, "--text_temp takes a number, not None"),
        ("text_temp", True, "--text_temp takes a number, not True"),
        ("text_temp", 10**30, "--text_temp takes a number, not a number of more than 19 digits"),
        ("seed", 1.5, "--seed takes a whole number, not 1.5"),
        ("silent", 1, "--silent takes true or false, not 1"),
        ("silent", 10**1000, "--silent takes true or false, not a number of more than 19 digits"),
        ("history_prompt", 2.5, "--history_prompt takes a text, not 2.5"),
        ("text_prompt", Path("x"), "--text_prompt takes a text, not PosixPath('x')"),
        ("text_prompt", b"x", "--text_prompt takes a text, not b'x'"),
    ],
)
def test_value_of_another_type_is_refused(name, value, message):
    with pytest.raises(UsageError) as refused:
        resolve(Options(**{name: value}))
    assert str(refused.value) == message


def test_no_flag_takes_an_object():
    for line in flags():
        with pytest.raises(UsageError, match=f"^--{line.name} takes "):
            resolve(Options(**{line.name: [object()]}))


def test_values_of_programs_become_those_of_the_flag():
    resolved = resolve(
        Options(history_prompt=Path("~/x.npz"), seed=np.int64(3), text_temp=1, fine_temp=np.float32(0.5))
    )
    assert resolved.history_prompt == str(Path.home() / "x.npz") and resolved.asked.fine_temp == 0.5
    assert type(resolved.seed) is int and type(resolved.text_temp) is float and type(resolved.asked.fine_temp) is float
    by = {"split_each_text_prompt_by": "word", "split_each_text_prompt_by_value": 2}
    assert resolve(Options(**by)).split_each_text_prompt_by_value == "2"


def test_the_code_is_formatted_and_clean():
    root = str(PACKAGE.parent)
    for check in (["check"], ["format", "--check"]):
        result = subprocess.run([sys.executable, "-m", "ruff", *check, root], capture_output=True, text=True)
        assert result.returncode == 0, result.stdout
