"""Starting the program: closed streams, a deleted current folder, signals at any moment."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bark_infinity.cli.main import main
from bark_infinity.cli.signals import INTERRUPTED
from bark_infinity.cli.start import bound_spinning

ROOT = Path(__file__).parents[2]
START = ROOT / "bark_perform.py"
posix = pytest.mark.skipif(os.name != "posix", reason="shells and signals of POSIX")


def shell(line: str) -> subprocess.CompletedProcess:
    """The program in a shell, with its arguments and redirections. Its output is buffered, as users' is."""
    command = f'exec "{sys.executable}" "{START}" {line}'
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, timeout=120, env=buffered)


# ---- streams --------------------------------------------------------------------------------------------------------

PRINTING = ["--help", "--version", "--list_speakers", "--print_config", "--print_completion bash"]
UNWRITABLE = [
    ">&-",
    pytest.param(">/dev/full", marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux")),
]


@posix
@pytest.mark.parametrize("redirection", UNWRITABLE)
@pytest.mark.parametrize("arguments", PRINTING)
def test_unwritable_stdout_gives_a_one_line_error(arguments, redirection):
    result = shell(f"{arguments} {redirection}")
    assert result.returncode == 1
    *_, last = result.stderr.splitlines()  # a table may come before it
    assert last.startswith("error: the output cannot be written (") and last.endswith("; free space or redirect it")
    assert "Traceback" not in result.stderr and "Exception ignored" not in result.stderr


@posix
@pytest.mark.parametrize("arguments", PRINTING)
def test_output_needs_neither_stdin_nor_stderr(arguments):
    result = shell(f"{arguments} <&- 2>&-")
    assert result.returncode == 0 and result.stdout and not result.stderr


@posix
def test_exit_status_is_right_with_all_streams_closed():
    assert [shell(f"{arguments} >&- <&- 2>&-").returncode for arguments in ("--help", "--nonsense")] == [1, 2]


@posix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux")
def test_run_with_unwritable_stdout_saves_its_files():
    Path("two.txt").write_text("One.\nTwo.\n")
    result = shell(
        "--model demo --prompt_file two.txt --split_input_into_separate_prompts_by line "
        "--semantic_max_gen_duration_s 0.1 --check_segments off >/dev/full"
    )
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert (
        result.stderr.count("the standard output cannot be written") == 1 and "the files are complete" in result.stderr
    )
    assert len(list(Path("bark_samples").glob("*.wav"))) == 2 and len(list(Path("bark_samples").iterdir())) == 6


@posix
def test_run_with_all_streams_closed_saves_its_files():
    """A closed stdout and stderr are no descriptors that a file of the run may get."""
    result = shell("--model demo --text_prompt Hello --semantic_max_gen_duration_s 0.2 >&- 2>&- <&-")
    assert result.returncode == 1 and len(list(Path("bark_samples").glob("*.wav"))) == 1


# ---- the current folder ---------------------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize(
    "arguments", ["--text_prompt hi --model demo", "--list_speakers", "--dry_run --text_prompt hi"]
)
def test_deleted_current_folder_gives_a_one_line_error(arguments):
    command = [sys.executable, str(START), *shlex.split(arguments)]
    enter = (
        f"import os; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone'); os.execv({sys.executable!r}, {command})"
    )
    result = subprocess.run([sys.executable, "-c", enter], capture_output=True, text=True, timeout=120)
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert result.stderr.startswith("error: the current folder cannot be used (No such file or directory)")


# ---- signals --------------------------------------------------------------------------------------------------------

# A signal that comes between the line "ready" and the program's first statement waits for that.
READY = f"""
import os, signal, sys
sys.path[0] = {str(ROOT)!r}
begin = "try:\\n        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])\\n"
program = compile(open({str(START)!r}).read().replace("try:\\n", begin), {str(START)!r}, "exec")
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
os.write(1, b"ready\\n")
exec(program)
"""
ENDLESS = ["--model", "demo", "--text_prompt", "word " * 3000, "--batch_size", "1"]


