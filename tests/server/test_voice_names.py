"""The voices of a server: found by name alone, whatever a client writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from bark_infinity import constants as c
from bark_infinity.errors import VoiceError
from bark_infinity.server.uploads import Uploads
from bark_infinity.server.voice_shelf import VoiceShelf
from bark_infinity.voices.compatibility import DEMO_SEMANTIC_VOCAB_SIZE
from bark_infinity.voices.library import voice_folders


@pytest.fixture
def shelf(tmp_path, make_voice, monkeypatch):
    """A shelf of a model with the published ids, voices in its folders, and others outside of them."""
    output, voice_dir, home = tmp_path / "output", tmp_path / "voices", tmp_path / "home"
    for folder in (output / "album" / "new.partial", output / ".hidden", voice_dir / "ada", home):
        folder.mkdir(parents=True)
    for place in (
        output / "clip.npz",
        output / "album" / "song.npz",
        output / "album" / "new.partial" / "voice.npz",
        output / ".hidden" / "voice.npz",
        output / "alloy.npz",
        voice_dir / "bob.npz",
        tmp_path / "secret.npz",
        home / "here.npz",
    ):
        make_voice().save(place)
    (output / "clip.segments.npz").write_bytes((output / "clip.npz").read_bytes())
    (output / "notes.txt").write_text("nothing to hear")
    (voice_dir / "ada" / "one.wav").write_bytes(b"RIFF")
    monkeypatch.chdir(home)
    return VoiceShelf(voice_folders(output, voice_dir), voice_dir, Uploads(output, 10**6, 10**7))


def test_listed_voices_are_found(shelf):
    listed = {voice.name: voice for voice in shelf.listed()}
    assert {"clip", "album/song", "alloy", "bob", "ada", "announcer", "v2/en_speaker_6"} <= listed.keys()
    assert not {"demo_male", "clip.segments", "here", "secret"} & listed.keys()  # the demo's tokens mean other sounds
    assert not any("hidden" in name or "partial" in name for name in listed)
    assert not listed["ada"].cloned and listed["v2/de_speaker_3"].path is None
    assert listed["v2/de_speaker_3"].language == "de"
    assert all(shelf.resolve(name) == name for name in listed)


def test_openai_names_stand_for_voices(shelf):
    names = shelf.openai_names()
    assert len(names) == 13 and all(shelf.resolve(name) == voice for name, voice in names.items() if name != "alloy")
    assert shelf.resolve("alloy") == "alloy"  # a voice of the user's own with this name


def test_a_name_that_is_a_path_here_is_no_path(shelf, tmp_path):
    """The file of the voice is opened, not what lies in the working folder under its name."""
    Path("clip").write_bytes(b"something else")
    assert shelf.resolve("clip") == str(tmp_path / "output" / "clip.npz")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "nobody",
        "here",
        "here.npz",
        "../secret",
        "album/../../secret.npz",
        "{folder}/secret.npz",
        "~/secret",
        ".hidden/voice",
        "album/new.partial/voice",
        "clip.segments",
        "clip.segments.npz",
        "notes.txt",
        "album//song",
        "album\\song",
        "C:secret.npz",
        "clip\0",
        "ada/one.wav",
        "x" * 5_000,
        "\ud800",
    ],
)
def test_everything_else_is_refused(shelf, tmp_path, name):
    with pytest.raises(VoiceError, match=r"there is no voice .*(did you mean|there are)") as raised:
        shelf.resolve(name.format(folder=tmp_path))
    assert len(str(raised.value)) < 1_000


def test_voices_that_suit_the_model(tmp_path):
    def shelf_of(n_ids: int) -> VoiceShelf:
        return VoiceShelf(voice_folders(tmp_path), tmp_path / "voices", Uploads(tmp_path, 1, 1), n_ids)

    demo, other, published = map(shelf_of, (DEMO_SEMANTIC_VOCAB_SIZE, 5_000, c.SEMANTIC_VOCAB_SIZE))
    assert [voice.name for voice in demo.listed()] == ["demo_female", "demo_male"]
    assert demo.openai_names()["nova"] == "demo_female" and demo.resolve("onyx") == "demo_male"
    assert not other.listed() and not other.openai_names()
    assert published.resolve("nova") == "v2/en_speaker_9"
    with pytest.raises(VoiceError, match="demo_male"):
        demo.resolve("v2/en_speaker_9")
