"""Uploaded files are known by their content, and hostile ones are refused in a sentence."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from books import PNG, Epub
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.errors import UploadError
from bark_infinity.server.upload_kinds import KINDS, kind_of_file

SRT = b"1\n00:00:01,000 --> 00:00:02,000\nHello.\n"


def kind(folder: Path, name: str, content: bytes) -> str:
    (folder / "file").write_bytes(content)
    return kind_of_file(folder / "file", name)


def recording(format: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.sin(np.arange(24_000) / 10), 24_000, format=format)
    return file.getvalue()


def test_kinds_by_content(tmp_path, make_voice):
    make_voice().save(tmp_path / "v.npz")
    found = {
        "voice": kind(tmp_path, "mine.NPZ", (tmp_path / "v.npz").read_bytes()),
        "book": kind(tmp_path, "noname", Epub({"one.xhtml": "<p>Hello there.</p>"}).write()),
        "subtitles": kind(tmp_path, "film.txt", SRT),
        "text": kind(tmp_path, "a.txt", "Füße\n".encode("utf-16")),
        "image": kind(tmp_path, "cover.gif", PNG),
        "recording": kind(tmp_path, "voice", recording("FLAC")),
    }
    assert found == {name: name for name in KINDS}


@pytest.mark.parametrize(
    "name, expected",
    [
        ("a.md", "book"),
        ("a.html", "book"),
        ("a.srt", "subtitles"),
        ("a.toml", "text"),
        ("a", "text"),
        ("a.ssml", "text"),
    ],
)
def test_texts_by_name(tmp_path, name, expected):
    assert kind(tmp_path, name, b"Hello there, *you*.\n") == expected


def test_text_that_begins_like_a_recording(tmp_path):
    assert kind(tmp_path, "essay.txt", b"FORM follows function.\n" * 20) == "text"


@pytest.mark.parametrize("format", ["WAV", "OGG", "MP3", "AIFF"])
def test_recordings(tmp_path, format):
    assert kind(tmp_path, "take.bin", recording(format)) == "recording"


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("touched"),))


def pickled_voice() -> bytes:
    file = io.BytesIO()
    np.savez(
        file,
        semantic_prompt=np.array([Bomb()], dtype=object),
        coarse_prompt=np.zeros((2, 9)),
        fine_prompt=np.zeros((8, 9)),
    )
    return file.getvalue()


def zip_bomb(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, bytes(30_000_000))
    return file.getvalue()


HOSTILE = {
    "pickled.npz": pickled_voice(),
    "bomb.npz": zip_bomb("semantic_prompt.npy"),
    "bomb.epub": zip_bomb("META-INF/container.xml"),
    "bomb.zip": zip_bomb("x"),
    "cut.npz": pickled_voice()[:100],
    "cut.epub": b"PK\x03\x04" + bytes(50),
    "cut.png": PNG[:20],
    "cut.wav": b"RIFF\xff\xff\xff\xffWAVEfmt ",
    "cut.mp3": b"ID3\x04" + bytes(100),
    "fake.wav": b"Hello there.",
    "program.exe": b"MZ\x90\0\3\0\0\0\4\0\0\0\xff\xff" + bytes(100),
    "pickle.txt": pickle.dumps(list(range(1000))),
    "empty.txt": b"",
    "playlist.m4a": b"#EXTM3U\nhttp://127.0.0.1/\n",
    "cut.pdf": b"%PDF-1.7\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_by_their_name(tmp_path, name):
    with pytest.raises(UploadError) as raised:
        kind(tmp_path, name, HOSTILE[name])
    assert name in str(raised.value) and str(tmp_path) not in str(raised.value)
    assert not Path("touched").exists()


BEGINNINGS = st.sampled_from(
    [
        b"",
        b"PK\x03\x04",
        b"RIFF",
        b"ID3",
        PNG[:16],
        b"\xff\xd8\xff",
        b"%PDF-1.4\n",
        b"<html>",
        b"WEBVTT\n",
        b"OggS",
        b"\xff\xfb",
    ]
)


@given(
    BEGINNINGS, st.binary(max_size=300), st.sampled_from(["", ".npz", ".epub", ".docx", ".txt", ".wav", ".md", ".srt"])
)
def test_any_bytes_are_of_a_kind_or_refused(beginning, rest, ending):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        try:
            assert kind(Path(folder), f"file{ending}", beginning + rest) in KINDS
        except UploadError as error:
            assert "file" in str(error)
