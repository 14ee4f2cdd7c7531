"""Signals: the first one lets the program tidy up, the second one ends it at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bark_infinity.cli.signals import Stopped, stopping

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

TIDYING = """
import signal, sys, time
{before}
from bark_infinity.cli.signals import Stopped, stopping
with stopping():
    try:
        print("at work", flush=True)
        time.sleep(60)
    except Stopped as stopped:
        print("tidying up", stopped.status, flush=True)
        time.sleep(60)
"""


def started(before: str = "") -> subprocess.Popen:
    """A running process that takes a minute to tidy up."""
    process = subprocess.Popen(
        [sys.executable, "-c", TIDYING.format(before=before)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout.readline() == "at work\n"
    return process


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        (signal.SIGINT, signal.SIGINT, 130),
        (signal.SIGTERM, signal.SIGINT, 130),
        (signal.SIGINT, signal.SIGTERM, 143),
        (signal.SIGHUP, signal.SIGHUP, 129),
    ],
)
def test_second_signal_ends_the_program_at_once(first, second, status):
    process = started()
    process.send_signal(first)
    assert process.stdout.readline() == f"tidying up {128 + first}\n"
    process.send_signal(second)
    assert process.wait(timeout=20) == status


def test_signals_ignored_at_the_start_stay_ignored():
    """As under nohup, where closing the terminal must not end the program."""
    process = started("signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "tidying up 143\n"
    process.kill()
    process.wait()


def test_signal_handlers_are_restored():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Stopped) as stopped, stopping():
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    assert stopped.value.status == 143
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_stop_waits_until_torch_is_imported(tmp_path):
    """In the middle of it the exception would reach C++ code, which aborts the process."""
    (tmp_path / "torch.py").write_text(
        "import os, signal, time\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "time.sleep(0.7)\n"  # long enough for a reminder
        "print('whole')\n"
    )
    code = (
        "from bark_infinity.cli.signals import Stopped, import_torch, stopping\n"
        "with stopping():\n"
        "    try:\n        import_torch()\n"
        "    except Stopped as error:\n        print(error.status)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert result.stdout.split() == ["whole", "130"], result.stderr