@posix
@pytest.mark.parametrize("delay", [0.0, 0.01, 0.02, 0.04, 0.08, 0.15, 0.27, 0.5, 0.8, 1.5])
def test_ctrl_c_at_any_moment_while_starting(delay):
    """`delay`: seconds after the program's first line; Python's own start comes before it."""
    with subprocess.Popen(
        [sys.executable, "-c", READY, *ENDLESS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and not out
    assert "Traceback" not in err and err.count("\n") <= 1
    assert (
        not err or INTERRUPTED in err
    )  # there is nothing to tell before the program has begun, on a busy machine late


SWALLOWING = """
import os, signal, sys, time
from bark_infinity.cli import main
def swallow(argv, console):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    except:
        pass
    {then}
main._run = swallow
print(main.main([]))
"""


@posix
@pytest.mark.parametrize(
    "then",
    [
        "return 0",  # the run ends before the stop is noticed
        "time.sleep(30)",  # it would run for long
        "import ctypes; ctypes.CDLL(None).sleep(2); time.sleep(30)",  # in C code, where Python cannot handle the signal for two seconds
        "raise ImportError('a library took it for its own failure')",
        "raise main.UsageError('likewise')",
        "raise OSError('likewise')",
    ],
)
def test_stop_exception_swallowed_by_other_code_still_takes_effect(then):
    command = [sys.executable, "-c", SWALLOWING.format(then=then)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=25)
    assert result.stdout == "143\n" and result.stderr == f"error: {INTERRUPTED}\n"


TIDYING = """
import os, signal, time
from bark_infinity.cli.signals import Stopped, stopping
with stopping():
    try:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            try:
                raise ValueError
            except ValueError:
                time.sleep(1.2)
    except Stopped:
        time.sleep(1.2)
        print("tidied up")
time.sleep(0.5)
"""


@posix
def test_tidying_up_is_not_interrupted():
    result = subprocess.run([sys.executable, "-c", TIDYING], cwd=ROOT, capture_output=True, text=True, timeout=25)
    assert result.returncode == 0 and result.stdout == "tidied up\n" and not result.stderr


def test_unexpected_exceptions_show_a_traceback(monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr("bark_infinity.cli.main._run", broken)
    with pytest.raises(ZeroDivisionError):
        main([])


# ---- threads that wait ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chosen", [{}, {"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "7"}, {"KMP_BLOCKTIME": "9"}])
def test_spinning_is_bounded_unless_the_user_has_chosen(chosen):
    environment = dict(chosen)
    bound_spinning(environment)
    assert environment == (chosen or {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "1"})


def test_spinning_is_bounded_before_torch_is_loaded(tmp_path):
    """OpenMP reads the environment of the process when it is loaded."""
    code = (
        "import os, sys\n"
        "from bark_infinity.cli import start\n"
        "sys.argv = ['bark_perform.py', '--version']\n"
        "try:\n    start.run_and_exit()\n"
        "except SystemExit:\n    print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
    )
    environment = {key: value for key, value in os.environ.items() if key not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment)
    assert result.stdout.splitlines()[-1] == "1000 False", result.stderr


def test_garbage_is_collected_while_speaking_and_not_while_starting(tmp_path):
    code = (
        "import gc, sys\n"
        "from bark_infinity.cli import start\n"
        "from bark_infinity.run import scheduler\n"
        "run = scheduler.Scheduler.run\n"
        "scheduler.Scheduler.run = lambda self, *a: print('speaking', gc.isenabled(), gc.get_freeze_count() > 1e5) or run(self, *a)\n"
        "from bark_infinity.cli import speak\n"
        "load = speak.load\n"
        "speak.load = lambda *a: print('starting', gc.isenabled()) or load(*a)\n"
        "sys.argv = ['bark_perform.py', '--model', 'demo', '--text_prompt', 'Hi.', '--output_dir', '.']\n"
        "start.run_and_exit()"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert result.stdout.splitlines()[:2] == ["starting False", "speaking True True"], result.stderr
