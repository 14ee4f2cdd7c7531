"""The application over real jobs: what a client uploads is spoken, and nothing else of this machine is."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
from fake_server import SETTINGS
from starlette.testclient import TestClient

from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.server.app import make_app
from bark_infinity.server.jobs import JobStore
from bark_infinity.server.network_names import NetworkNames
from bark_infinity.server.services import Services
from bark_infinity.server.shared_engine import SharedEngine
from bark_infinity.server.uploads import Uploads
from bark_infinity.server.voice_shelf import VoiceShelf
from bark_infinity.voices.library import voice_folders

SCRIPT = """+++
[cast]
Anna = "mine.npz"
+++
# One
Anna: Hello there. [sound: door.wav] Who is it?
# Two
It was nobody.
"""


@contextmanager
def serving(folder: Path, demo) -> Iterator[TestClient]:
    """A client of a server with the demo, whose output folder is `folder/out`."""
    output, voices = folder / "out", folder / "voices"
    defaults = resolve(Options(model="demo", output_dir=str(output), voice_dir=str(voices)))
    uploads = Uploads(output, SETTINGS.most_upload_bytes, SETTINGS.most_uploads_bytes)
    shelf = VoiceShelf(voice_folders(output, voices), voices, uploads, demo.spec.semantic_vocab_size)
    with SharedEngine(demo) as engine:
        store = JobStore(output, defaults, demo, engine, NetworkNames(shelf, uploads), 10, uploads)
        try:
            app = make_app(Services(store, engine, demo, defaults, shelf, uploads, SETTINGS))
            with TestClient(app, "http://127.0.0.1:7860") as client:
                yield client
        finally:
            store.close()


def upload(client: TestClient, name: str, content: bytes) -> str:
    answer = client.post("/v1/uploads", files={"file": (name, content)})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def finished(client: TestClient, id: str) -> dict:
    """The job, once it is over."""
    while (job := client.get(f"/v1/jobs/{id}").json())["state"] in ("waiting", "running"):
        time.sleep(0.02)
    return job


def test_uploads_are_spoken(tmp_path, demo, make_voice):
    make_voice().save(tmp_path / "mine.npz")
    door = io.BytesIO()
    soundfile.write(door, np.full(12_000, 0.25), 24_000, format="WAV")
    with serving(tmp_path, demo) as client:
        upload(client, "mine.npz", (tmp_path / "mine.npz").read_bytes())
        upload(client, "door.wav", door.getvalue())
        script = upload(client, "play.txt", SCRIPT.encode())
        made = client.post("/v1/jobs", json={"upload": script, "options": {"seed": 3, "speaker": "mine.npz"}})
        assert made.status_code == 201, made.text
        id = made.json()["id"]
        job = finished(client, id)
        assert (job["state"], job["error"]) == ("finished", None)
        assert job["command"].startswith("bark-infinity --prompt_file play.txt --seed 3 --history_prompt mine.npz ")
        assert ".uploads" not in job["command"] and ".bark-jobs" not in job["command"]
        samples, rate = soundfile.read(io.BytesIO(client.get(f"/v1/jobs/{id}/result").content))
        assert np.isclose(samples, 0.25, atol=1e-3).sum() >= 12_000 and rate == 24_000
        segments = client.get(f"/v1/jobs/{id}/segments").json()["data"]
        assert [segment["speaker"] for segment in segments] == ["Anna", "Anna", None]
        assert segments[-1]["chapter"] == "Two"
        events = client.get(f"/v1/jobs/{id}/events", headers={"Accept": "text/event-stream"}).text
        assert "event: over" in events
        metrics = dict(line.rsplit(" ", 1) for line in client.get("/metrics").text.splitlines() if line[0] != "#")
        assert float(metrics["bark_segments_total"]) == 3 and float(metrics['bark_jobs{state="finished"}']) == 1
    with serving(tmp_path, demo) as client:  # started again
        assert client.get(f"/v1/jobs/{id}").json()["clips"] == job["clips"]
        assert client.delete(f"/v1/jobs/{id}").status_code == 204


STRANGE = {
    "One. [sound: /etc/hostname] Two.": "no uploaded recording /etc/hostname",
    "One. [sound: secret.wav] Two.": "no uploaded recording secret.wav",
    '+++\n[cast]\nAnna = "secret.npz"\n+++\nAnna: One.': "Anna in the cast: there is no voice 'secret.npz'",
    '+++\n[settings]\nhistory_prompt = "../secret"\n+++\nOne.': "no voice '../secret'",
    '+++\n[book]\ncover = "/root/x.png"\n+++\nOne.': "no uploaded image /root/x.png",
    '+++\n[settings]\noutput_dir = "/"\n+++\nOne.': "output_dir cannot be set in a script",
}


def test_files_of_this_machine_are_not_spoken(tmp_path, demo, make_voice, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_voice().save("secret.npz")
    soundfile.write("secret.wav", np.zeros(2400), 24_000)
    with serving(tmp_path, demo) as client:
        for text, message in STRANGE.items():
            for body in ({"text": text}, {"upload": upload(client, "play.txt", text.encode())}):
                answer = client.post("/v1/jobs", json=body)
                assert answer.status_code == 400, (body, answer.text)
                assert message in answer.json()["error"]["message"]
        assert client.get("/v1/jobs").json()["total"] == 0


def test_options_that_contradict_each_other(tmp_path, demo):
    with serving(tmp_path, demo) as client:
        answer = client.post("/v1/jobs", json={"text": "One.", "options": {"seed": 1, "single_starting_seed": 2}})
        assert answer.status_code == 400
        assert "seed and single_starting_seed exclude each other" in answer.json()["error"]["message"]
        assert client.get("/v1/jobs").json()["total"] == 0
