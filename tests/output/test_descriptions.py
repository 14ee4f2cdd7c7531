"""Tags and manifests of files that are shared: a one-line title, the settings that shape the audio, and no paths of the machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.cli.main import main
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options, flags
from bark_infinity.output.descriptions import clip_tags, one_line_title, recorded_settings
from bark_infinity.run.planning import ClipPlan

LONG = "It was a bright cold day in April,\nand the clocks were striking thirteen; and then\r\n\tthey went on striking."
SECRET = "/home/alice/secret"
HELLO = ClipPlan("Hello", (), 5, 0, 0, "hello")


def test_title_is_one_line_cut_after_a_word():
    assert one_line_title(" Hello,\n there. ") == "Hello, there."
    assert one_line_title(LONG) == "It was a bright cold day in April, and the clocks were striking thirteen; and…"
    assert one_line_title("你" * 100) == "你" * 79 + "…"


@given(st.text())
def test_titles_have_at_most_80_characters_and_no_line_break(text):
    assert len(one_line_title(text)) <= 80 and len(one_line_title(text).splitlines()) <= 1


def with_paths() -> Options:
    """Every flag that may hold a path (even those that exclude each other), and settings that are not secret."""
    paths = {line.name: f"{SECRET}/{line.name}.npz" for line in flags() if line.path}
    assert len(paths) > 20
    return Options(**paths, text_temp=0.3, separate_prompts=True)


def test_tags_contain_no_folders():
    comment = clip_tags(HELLO, with_paths())["comment"]
    assert SECRET not in comment and "output_dir" not in comment and "config" not in comment
    assert comment.startswith("seed 5; --history_prompt history_prompt ")
    assert "--text_temp 0.3" in comment and "--separate_prompts True" in comment


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("history_prompt", "v2/en_speaker_6", "v2/en_speaker_6"),
        ("history_prompt", "../bob.npz", "bob"),
        ("history_prompt", r"C:\Users\alice\bob.npz", "bob"),
        ("audio_file_as_history_prompt", f"{SECRET}/me.wav", "me.wav"),
        ("custom_audio_processing_function", f"{SECRET}/how.py:rule", "how.py:rule"),
        ("recognizer", f"whisper:{SECRET}/tiny", "whisper:tiny"),
        ("recognizer", "whisper:large-v3", "whisper:large-v3"),
        ("model", "suno/bark-small", "suno/bark-small"),
        ("model", "here/bark", "bark"),
        ("model", f"{SECRET}/bark/", "bark"),
    ],
)
def test_paths_are_shortened_to_names_in_the_tags(name, value, shown):
    Path("here/bark").mkdir(parents=True)
    assert f"--{name} {shown}" in clip_tags(HELLO, Options(**{name: value}))["comment"].split("; ")[1]


def test_manifest_keeps_only_the_paths_needed_to_reproduce_the_audio():
    recorded = recorded_settings(with_paths())
    paths = {name for name in recorded if SECRET in str(recorded[name])}
    assert paths == {"history_prompt", "bark_speaker_as_the_prompt", "model", "custom_audio_processing_function"}
    assert recorded["audio_file_as_history_prompt"] == "audio_file_as_history_prompt" and recorded["text_temp"] == 0.3
    assert recorded_settings(resolve(Options(output_format="flac", hoarder_mode=True))) == {
        "output_format": "flac",
        "hoarder_mode": True,
    }


@pytest.mark.parametrize("format", ["wav", "ogg", "mp3"])
def test_files_of_a_run_do_not_contain_its_folders(format, make_voice, tmp_path, capfd):
    make_voice(2.0).save("bob.npz")
    Path("story.txt").write_text(f"{LONG}\n\nThe end.")
    Path("settings.toml").write_text("fine_temp = 0.0\n")
    arguments = ["--model", "demo", "--prompt_file", "story.txt", "--history_prompt", "bob.npz", "--output_dir", "out"]
    arguments += ["--config", "settings.toml", "--semantic_max_gen_duration_s", "0.3", "--output_format", format]
    places = ("--prompt_file", "--history_prompt", "--output_dir", "--config")
    for place in places:
        arguments[arguments.index(place) + 1] = str(tmp_path / arguments[arguments.index(place) + 1])
    assert main([*arguments, "--hoarder_mode", "--split_each_text_prompt_by", "line"]) == 0, capfd.readouterr().err
    sounds = sorted(Path("out").rglob(f"*.{format}"))
    assert len(sounds) > 2
    for path in sounds:
        assert str(tmp_path).encode() not in path.read_bytes()
    if format != "mp3":  # libsndfile does not read its tags
        whole = next(path for path in sounds if path.parent.name == "out")
        with soundfile.SoundFile(whole) as sound:
            assert sound.title == one_line_title(LONG) and "--history_prompt bob --model demo" in sound.comment
    for path in Path("out").rglob("*.json"):
        content = json.loads(path.read_text())
        settings = content.pop("settings")
        assert settings.pop("history_prompt") == str(tmp_path / "bob.npz")
        assert content.get("clip", content)["voice"]["name"] == "bob"
        assert str(tmp_path) not in json.dumps([settings, content])


def test_published_example_has_no_paths_in_its_tags():
    with soundfile.SoundFile(Path(__file__).parents[2] / "docs" / "hello.flac") as sound:
        assert sound.comment == "seed 6; --history_prompt demo_female --model demo --seed 6"
        assert sound.title == "Hello, I am very small."
