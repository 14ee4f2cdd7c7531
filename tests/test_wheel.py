"""The wheel, installed in an empty folder, behaves like the checkout, from any current folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bark_infinity"


def _can_build() -> bool:
    """True when pyproject.toml's build backend is installed; without a network pip cannot fetch it."""
    try:
        return int(version("setuptools").split(".")[0]) >= 77 and bool(version("pip"))
    except PackageNotFoundError:
        return False


pytestmark = [
    pytest.mark.skipif(not _can_build(), reason="building a wheel offline needs pip and setuptools 77 or newer here"),
    pytest.mark.xdist_group("wheel"),
]


def pip(*arguments: str, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The folder in which the wheel is installed."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(PACKAGE, source / "bark_infinity", ignore=shutil.ignore_patterns("__pycache__"))
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(source), ".", folder=source)
    (wheel,) = source.glob("*.whl")
    pip("install", "--no-deps", "--no-index", "--no-compile", "--target", str(folder), str(wheel), folder=source)
    return folder


def command(site: Path, *arguments: str) -> subprocess.CompletedProcess:
    """The installed command, with the checkout not importable."""
    environment = os.environ | {"PYTHONPATH": str(site), "COLUMNS": "200"}
    start = [sys.executable, str(site / "bin" / "bark-infinity"), *arguments]
    return subprocess.run(start, env=environment, capture_output=True, text=True, timeout=120)


def files(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_wheel_contains_every_file_of_the_package(site):
    assert files(PACKAGE) == files(site / "bark_infinity")
    assert (PACKAGE / "py.typed").is_file()


def test_help_names_the_installed_command(site):
    assert command(site, "--help").stdout.startswith("usage: bark-infinity ")


def test_installed_command_lists_and_uses_demo_voices_from_any_folder(site, tmp_path):
    assert command(site, "--list_speakers").stdout.split() == ["demo_female", "demo_male"]
    spoken = command(site, "--model", "demo", "--history_prompt", "demo_female", "--text_prompt", "Good day.")
    assert spoken.returncode == 0, spoken.stderr
    assert (tmp_path / spoken.stdout.strip()).stat().st_size > 10_000
