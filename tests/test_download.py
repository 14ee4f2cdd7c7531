"""Downloads, from a server on this machine that stands in for the hub."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

START = Path(__file__).parents[1] / "bark_perform.py"


class FakeHub:
    """Serves folders as repositories, as far as `hf_hub_download` asks, and remembers what was asked for."""

    def __init__(self, repositories: dict[str, Path]):
        self.asked: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self):
                self.answer(body=False)

            def do_GET(self):
                self.answer(body=True)

            def answer(self, body: bool) -> None:
                repo, _, name = self.path.lstrip("/").partition("/resolve/main/")
                folder = repositories.get(repo)
                file = folder and folder / name
                if body:
                    hub.asked.append(f"{repo}/{name}")
                if not file or not file.is_file():
                    self.send_response(404)
                    self.send_header("X-Error-Code", "EntryNotFound" if folder else "RepoNotFound")
                    self.send_header("X-Repo-Commit", "0" * 40)
                    self.end_headers()
                    return
                data = file.read_bytes()
                self.send_response(200)
                self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
                self.send_header("X-Repo-Commit", "0" * 40)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if body:
                    self.wfile.write(data)

            def log_message(self, *_) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def hub(huggingface_folder, make_voice, tmp_path):
    presets = tmp_path / "bark" / "speaker_embeddings" / "v2"
    presets.mkdir(parents=True)
    for name, array in make_voice(3.0).prompts().items():
        np.save(presets / f"en_speaker_6_{name}.npy", array)
    hub = FakeHub({"someone/tiny-bark": huggingface_folder, "suno/bark": tmp_path / "bark"})
    yield hub
    hub.server.shutdown()
    hub.server.server_close()


def perform(hub: FakeHub, *arguments: str) -> subprocess.CompletedProcess:
    environment = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"} | {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": "hf",
    }
    command = [sys.executable, str(START), "--device", "cpu", "--text_prompt", "Hello", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)


def test_a_model_and_a_preset_are_downloaded_once(hub):
    arguments = ["--model", "someone/tiny-bark", "--history_prompt", "v2/en_speaker_6", "--model_dir", "models"]
    first = perform(hub, *arguments)
    assert first.returncode == 0, first.stderr
    assert "someone/tiny-bark/model.safetensors" in hub.asked and Path(first.stdout.strip()).is_file()
    hub.asked.clear()
    hub.server.shutdown()  # nothing may be asked for again
    second = perform(hub, *arguments, "--offline")
    assert second.returncode == 0, second.stderr
    assert not hub.asked


def test_what_the_hub_does_not_have_is_one_sentence(hub):
    for model, message in (
        ("someone/nothing", "there is no hub repository someone/nothing"),
        ("suno/bark", "no config.json"),
    ):
        result = perform(hub, "--model", model)
        assert result.returncode == 2 and message in result.stderr and "Traceback" not in result.stderr
        assert not Path("bark_samples").exists()
