"""Audio files in tests: a parametrization over every format (those that need ffmpeg are skipped without it), and decoding by ffmpeg."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from bark_infinity.audio.formats import FFMPEG_FORMATS, FORMATS

needs_ffmpeg = pytest.mark.skipif(not shutil.which("ffmpeg") or not shutil.which("ffprobe"), reason="no ffmpeg here")


any_format = pytest.mark.parametrize(
    "format", [pytest.param(name, marks=needs_ffmpeg if name in FFMPEG_FORMATS else ()) for name in FORMATS]
)


def decoded(path: Path) -> np.ndarray:
    """Samples at 24 kHz, decoded by ffmpeg."""
    command = ["ffmpeg", "-v", "error", "-i", f"file:{path}", "-ar", "24000", "-f", "f32le", "-"]
    return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, "<f4")
