"""Every example of the README and of docs/python.md runs, as it stands there, without a network.

`--model demo` is the demo itself here. In place of the published models there is one with random weights and their
vocabularies, and in place of their presets a random voice. Commands that are not this program's are left out.
"""

from __future__ import annotations

import io
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

from bark_infinity import constants as c
from bark_infinity import drop_in
from bark_infinity.checkpoints import finding, places
from bark_infinity.checkpoints.finding import DEMO, Checkpoint
from bark_infinity.checkpoints.hub import Hub
from bark_infinity.checkpoints.huggingface import HuggingFaceCheckpoint
from bark_infinity.cli.main import main
from bark_infinity.voices import compatibility
from bark_infinity.voices.voice import Voice

ROOT = Path(__file__).parents[1]
PAGES = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/python.md")]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", "\n".join(PAGES), re.DOTALL | re.MULTILINE)
PROMPTS_README = (ROOT / "prompts" / "README.md").read_text(encoding="utf-8")
PROGRAMS = (("bark_perform.py",), ("-m", "bark_infinity"), ("bark-infinity",))
QUICK = ("--semantic_max_gen_duration_s=0.3", "--fine_temp=0")  # added to commands that speak, to make the clips short
PUNCTUATION = re.compile(r"[();<>|&]+")
SAMPLE_LINES = 3
N_SEGMENTS = 10  # of the clip that examples make again

pytestmark = pytest.mark.xdist_group("readme")


@dataclass
class Command:
    """One start of the program within a block of shell commands."""

    arguments: list[str] = field(default_factory=list)
    output: str | None = None  # the file that stdout is written to


def commands(block: str) -> list[Command]:
    """All invocations of this program in a block of shell commands, in order; each loop runs once."""
    found: list[Command] = []
    for line in block.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
        while (start := _start(words)) is not None:
            end = next((k for k in range(start, len(words)) if PUNCTUATION.fullmatch(words[k])), len(words))
            command = Command([word.replace("$seed", "1") for word in words[start:end]])
            if words[end : end + 1] in (["1>"], [">"]):
                command.output = Path(words[end + 1]).name
            found.append(command)
            words = words[end:]
    return found


def _start(words: list[str]) -> int | None:
    """The position where the arguments of the program's next invocation begin."""
    for k in range(len(words)):
        for program in PROGRAMS:
            if tuple(words[k : k + len(program)]) == program:
                return k + len(program)
    return None


def random_voice() -> Voice:
    """A voice of the published vocabularies."""
    rng = np.random.default_rng(0)
    fine = rng.integers(0, c.CODEBOOK_SIZE, (c.N_FINE_CODEBOOKS, 450))
    return Voice(rng.integers(0, c.SEMANTIC_VOCAB_SIZE, 300), fine[: c.N_COARSE_CODEBOOKS], fine)


@pytest.fixture(scope="module", autouse=True)
def models() -> Iterator[None]:
    """Models and presets as the head of this file says."""
    from babbler import Babbler

    def find(model: str, stage: str, hub: Hub) -> Checkpoint:
        if model in places.PUBLISHED:
            return Babbler()
        if model == "demo":
            return HuggingFaceCheckpoint.open(DEMO, "the built-in demo model")
        return found_before(model, stage, hub)

    found_before, threads = finding._find, torch.get_num_threads()
    torch.set_num_threads(1)  # so small models gain nothing from more
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finding, "_find", find)
        patch.setattr(Hub, "preset", lambda hub, name: random_voice().prompts())
        patch.setitem(compatibility.SEMANTIC_VOCAB_SIZES, "demo", compatibility.DEMO_SEMANTIC_VOCAB_SIZE)
        patch.setattr(drop_in, "_session", drop_in._Session())
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def clip(models, tmp_path_factory) -> Path:
    """A folder with a clip of several segments, `name`, as the examples call it."""
    folder = tmp_path_factory.mktemp("clip")
    text = "\n".join(f"This is sentence {n}." for n in range(N_SEGMENTS))
    cut = ("--split_each_text_prompt_by", "line", "--output_dir", str(folder), "--output_filename", "name")
    assert main(["--model", "demo", "--history_prompt", "demo_male", "--text_prompt", text, *cut, *QUICK]) == 0
    return folder


@pytest.fixture(autouse=True)
def checkout(monkeypatch, tmp_path) -> None:
    """The current folder holds the files that examples name; sample texts are shortened."""
    monkeypatch.setenv("COLUMNS", "300")
    (tmp_path / "prompts").mkdir()
    for path in (ROOT / "prompts").glob("*.txt"):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        n_lines = SAMPLE_LINES + (lines.index("+++\n", 1) if lines[0] == "+++\n" else 0)  # front matter stays whole
        (tmp_path / "prompts" / path.name).write_text("".join(lines[:n_lines]), encoding="utf-8")
    random_voice().save(tmp_path / "prompts" / "angry.npz")


def numbered(language: str) -> list:
    """The blocks of a language, each with its first line as the test's name."""
    blocks = [block for other, block in BLOCKS if other == language]
    return [pytest.param(block, id=block.strip().splitlines()[0][:70]) for block in blocks]


@pytest.mark.parametrize("block", numbered("sh"))
def test_shell_block_runs(block, clip, monkeypatch, capsys):
    if "bark_samples/name.json" in block:
        shutil.copytree(clip, "bark_samples")
    for command in commands(block):
        arguments = command.arguments
        if "-" in arguments:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Hello there.")))
        makes_a_clip = {"--text_prompt", "--prompt_file"} & set(arguments)
        capsys.readouterr()
        try:
            status = main([*arguments, *(QUICK if makes_a_clip else ())])
        except SystemExit as end:  # --help, --version
            status = end.code
        out, error = capsys.readouterr()
        assert status == 0, (shlex.join(arguments), error)
        if command.output is not None:
            Path(command.output).write_text(out)
        elif makes_a_clip and "--dry_run" not in arguments:
            assert all(Path(path).is_file() for path in out.splitlines()) and out


@pytest.mark.parametrize("block", numbered("python"))
def test_python_block_runs(block, clip):
    shutil.copytree(clip, "bark_samples")
    exec(compile(block, "README.md", "exec"), {"__name__": "readme"})


def test_files_named_in_commands_exist():
    for language, block in BLOCKS:
        if language == "sh":
            for name in re.findall(r"(?:python\S* |-r )(\S+\.(?:py|txt))", block):
                assert (ROOT / name).is_file(), name


def test_commands_are_found_in_loops_pipes_and_behind_others():
    block = (
        "a && .venv/bin/python bark_perform.py --seed 1\n"
        'for seed in 1 2; do wav=$(python bark_perform.py --text_prompt "To be; or (not)." --seed $seed); done\n'
        "echo x | bark-infinity --prompt_file - \\\n  --print_config > ~/a/my.toml   # why\n"
    )
    assert commands(block) == [
        Command(["--seed", "1"]),
        Command(["--text_prompt", "To be; or (not).", "--seed", "1"]),
        Command(["--prompt_file", "-", "--print_config"], "my.toml"),
    ]


def test_the_readme_has_examples_of_both_kinds():
    assert sum(len(commands(block)) for language, block in BLOCKS if language == "sh") > 8
    assert len(numbered("python")) >= 2


@pytest.mark.parametrize("line", re.findall(r"`(python bark_perform\.py .*?)`", PROMPTS_README))
def test_the_commands_for_the_sample_texts_are_planned(line, capsys):
    (command,) = commands(line)
    assert main([*command.arguments, "--dry_run"]) == 0, capsys.readouterr().err
