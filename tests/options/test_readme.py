"""The documentation matches the program: the flags, modules, tests and links it names exist, and its examples run."""

from __future__ import annotations

import dataclasses
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from fakes import VOICE, Recorder, plan, recipe_of, whole_clips

from bark_infinity.cli.main import main, parse
from bark_infinity.options.readme import flag_reference
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import flags
from bark_infinity.voices.custom_history import load_function

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", (ROOT / "docs" / "python.md").read_text(encoding="utf-8"), re.DOTALL)
MOST_WORDS = 2_500  # of the README: a newcomer reads it in ten minutes
EXAMPLE = next(code for language, code in BLOCKS if language == "python" and "calm_down" in code)


def test_the_readme_is_short():
    assert len(README.split()) < MOST_WORDS


def test_every_module_is_in_the_architecture_map():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    modules = {path.relative_to(ROOT / "bark_infinity").as_posix() for path in (ROOT / "bark_infinity").rglob("*.py")}
    named = set(re.findall(r"^\| `([\w/]+\.py)`", page, re.MULTILINE))
    assert named == {name for name in modules if not name.endswith("__init__.py")}


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "CONTRIBUTING.md",
        *(f"docs/{name}.md" for name in ("architecture", "python", "promises", "scripts", "books", "server")),
    ],
)
def test_links_point_to_existing_files(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((ROOT / page).parent / link).exists(), link


def test_test_files_named_in_promises_exist():
    text = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
    for name in re.findall(r"`((?:tests|benchmarks)/[\w/]+\.py)`", text):
        assert (ROOT / name).exists(), name


def test_flag_reference_is_generated_from_the_table():
    page = (ROOT / "docs" / "flags.md").read_text(encoding="utf-8")
    assert page == flag_reference(), "run python -m bark_infinity.options.readme"
    rows = [row for row in flag_reference().splitlines() if row.startswith("| `--")]
    assert len(rows) == len(flags())
    for row, line in zip(rows, flags(), strict=True):
        assert all(f"`--{name}`" in row for name in (line.name, *line.aliases)) and line.help.split("|")[0] in row
        assert len(re.findall(r"(?<!\\)\|", row)) == 4, row


def test_every_flag_in_the_readme_exists():
    known = {name for line in flags() for name in (line.name, *line.aliases)} | {"help", "version"}
    spoken_of = set(re.findall(r"--([a-z]\w+)", README))
    assert spoken_of <= known, spoken_of - known


@pytest.mark.parametrize("command", re.findall(r"python bark_perform\.py (--.*)", README))
def test_commands_in_the_readme_are_parsed(command):
    words = re.split(r" > |`|;|\)", command)[0]
    arguments = shlex.split(words.replace("$seed", "1"))
    if "--from_manifest" not in arguments and "--config" not in arguments and "--help" not in arguments:
        resolve(parse(arguments))


def test_custom_function_example_works(make_voice):
    Path("prompts").mkdir()
    VOICE.save("prompts/angry.npz")
    Path("my_history.py").write_text(EXAMPLE)
    recorder = Recorder()
    function = load_function("my_history.py:calm_down")
    recipe = dataclasses.replace(recipe_of(recorder, make_voice(8.0)), function=function)
    list(whole_clips(recipe, [plan([f"s{k}" for k in range(3)])]))
    assert set(recorder.histories["s0"].semantic) == {99}
    assert (
        recorder.histories["s2"].semantic[-128:].tolist() == [1] * 128 and len(recorder.histories["s2"].semantic) == 256
    )
    np.testing.assert_array_equal(recorder.histories["s2"].fine, np.full((8, 300), 1))


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_offers_flags_and_choices(shell, capsys):
    assert main(["--print_completion", shell]) == 0
    script = capsys.readouterr().out
    assert "bark-infinity" in script
    for word in ("semantic_mirostat_tau", "flac", "rhyme", "additional_unconditional_segments"):
        assert word in script, word


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not on the PATH")
def test_completion_works_in_bash(tmp_path, capsys):
    assert main(["--print_completion", "bash"]) == 0
    script = capsys.readouterr().out
    ask = "\nCOMP_WORDS=(bark-infinity {0}); COMP_CWORD={1}; _shtab_bark_infinity; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    for words, wanted in (
        ("--hoa", {"--hoarder_mode"}),
        ("--output_format o", {"ogg", "opus"}),
        ("--dev", {"--device"}),
    ):
        done = subprocess.run(
            ["bash", "-c", script + ask.format(words, len(words.split()))], capture_output=True, text=True, cwd=tmp_path
        )
        assert set(done.stdout.split()) == wanted, done.stderr
