"""Downloads, from a local HTTP server that stands in for the hub."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from bark_infinity.checkpoints.hub import Hub
from bark_infinity.errors import CheckpointError

START = Path(__file__).parents[2] / "bark_perform.py"
REPO, NAME = "someone/tiny-bark", "big.bin"
BIG = np.random.default_rng(0).bytes(1_000_000)


class FakeHub:
    """Serves folders as repositories with the parts of the hub's API that its client uses, and records the requests.

    `trouble` is called with the handler and the bytes of a response before they are sent, and returns the bytes to send.
    """

    def __init__(self, repositories: dict[str, Path]):
        self.requests: list[tuple[str, int]] = []  # file, first byte
        self.trouble: Callable[[BaseHTTPRequestHandler, bytes], bytes] = lambda _, data: data
        self.status, self.ranges = 200, True
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self):
                self.answer(body=False)

            def do_GET(self):
                self.answer(body=True)

            def answer(self, body: bool) -> None:
                repo, _, name = self.path.lstrip("/").partition("/resolve/main/")
                folder = repositories.get(repo)
                file = folder and folder / name
                start = self.first_byte()
                if body:
                    hub.requests.append((f"{repo}/{name}", start))
                if hub.status != 200:
                    self.head(hub.status, {})
                elif not file or not file.is_file():
                    self.head(404, {"X-Error-Code": "EntryNotFound" if folder else "RepoNotFound"})
                else:
                    self.send(file.read_bytes(), start, body)

            def first_byte(self) -> int:
                requested = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
                return int(requested[1]) if requested and hub.ranges else 0

            def send(self, data: bytes, start: int, body: bool) -> None:
                headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"'}
                if start:
                    headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
                self.head(206 if start else 200, headers, len(data) - start)
                if body:
                    with contextlib.suppress(OSError):  # the client may have disconnected
                        body_bytes = data[start:]
                        sent = hub.trouble(self, body_bytes)
                        self.close_connection = len(sent) < len(body_bytes)
                        self.wfile.write(sent)

            def head(self, status: int, headers: dict[str, str], length: int = 0) -> None:
                self.send_response(status)
                for name, value in (headers | {"X-Repo-Commit": "0" * 40, "Content-Length": str(length)}).items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def starts(self, name: str) -> list[int]:
        """The first byte of every request for a file of REPO."""
        return [start for file, start in self.requests if file == f"{REPO}/{name}"]


@pytest.fixture
def hub(huggingface_folder, make_voice, tmp_path):
    presets = tmp_path / "bark" / "speaker_embeddings" / "v2"
    presets.mkdir(parents=True)
    for name, array in make_voice(3.0).prompts().items():
        np.save(presets / f"en_speaker_6_{name}.npy", array)
    hub = FakeHub({REPO: huggingface_folder, "suno/bark": tmp_path / "bark"})
    yield hub
    hub.server.shutdown()
    hub.server.server_close()


@pytest.fixture
def big(tmp_path, monkeypatch):
    """A hub with one large file, which this process uses as its hub endpoint."""
    from huggingface_hub import constants

    (tmp_path / "big").mkdir()
    (tmp_path / "big" / NAME).write_bytes(BIG)
    hub = FakeHub({REPO: tmp_path / "big"})
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    yield hub
    hub.server.shutdown()
    hub.server.server_close()


def fetch(force: bool = False, offline: bool = False) -> Path:
    return Hub("models", offline, force).file(REPO, NAME)


def error_message(**how: bool) -> str:
    with pytest.raises(CheckpointError) as error:
        fetch(**how)
    assert "\n" not in str(error.value) and NAME in str(error.value)
    return str(error.value)


def reset_after(n: int) -> Callable[[BaseHTTPRequestHandler, bytes], bytes]:
    """A `trouble` that resets the connection after the first n bytes."""

    def trouble(handler: BaseHTTPRequestHandler, data: bytes) -> bytes:
        handler.wfile.write(data[:n])
        handler.wfile.flush()
        threading.Event().wait(0.3)  # a reset discards data that is still in transit
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return b""

    return trouble


def once(trouble: Callable[[BaseHTTPRequestHandler, bytes], bytes]) -> Callable[[BaseHTTPRequestHandler, bytes], bytes]:
    remaining = [trouble]
    return lambda handler, data: remaining.pop()(handler, data) if remaining else data


def perform_command(*arguments: str) -> list[str]:
    return [sys.executable, str(START), "--device", "cpu", "--text_prompt", "Hello", *arguments]


def environment(hub: FakeHub) -> dict[str, str]:
    variables = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
    return variables | {"HF_ENDPOINT": hub.url, "HF_HOME": "hf"}


def perform(hub: FakeHub, *arguments: str) -> subprocess.CompletedProcess:
    command = perform_command(*arguments)
    return subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment(hub))


# ---- the command line -----------------------------------------------------------------------------------------------


def test_second_offline_run_opens_no_socket(hub):
    arguments = ["--model", REPO, "--history_prompt", "v2/en_speaker_6", "--model_dir", "models"]
    first = perform(hub, *arguments)
    assert first.returncode == 0, first.stderr
    assert hub.starts("model.safetensors") == [0] and Path(first.stdout.strip()).is_file()
    hub.requests.clear()
    watched = f"""
