"""The page without a browser: its HTML and files, the form of flags, and the JSON that it asks for."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import shlex
import zipfile
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

pytest.importorskip("fastapi", reason="the page needs the extra web")
pytest.importorskip("jinja2", reason="the page needs the extra web")

from books import Epub
from fake_server import FakeStatistics, make_services
from fastapi.testclient import TestClient
from page_store import PageStore

from bark_infinity.narration import narrate
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options, flags
from bark_infinity.server import page as page_module
from bark_infinity.server.app import make_app
from bark_infinity.server.downloads import Exports, zip_stream
from bark_infinity.server.flag_form import ELSEWHERE, form_groups
from bark_infinity.server.page import is_in_form

STATIC = Path(page_module.__file__).parent / "static"
SCRIPT = "+++\n[cast]\nAnna = {}\n+++\n# One\nAnna: Good day to you.\nIt rained.\n# Two\nAnna: Goodbye.\nCarl: No.\n"


class Engine:
    """As `server.shared_engine.SharedEngine`, with silence for every code."""

    name = "demo"

    def statistics(self) -> FakeStatistics:
        return FakeStatistics(sound_s=60.0, busy_s=30.0)

    def decode(self, codes: list[np.ndarray]) -> list[np.ndarray]:
        return [np.zeros(own.shape[1] * 320, np.float32) for own in codes]


@pytest.fixture
def services(tmp_path):
    services = make_services(tmp_path, seed=1)
    (tmp_path / "out").mkdir()
    store = PageStore(tmp_path / "out", services.uploads)
    return dataclasses.replace(services, store=store, engine=Engine(), bark=Engine())


@pytest.fixture
def client(services) -> TestClient:
    return TestClient(make_app(services), base_url="http://127.0.0.1:7860")


def start(client: TestClient) -> str:
    options = {"split_each_text_prompt_by": "line"}
    answer = client.post("/api/jobs", json={"text": "One is here.\nTwo is here.\nThree is here.", "options": options})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def upload(client: TestClient, name: str, content: bytes) -> str:
    answer = client.post("/v1/uploads", files={"file": (name, content)})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


# ---- the page itself ------------------------------------------------------------------------------------------------


def test_page_asks_for_nothing_from_elsewhere_and_has_no_inline_script_or_style(client):
    html = client.get("/").text
    addresses = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert addresses and all(address.startswith(("/", "#")) for address in addresses)
    assert not re.search(r"<style|\sstyle=|\son\w+=", html)
    assert re.findall(r"<script(?![^>]*\bsrc=)([^>]*)>", html) == [' type="application/json" id="texts"']
    assert "built-in method" not in html
    assert client.get("/jobs/anything").text == html
    for path in STATIC.iterdir():
        assert not re.search(r"https?://(?!www\.w3\.org)", path.read_text()), path


def test_files_of_the_page_are_sent_again_only_if_they_changed(client):
    first = client.get("/static/page.js")
    assert first.headers["content-type"].startswith("text/javascript")
    assert client.get("/static/page.js", headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    assert client.get("/static/texts.py").status_code == 404
    assert client.get("/static/..%2fpage.py").status_code == 404


def test_scripts_use_only_files_texts_and_elements_that_are_there(client):
    texts, html = json.loads((STATIC / "texts.en.json").read_text()), client.get("/").text
    for path in STATIC.glob("*.js"):
        code = path.read_text()
        assert all((STATIC / name).is_file() for name in re.findall(r'from "\./([^"]+)"', code)), path
        assert all(f'id="{id}"' in html for id in re.findall(r'\$\("([\w-]+)"\)', code)), path
        for name in re.findall(r'\bt\("([\w.]+)"', code):
            found = texts
            for part in name.split("."):
                found = found[part]
            assert isinstance(found, str | dict), (path, name)


def test_form_has_every_flag_that_a_client_may_set_with_its_default_and_bounds():
    defaults = resolve(Options(text_temp=0.6))
    fields = {field.name: field for group in form_groups(defaults, is_in_form) for field in group.fields}
    assert fields.keys() == {line.name for line in flags() if is_in_form(line.name)} - ELSEWHERE
    assert (fields["text_temp"].control, fields["text_temp"].default, fields["text_temp"].low) == ("number", "0.6", 0.0)
    assert (fields["trim_silence"].control, fields["trim_silence"].default) == ("switch", "false")
    assert fields["check_segments"].choices == ("warn", "retry", "off")
    assert fields["output_format"].choices[0] == ""  # not given
    assert ("--check_segments retry", True) in fields["max_word_errors"].help
    assert (fields["add_silence_between_segments"].label, fields["add_silence_between_segments"].unit) == (
        "Add silence between segments",
        "s",
    )


# ---- what is planned ------------------------------------------------------------------------------------------------


def preview(client: TestClient, **body: object) -> dict:
    return client.post("/api/preview", json={"options": {}, **body}).json()


def test_preview_shows_chapters_cast_and_lines_that_look_like_speakers(client):
    plan = preview(client, text=SCRIPT)
    assert [(c["number"], c["title"], c["chosen"]) for c in plan["chapters"]] == [(1, "One", True), (2, "Two", True)]
    assert [(speaker["name"], speaker["segments"]) for speaker in plan["cast"]] == [(None, 2), ("Anna", 2)]
    assert plan["look_alikes"] == [{"name": "Carl", "line": 10, "column": 1}]
    assert plan["seconds"] > 3 and plan["making_s"] == pytest.approx(plan["seconds"] / 2)


def test_preview_says_what_is_wrong_and_where(client):
    assert preview(client, text="Good day.\n[pauze:1s] Goodbye.")["problem"].startswith("line 2, column 1: ")
    assert (
        preview(client, text="Good day.", options={"single_starting_seed": 3})["segments"] == 1
    )  # beside the server's seed
    assert "--seed" in preview(client, text="Good day.", options={"seed": "many"})["problem"]
    assert "--output_dir" in preview(client, text="Good day.", options={"output_dir": "/"})["problem"]


def test_preview_has_the_command_that_does_the_same(client):
    plan = preview(client, text="It's warm.", options={"keep_takes": True, "seed": None, "text_temp": 0.5})
    assert shlex.split(plan["command"])[1:] == shlex.split(
        '--text_prompt "It\'s warm." --keep_takes true --text_temp 0.5'
    )
    assert preview(client, text="It is warm. " * 20)["command"] == "bark-infinity --prompt_file text.txt"
    assert preview(client, text="It is warm.", options={"seed": "many"}).keys() == {"problem"}


def test_preview_of_a_book_marks_what_is_chosen_and_never_shows_where_the_upload_lies(client):
    documents = {f"c{k}.xhtml": f"<h1>Chapter {k}</h1><p>Words of {k}.</p>" for k in (1, 2, 3)}
    nav = [(f"Chapter {k}", f"c{k}.xhtml") for k in (1, 2, 3)]
    id = upload(client, "book.epub", Epub(documents, nav=nav, title="Three").write())
    plan = preview(client, upload=id, options={"chapters": "1,3"})
    assert [chapter["chosen"] for chapter in plan["chapters"]] == [True, False, True]
    assert plan["title"] == "Three"
    assert plan["command"] == "bark-infinity --prompt_file book.epub --chapters 1,3"
    assert "--chapters" in preview(client, upload=id, options={"chapters": "9"})["problem"]
    text = upload(client, "script.txt", b"[pauze:1s] Goodbye.")
    problem = preview(client, upload=text)["problem"]
    assert "line 1, column 1" in problem and ".uploads" not in problem


# ---- jobs -----------------------------------------------------------------------------------------------------------


def test_state_is_told_once_and_has_the_segments_of_the_open_job_that_changed(client, services):
    id = start(client)
    first = client.get("/api/state", params={"since": 0, "job": id}).json()
    assert [job["id"] for job in first["jobs"]] == first["order"] == [id]
    assert [segment["text"] for segment in first["segments"]] == ["One is here.", "Two is here.", "Three is here."]
    assert client.get("/api/state", params={"since": first["revision"]}).status_code == 204
    services.store.advance(id)
    seen = max(segment["revision"] for segment in first["segments"])
    second = client.get("/api/state", params={"since": first["revision"], "job": id, "segments": seen}).json()
    assert [(segment["index"], segment["state"]) for segment in second["segments"]] == [(0, "made")]
    assert second["jobs"][0]["n_done"] == 1
    assert client.delete(f"/api/jobs/{id}").status_code == 204
    third = client.get("/api/state", params={"since": second["revision"], "job": id}).json()
    assert third["order"] == [] and "segments" not in third


def test_sound_of_a_segment_can_be_asked_for_in_parts(client, services):
    id = start(client)
    services.store.advance(id)
    address = f"/api/jobs/{id}/segments/0/audio?revision=1"
    whole = client.get(address)
    assert "immutable" in whole.headers["cache-control"]
    samples, rate = soundfile.read(io.BytesIO(whole.content), dtype="float32")
    assert rate == 24_000 and np.abs(samples - services.store.segment_audio(id, 0)).max() < 1e-4
    part = client.get(address, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"
    assert client.get(address, headers={"Range": "bytes=-10"}).content == whole.content[-10:]
    assert client.get(address, headers={"Range": f"bytes={len(whole.content)}-"}).status_code == 416
    assert client.get(address, headers={"Range": "lines=1-2"}).content == whole.content


def test_segments_are_changed_and_jobs_are_acted_on(client, services):
    id = start(client)
    assert services.store.requests[id].origin == "page"
    assert client.post(f"/api/jobs/{id}/pause").json()["state"] == "paused"
    assert client.post(f"/api/jobs/{id}/explode").status_code == 404
    services.store.advance(id, 3, takes=2)
    assert client.put(f"/api/jobs/{id}/texts", json={"texts": {"1": "Another."}}).json()["state"] == "running"
    assert client.get(f"/api/jobs/{id}").json()["segments"][1]["text"] == "Another."
    assert client.put(f"/api/jobs/{id}/segments/0/take", json={"take": 1}).status_code == 200
    assert client.get(f"/api/jobs/{id}").json()["segments"][0]["chosen"] == 1
    assert client.put(f"/api/jobs/{id}/again", json={"segments": [2]}).status_code == 200
    assert client.put(f"/api/jobs/{id}/texts", json={"texts": {"1": " "}}).status_code == 400
    assert client.get("/api/jobs/none").status_code == 404


def test_all_files_of_a_job_come_as_one_zip(client, services):
    id = start(client)
    services.store.advance(id, 3)
    answer = client.get(f"/api/jobs/{id}/zip", params={"name": "été"})
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''%C3%A9t%C3%A9.zip"
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    expected = {path.name: path.read_bytes() for path in services.store.files(id)}
    assert {name: archive.read(name) for name in archive.namelist()} == expected


def test_zip_is_sent_in_blocks_and_leaves_out_what_is_gone(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "long").write_bytes(bytes(3_000_000))
    blocks = list(zip_stream([tmp_path / "gone", tmp_path / "sub" / "long"], tmp_path))
    assert max(map(len, blocks)) < 300_000
    assert zipfile.ZipFile(io.BytesIO(b"".join(blocks))).namelist() == ["sub/long"]


def test_other_formats_need_a_finished_clip_with_a_manifest(client, services):
    id = start(client)
    assert client.put(f"/api/jobs/{id}/clips/0/exports/m4b").status_code == 409
    services.store.advance(id, 3)
    assert client.put(f"/api/jobs/{id}/clips/0/exports/wav").status_code == 204
    assert "manifest" in client.put(f"/api/jobs/{id}/clips/0/exports/m4b").json()["error"]["message"]
    assert client.get(f"/api/jobs/{id}/clips/0/exports/exe").status_code == 400


def test_clips_are_encoded_once_in_another_format_and_the_oldest_are_removed(demo, tmp_path):
    text = "+++\n[cast]\nAnna = {}\n+++\n# One\nAnna: Good day.\n# Two\nAnna: Goodbye."
    narration = narrate(demo, text, seed=1, folder=tmp_path / "clips")
    assert len(list(narration)) == 2 and narration.path is not None
    exports = Exports(lambda codes: demo.decode([codes])[0], most_kept=2)
    manifest = narration.path.with_suffix(".json")
    book = exports.export(manifest, "m4b")
    with av.open(str(book)) as container:
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["One", "Two"]
    assert exports.export(manifest, "m4b") == book
    flac = exports.export(manifest, "flac")
    assert soundfile.info(flac).frames == soundfile.info(narration.path).frames
    exports.export(manifest, "mp3")
    assert flac.exists() and not book.parent.exists()


# ---- voices ---------------------------------------------------------------------------------------------------------


def test_gallery_has_voices_of_the_folder_and_uploads_with_samples(client, make_voice, tmp_path):
    (tmp_path / "voices").mkdir()
    make_voice(20.0).save(tmp_path / "voices" / "de_speaker_anna.npz")
    tone = io.BytesIO()
    soundfile.write(tone, 0.1 * np.sin(np.arange(48_000) / 20), 48_000, format="WAV")
    id = upload(client, "me.wav", tone.getvalue())
    voices = {voice["value"]: voice for voice in client.get("/api/voices").json()["voices"]}
    assert voices["de_speaker_anna"]["language_name"] == "German" and voices["de_speaker_anna"]["kind"] == "own"
    assert voices[id]["recording"]
    for name, seconds in (("de_speaker_anna", 15), (id, 1)):
        sample, _ = soundfile.read(io.BytesIO(client.get("/api/voices/sample", params={"name": name}).content))
        assert len(sample) == seconds * 24_000
    assert client.get("/api/voices/sample", params={"name": "../secret"}).status_code == 404
