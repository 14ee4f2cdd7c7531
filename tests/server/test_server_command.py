"""The server as a user starts it: one process with the demo, in which the examples of docs/server.md run as they stand there."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="uvicorn is not installed")
pytest.importorskip("fastapi", reason="fastapi is not installed")
pytest.importorskip("wyoming", reason="wyoming is not installed")
pytest.importorskip("httpx", reason="httpx is not installed")
import httpx
from wyoming.audio import AudioChunk, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.info import Describe, Info
from wyoming.tts import Synthesize, SynthesizeVoice

from bark_infinity.errors import UsageError
from bark_infinity.options.flag import flags_of
from bark_infinity.server import start
from bark_infinity.server.server_flags import ServerFlags
from bark_infinity.server.serving import listen, url_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
IN_THE_PAGE = "http://localhost:7860"
PATIENCE_S = 120  # after which a process that should have ended hangs

pytestmark = pytest.mark.xdist_group("server process")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "bark_infinity.server", *arguments]


def environment() -> dict[str, str]:
    found = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "BARK_"))}
    return found | {"PYTHONPATH": str(ROOT), "NO_PROXY": "*", "COLUMNS": "300"}


@dataclass
class Server:
    """A running server: where its page is, where Wyoming is spoken, and the folder in which it was started."""

    process: subprocess.Popen
    address: str
    wyoming_port: int
    folder: Path


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    """The demo, served. In the end it is told to stop, and must do so in order."""
    folder = tmp_path_factory.mktemp("served")
    arguments = command("--model", "demo", "--port", "0", "--wyoming_port", "0")
    with open(folder / "errors.txt", "w") as errors:
        process = subprocess.Popen(
            arguments, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        line = process.stdout.readline()
        address = re.fullmatch(r"Bark Infinity: (http://127\.0\.0\.1:\d+) \(Ctrl-C ends it\)\n", line)
        assert address, line + (folder / "errors.txt").read_text()
        while not (wyoming := re.search(r"Wyoming: tcp://127\.0\.0\.1:(\d+)\n", (folder / "errors.txt").read_text())):
            time.sleep(0.01)
        yield Server(process, address[1], int(wyoming[1]), folder)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
        told = (folder / "errors.txt").read_text()
        assert "Traceback" not in told and "error" not in told, told
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("block", [block for language, block in BLOCKS if language == "python"])
def test_python_of_the_page_runs(server, block, tmp_path):
    if "openai" in block:
        pytest.importorskip("openai", reason="openai is not installed")
    exec(compile(block.replace(IN_THE_PAGE, server.address), "server.md", "exec"), {"__name__": "page"})
    (sound,) = (path for path in tmp_path.iterdir() if path.suffix in (".mp3", ".m4b"))
    assert sound.stat().st_size > 5_000


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on the PATH")
@pytest.mark.parametrize("block", [block for language, block in BLOCKS if language == "sh" and "curl" in block])
def test_curl_of_the_page_runs(server, block, tmp_path):
    script = block.replace(IN_THE_PAGE, server.address).replace("curl -s ", "curl -s --fail-with-body ")
    done = subprocess.run(
        ["bash", "-ec", script], capture_output=True, text=True, env=environment(), timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if "hello.wav" in block:
        content = (tmp_path / "hello.wav").read_bytes()
        assert content[:4] == b"RIFF" and len(content) > 20_000


def test_commands_of_the_page_are_parsed(monkeypatch):
    from bark_infinity.server.server_flags import read_command_line

    monkeypatch.setenv("BARK_API_KEY", "k")
    lines = re.findall(r"(?:bark-infinity-web|python bark_webui\.py) (--[^\n`]*)", PAGE)
    assert len(lines) > 4
    for line in lines:
        if line != "--help":
            read_command_line(shlex.split(line))


def test_the_page_lists_every_flag_of_the_server_with_its_default():
    rows = dict(re.findall(r"^\| `--(\w+)` \|\s*`?([^|`]*?)`?\s*\|", PAGE, re.M))
    table = {line.name: line for line in flags_of(ServerFlags)}
    assert rows.keys() == table.keys()
    for name, default in rows.items():
        wanted = table[name].default
        assert default == ("" if wanted is None else str(wanted).lower() if wanted is False else str(wanted)), name


def test_home_assistant_hears_the_demo(server):
    async def talk() -> tuple[Info, bytes]:
        async with AsyncTcpClient("127.0.0.1", server.wyoming_port) as client:
            await client.write_event(Describe().event())
            info = Info.from_event(await client.read_event())
            await client.write_event(Synthesize("Good day.", SynthesizeVoice(name="demo_male")).event())
            sound = b""
            while not AudioStop.is_type((event := await client.read_event()).type):
                if AudioChunk.is_type(event.type):
                    sound += AudioChunk.from_event(event).audio
            return info, sound

    info, sound = asyncio.run(asyncio.wait_for(talk(), PATIENCE_S))
    assert {"demo_male", "demo_female"} <= {voice.name for voice in info.tts[0].voices}
    assert len(sound) > 2 * 24_000 * 0.3


def test_a_port_that_is_taken_is_told_at_once(server, capsys):
    port = server.address.rpartition(":")[2]
    assert start.main(["--model", "demo", "--port", port]) == 2
    assert f"port {port} of 127.0.0.1 cannot be opened" in (said := capsys.readouterr().err) and "--port" in said
    assert httpx.get(f"{server.address}/health", timeout=PATIENCE_S, trust_env=False).json()["status"] == "ok"


def test_what_cannot_be_served_is_one_sentence(capsys, monkeypatch):
    for line, says in (
        ("--text_prompt Hello", "is no default of a server"),
        ("--model not-there --port 0", "is no folder here"),
        ("--model demo --port 0 --history_prompt nobody", "there is no voice 'nobody'"),
        ("--model demo --port 0 --host no.such.name.invalid", "is no address of this machine"),
        ("--model demo --port 0 --output_format wav --output_format_ffmpeg_parameters -b:a", "ffmpeg"),
    ):
        assert start.main(shlex.split(line)) == 2, line
        told = capsys.readouterr().err
        assert says in told and told.startswith("error: ") and told.count("\n") == 1, told
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert start.main(["--model", "demo"]) == 2
    assert 'pip install "bark-infinity[web]"' in capsys.readouterr().err


LOADING_FOR_EVER = """
import sys, time
import bark_infinity.server.serving as serving
serving.load_services = lambda *_: time.sleep(1000)
from bark_infinity.server.start import run_and_exit
run_and_exit()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_while_the_model_is_being_loaded(number):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    arguments = [sys.executable, "-c", LOADING_FOR_EVER, "--model", "demo", "--port", str(port)]
    with subprocess.Popen(arguments, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S, trust_env=False) as client:
                while not is_answered(client):
                    time.sleep(0.02)
                    assert process.poll() is None
                process.send_signal(number)
            assert process.wait(PATIENCE_S) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()


def is_answered(client: httpx.Client) -> bool:
    """Whether the server that loads for ever answers by now."""
    try:
        return client.get("/health").json() == {"status": "loading"}
    except httpx.ConnectError:
        return False


def test_addresses_are_shown_as_other_programs_take_them():
    with listen("127.0.0.1", 0, "port") as opened:
        port = opened.getsockname()[1]
        assert url_of("0.0.0.0", opened) == url_of("127.0.0.1", opened) == f"http://127.0.0.1:{port}"
        assert url_of("::1", opened, "tcp") == f"tcp://[::1]:{port}"
        with pytest.raises(UsageError, match=f"port {port} of 127.0.0.1 .* --wyoming_port"):
            listen("127.0.0.1", port, "wyoming_port")