import sys
def watch(event, _):
    if event.startswith("socket."):
        raise SystemExit(f"a socket: {{event}}")
sys.addaudithook(watch)
from bark_infinity.cli.main import main
sys.exit(main({perform_command(*arguments, "--offline")[2:]!r}))
"""
    command = [sys.executable, "-c", watched]
    paths = os.pathsep.join([str(START.parent), os.environ.get("PYTHONPATH", "")])
    second = subprocess.run(
        command, capture_output=True, text=True, timeout=240, env=environment(hub) | {"PYTHONPATH": paths}
    )
    assert second.returncode == 0, second.stderr
    assert not hub.requests


def test_absent_repository_or_file_is_reported_in_one_line(hub):
    for model, message in (
        ("someone/nothing", "there is no hub repository someone/nothing"),
        ("suno/bark", "no config.json"),
    ):
        result = perform(hub, "--model", model)
        assert result.returncode == 2 and message in result.stderr and "Traceback" not in result.stderr
        assert not Path("bark_samples").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_interrupted_download_keeps_its_partial_file(hub):
    def stall(handler: BaseHTTPRequestHandler, data: bytes) -> bytes:
        handler.wfile.write(data[: 2**18])
        handler.wfile.flush()
        asked.set()
        released.wait(60)
        return b""

    asked, released = threading.Event(), threading.Event()
    hub.trouble = lambda handler, data: stall(handler, data) if handler.path.endswith(".safetensors") else data
    process = subprocess.Popen(
        perform_command("--model", REPO, "--model_dir", "models"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(hub),
    )
    try:
        assert asked.wait(120)
        threading.Event().wait(0.5)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        released.set()
    assert process.returncode == 130 and "the same command goes on" in err and "Traceback" not in err
    (part,) = Path("models").rglob("*.incomplete")
    assert part.stat().st_size == 2**18


# ---- resuming -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ranges", [True, False])
def test_partial_download_is_resumed(big, ranges):
    """From a server that supports ranges, and anew from one that does not."""
    big.trouble = reset_after(0)
    assert "big.bin of someone/tiny-bark is not on this machine and the download broke" in error_message()
    (part,) = Path("models").rglob("*.incomplete")
    part.write_bytes(BIG[:400_000])
    big.trouble, big.ranges = lambda _, data: data, ranges
    big.requests.clear()
    assert fetch().read_bytes() == BIG
    assert big.starts(NAME) == [400_000 if ranges else 0] and not list(Path("models").rglob("*.incomplete"))


@pytest.mark.parametrize("ending", [reset_after(600_000), lambda _, data: data[:600_000]])
def test_broken_connection_is_resumed_within_the_same_call(big, ending):
    big.trouble = once(ending)
    assert fetch().read_bytes() == BIG
    first, second = big.starts(NAME)
    assert first == 0 < second


def test_damaged_partial_file_is_downloaded_from_the_start(big):
    big.trouble = reset_after(0)
    error_message()
    (part,) = Path("models").rglob("*.incomplete")
    part.write_bytes(b"x" * 400_000)
    big.trouble = lambda _, data: data
    assert fetch().read_bytes() == BIG
    assert big.starts(NAME)[-2:] == [400_000, 0]


def test_partial_file_that_is_too_long_is_discarded(big):
    big.trouble = reset_after(0)
    error_message()
    (part,) = Path("models").rglob("*.incomplete")
    part.write_bytes(BIG + b"more")
    big.trouble = lambda _, data: data
    assert fetch().read_bytes() == BIG


def test_slow_server_does_not_time_out(big):
    def slowly(handler: BaseHTTPRequestHandler, data: bytes) -> bytes:
        for start in range(0, len(data), 250_000):
            threading.Event().wait(0.05)
            handler.wfile.write(data[start : start + 250_000])
        return b""

    big.trouble = slowly
    assert fetch().read_bytes() == BIG and big.starts(NAME) == [0]


def test_huggingface_hub_constants_and_log_level_are_unchanged(big):
    from huggingface_hub import constants, logging

    before = (dict(vars(constants)), logging.get_verbosity())
    fetch()
    assert (dict(vars(constants)), logging.get_verbosity()) == before


# ---- wrong and damaged ----------------------------------------------------------------------------------------------


def test_file_with_a_wrong_checksum_is_discarded(big):
    big.trouble = lambda _, data: bytes(len(data))
    assert "wrong checksum" in error_message()
    assert not any(path.name == NAME for path in Path("models").rglob("*"))
    big.trouble = once(big.trouble)
    assert fetch().read_bytes() == BIG


@pytest.mark.parametrize("damage", [BIG[:1000], BIG[:-1] + b"x", b""])
def test_damaged_file_in_the_cache_is_fetched_again(big, damage):
    path = fetch()
    path.resolve().write_bytes(damage)
    assert "damaged and --offline is set" in error_message(offline=True)
    big.requests.clear()
    assert fetch().read_bytes() == BIG and big.starts(NAME) == [0]
    big.requests.clear()
    assert fetch(offline=True).read_bytes() == BIG and not big.requests


def test_file_downloaded_by_another_program_is_hashed_once(big, monkeypatch):
    from huggingface_hub import hf_hub_download

    from bark_infinity.checkpoints import downloads

    hf_hub_download(REPO, NAME, cache_dir="models")
    hashed, real = [], downloads._sha256
    monkeypatch.setattr(downloads, "_sha256", lambda path: hashed.append(path) or real(path))
    for _ in range(3):
        assert fetch(offline=True).read_bytes() == BIG
    assert len(hashed) == 1
    fetch().resolve().write_bytes(BIG[:1000])
    assert fetch().read_bytes() == BIG


def test_force_fetches_a_cached_file_again(big):
    fetch()
    fetch(force=True)
    assert big.starts(NAME) == [0, 0]


def test_damaged_configuration_file_is_fetched_again(big, huggingface_folder, tmp_path):
    for file in huggingface_folder.iterdir():
        (tmp_path / "big" / file.name).write_bytes(file.read_bytes())
    beside = ("generation_config.json", "vocab.txt")
    folder = Hub("models").weights_folder(REPO, beside)
    for name in ("generation_config.json", "config.json"):
        (folder / name).resolve().write_text("{")
        assert Hub("models").weights_folder(REPO, beside).resolve() == folder.resolve()
        assert (folder / name).read_bytes() == (huggingface_folder / name).read_bytes()


# ---- no hub ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_http_errors_are_reported_in_one_line(big, status):
    big.status = status
    assert "someone/tiny-bark" in error_message_without_file_name()


def error_message_without_file_name() -> str:
    with pytest.raises(CheckpointError) as error:
        fetch()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_unreachable_hub_is_reported_after_one_attempt(big, monkeypatch):
    big.server.shutdown()
    big.server.server_close()
    tried, real = [], socket.create_connection
    monkeypatch.setattr(socket, "create_connection", lambda *a, **k: tried.append(a) or real(*a, **k))
    assert "the hub cannot be reached" in error_message()
    assert len(tried) <= 2  # one for the file; newer clients make one more request of their own


def test_server_that_is_not_a_hub_is_reported(big, monkeypatch):
    monkeypatch.setattr(BaseHTTPRequestHandler, "send_header", lambda *_: None)
    assert "check HF_ENDPOINT" in error_message()


def test_hostile_etag_writes_no_file_outside_the_cache(big, monkeypatch):
    real = BaseHTTPRequestHandler.send_header
    monkeypatch.setattr(
        BaseHTTPRequestHandler,
        "send_header",
        lambda self, name, value: real(self, name, '"../../../climbed"' if name == "ETag" else value),
    )
    assert "usable ETag" in error_message()
    assert not list(Path().rglob("*climbed*"))


def test_unwritable_cache_is_reported_naming_model_dir(big):
    Path("models").write_text("a file")
    assert "--model_dir" in error_message()
