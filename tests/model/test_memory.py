"""Memory that a loaded model does not need is the system's again."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

SCRIPT = """
from pathlib import Path

import torch

from bark_infinity.model.devices import return_free_memory

def own_mib():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024

blocks = [torch.ones(2**15) for _ in range(1600)]  # 128 KiB each, 200 MiB in all
del blocks[::2]  # what is free lies between what is used
before = own_mib()
return_free_memory()
print(before - own_mib())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_free_memory_between_used_blocks_is_returned():
    told = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert float(told.stdout) > 80
