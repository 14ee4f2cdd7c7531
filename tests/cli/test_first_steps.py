"""A command line without a text: sample prompts are spoken, but no model is downloaded for them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bark_infinity.checkpoints import places
from bark_infinity.cli import commands
from bark_infinity.cli.first_steps import program_name
from bark_infinity.cli.main import main
from bark_infinity.run.prompts import SAMPLE_PROMPTS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a command line up to where a model would be loaded: (exit status, the prompts it would speak, stderr)."""
    monkeypatch.setenv("COLUMNS", "400")
    spoken = []

    def speak(options, source, console) -> int:
        spoken.extend(plan.text for plan in source.plan()[0])
        return 0

    monkeypatch.setattr(commands, "speak", speak)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "hub")

    def perform(*arguments: str) -> tuple[int, list[str], str]:
        spoken.clear()
        status = main(arguments)
        out, error = capsys.readouterr()
        assert not out
        return status, list(spoken), error

    return perform


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ([], 'bark_perform.py --text_prompt "Hello, my name is Suno. [laughs]'),
        (["--model", "small"], "bark_perform.py --model small --text_prompt"),
        (["--model", "demo", "--coarse_use_small"], "demo and small (downloaded once, 1.7 GB)"),
        (["--model", "somebody/bark"], "--model somebody/bark --text_prompt"),
        (["--seed", "5", "--output_iterations", "3"], "4.5 GB"),
        (["--force_reload"], "4.5 GB"),
        (["--model_dir", "empty"], "4.5 GB"),
    ],
)
def test_samples_are_refused_when_the_model_must_be_downloaded(run, arguments, shown):
    status, spoken, error = run(*arguments)
    assert (status, spoken) == (2, []) and shown in error
    assert "--model demo --text_prompt" in error and "error" not in error


def test_demo_speaks_the_samples(run):
    assert run("--model", "demo") == (0, list(SAMPLE_PROMPTS), "")
    assert run("--model", "demo", "--force_reload")[0] == 0


def test_local_model_speaks_the_samples(run):
    Path("folder").mkdir()
    assert run("--model", "folder")[1] == list(SAMPLE_PROMPTS)
    Path("downloads/suno/bark").mkdir(parents=True)
    Path("downloads/suno/bark/model.safetensors").touch()
    assert run("--model_dir", "downloads")[1] == list(SAMPLE_PROMPTS)
    assert run("--model_dir", "downloads", "--fine_use_small")[0] == 2
    snapshot = Path("hub/models--suno--bark/snapshots/0123")
    snapshot.mkdir(parents=True)
    (snapshot / "pytorch_model.bin").touch()
    Path("hub/models--suno--bark/refs").mkdir()
    Path("hub/models--suno--bark/refs/main").write_text("0123")
    assert run("--model_dir", "hub")[1] == list(SAMPLE_PROMPTS)


def test_originals_checkpoints_need_tokenizer_and_codec_for_the_samples(run):
    places.original_cache().mkdir(parents=True)
    for name in ("text", "coarse", "fine"):
        (places.original_cache() / f"{name}_2.pt").touch()
    assert run("--model_dir", "beside")[0] == 2
    for repo, name in ((places.TOKENIZER_REPO, "vocab.txt"), (places.CODEC_REPO, "model.safetensors")):
        Path("beside", repo).mkdir(parents=True)
        Path("beside", repo, name).touch()
    assert run("--model_dir", "beside")[1] == list(SAMPLE_PROMPTS)
    Path("beside", places.CODEC_REPO, "model.safetensors").unlink()
    assert run("--model_dir", "beside")[0] == 2
    places.original_codec().parent.mkdir(parents=True)
    places.original_codec().touch()
    assert run("--model_dir", "beside")[1] == list(SAMPLE_PROMPTS)


@pytest.mark.parametrize("arguments", [["--dry_run"], ["--text_splits_only"]])
def test_dry_run_without_a_text_shows_the_samples(capsys, arguments):
    assert main(arguments) == 0
    assert "Suno" in capsys.readouterr().err


def test_given_text_is_spoken_even_if_the_model_must_be_downloaded(run):
    assert run("--text_prompt", "Hello.")[1] == ["Hello."]


def test_command_without_a_text_does_not_import_torch(tmp_path):
    code = "import sys; from bark_infinity.cli.main import main; print(main([]), 'torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert result.stdout.split() == ["2", "False"], result.stderr


@pytest.mark.parametrize(
    ("start", "name"),
    [
        ("/usr/bin/bark-infinity", "bark-infinity"),
        ("bark-infinity.exe", "bark-infinity"),
        ("/home/me/bark_infinity/__main__.py", "python -m bark_infinity"),
        ("bark_perform.py", "python bark_perform.py"),
        ("/somewhere/pytest/__main__.py", "python bark_perform.py"),
    ],
)
def test_help_names_the_program_as_it_was_started(monkeypatch, capsys, start, name):
    monkeypatch.setattr(sys, "argv", [start])
    assert program_name() == name
    with pytest.raises(SystemExit):
        main(["--help"])
    assert name in capsys.readouterr().out.splitlines()[0]
    main([])
    assert f'{name} --model demo --text_prompt "Hello' in capsys.readouterr().err


@pytest.mark.parametrize("name", ["nosuch", "nosuch/", "no/such/model", "a//b", ""])
@pytest.mark.parametrize(
    "arguments",
    [
        ["--text_prompt", "Hi.", "--dry_run"],
        ["--text_prompt", "Hi.", "--text_splits_only"],
        ["--text_prompt", "Hi."],
        ["--convert_model", "converted", "--dry_run"],
    ],
)
def test_model_that_cannot_exist_is_refused_while_planning(run, arguments, name):
    """Planning refuses it with the sentence of the run that would look for it."""
    from bark_infinity.checkpoints.finding import find_checkpoints
    from bark_infinity.checkpoints.hub import Hub
    from bark_infinity.errors import CheckpointError

    with pytest.raises(CheckpointError) as error:
        find_checkpoints({"semantic": name}, Hub(offline=True))
    status, spoken, stderr = run(*arguments, "--model", name)
    assert (status, spoken) == (2, []) and " ".join(stderr.split()) == f"error: {' '.join(str(error.value).split())}"


@pytest.mark.parametrize("name", ["demo", "large", "small", "somebody/bark", "folder"])
def test_model_that_may_exist_is_planned_with(run, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    assert run("--text_prompt", "Hi.", "--model", name)[:2] == (0, ["Hi."])


def test_model_that_no_stage_uses_is_not_looked_for(run):
    assert run("--text_prompt", "Hi.", "--model", "nosuch", "--use_smaller_models")[0] == 0
