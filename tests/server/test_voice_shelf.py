"""Voices that clients name, and those that they add."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bark_infinity.errors import VoiceError
from bark_infinity.server.uploads import Uploads
from bark_infinity.server.voice_shelf import VoiceShelf
from bark_infinity.voices import library


@pytest.fixture
def uploads(tmp_path):
    return Uploads(tmp_path / "out", 10**6, 10**7)


@pytest.fixture
def shelf(tmp_path, uploads, make_voice):
    (tmp_path / "voices").mkdir()
    make_voice().save(tmp_path / "voices" / "bob.npz")
    return VoiceShelf((tmp_path / "voices", tmp_path / "out"), tmp_path / "voices", uploads)


def upload(uploads, name: str, content: bytes):
    with uploads.receive(name) as incoming:
        incoming.write(content)
        return incoming.complete()


def own(shelf: VoiceShelf) -> set[str]:
    """The names of the voices that are on this machine."""
    return {voice.name for voice in shelf.listed() if voice.path is not None}


def test_unknown_voice_has_a_suggestion(shelf):
    with pytest.raises(VoiceError, match="did you mean bob"):
        shelf.resolve("bobb")


def test_voice_of_a_clip_in_the_output_folder(shelf, tmp_path, make_voice):
    (tmp_path / "out").mkdir()
    make_voice().save(tmp_path / "out" / "clip.npz")
    assert shelf.resolve("clip") == "clip"
    assert own(shelf) == {"bob", "clip"}


def test_link_out_of_the_folder_is_not_followed(shelf, tmp_path, make_voice):
    make_voice().save(tmp_path / "secret.npz")
    os.symlink(tmp_path / "secret.npz", tmp_path / "voices" / "link.npz")
    with pytest.raises(VoiceError, match="no voice 'link'"):
        shelf.resolve("link")


def test_file_below_the_current_folder_is_no_voice(shelf, tmp_path, make_voice, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "private").mkdir()
    make_voice().save(tmp_path / "private" / "me.npz")
    with pytest.raises(VoiceError):
        shelf.resolve("private/me.npz")


def test_added_voice_is_found_by_its_name(shelf, uploads, tmp_path):
    voice = upload(uploads, "v.npz", (tmp_path / "voices" / "bob.npz").read_bytes())
    assert shelf.add(voice, "../Anna: 2") == shelf.resolve("_Anna_ 2") == "_Anna_ 2"
    with pytest.raises(VoiceError, match="is a voice _Anna_ 2 already"):
        shelf.add(voice, "../Anna: 2")
    assert own(shelf) == {"bob", "_Anna_ 2"}


def test_added_recording_is_cloned_later(shelf, uploads):
    file = io.BytesIO()
    soundfile.write(file, np.sin(np.arange(72_000) / 10), 24_000, format="WAV")
    assert shelf.add(upload(uploads, "me.wav", file.getvalue()), "Rita") == shelf.resolve("Rita") == "Rita"
    (rita,) = (voice for voice in shelf.listed() if voice.name == "Rita")
    assert not rita.cloned


def test_text_is_no_voice(shelf, uploads):
    with pytest.raises(VoiceError, match="a.txt is no voice"):
        shelf.add(upload(uploads, "a.txt", b"Hello."), "a")


def test_voices_are_read_once_until_they_or_their_manifests_change(shelf, tmp_path, make_voice, monkeypatch):
    read: list[str] = []
    opened = library.open_voice_file
    monkeypatch.setattr(library, "open_voice_file", lambda path: read.append(Path(path).name) or opened(path))
    before = shelf.listed()
    assert shelf.listed() == before and read == ["bob.npz"]
    make_voice(3.0).save(tmp_path / "voices" / "bob.npz")
    make_voice().save(tmp_path / "voices" / "eve.npz")
    assert own(shelf) == {"bob", "eve"} and read == ["bob.npz", "bob.npz", "eve.npz"]
    (tmp_path / "voices" / "eve.json").write_text('{"model": "demo"}')
    assert own(shelf) == {"bob", "eve"} and read[3:] == ["eve.npz"]
    (tmp_path / "voices" / "eve.npz").write_bytes(b"nothing")
    assert own(shelf) == {"bob"}
    (tmp_path / "voices" / "bob.npz").unlink()
    assert own(shelf) == set()
