"""What asks the program to stop: the first time it tidies up, the second time it ends at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bark_infinity.cli.signals import Stopped, stopping

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
    """A process that takes a minute to tidy up, at work."""
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
def test_the_second_signal_does_not_wait(first, second, status):
    process = started()
    process.send_signal(first)
    assert process.stdout.readline() == f"tidying up {128 + first}\n"
    process.send_signal(second)
    assert process.wait(timeout=20) == status


def test_what_was_to_be_ignored_stays_ignored():
    """As under nohup: closing the terminal ends nothing."""
    process = started("signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "tidying up 143\n"
    process.kill()
    process.wait()


def test_signals_are_given_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Stopped) as stopped, stopping():
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    assert stopped.value.status == 143
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
