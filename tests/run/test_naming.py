"""File names of clips: they sort in the order of the clips, never collide, and are legal on every file system."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bark_infinity.audio.formats import FORMATS
from bark_infinity.errors import UsageError
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.run.planning import plan_clips

FORBIDDEN = set('<>:"/\\|?*') | {chr(n) for n in range(32)}


def stems(prompts: list[str], **options) -> list[str]:
    return [plan.stem for plan in plan_clips(prompts, resolve(Options(**options)), 7)[0]]


def test_names_sort_in_the_order_of_prompts():
    names = stems([f"{chr(122 - n % 26)} is letter {n}" for n in range(1000)], output_iterations=2)
    assert names == sorted(names) and len(set(names)) == 2000
    assert names[0] == "0001_z_is_letter_0-SPK-random" and names[1] == "0001_z_is_letter_0-SPK-random_1"
    assert names[-1].startswith("1000_")


def test_names_sort_in_the_order_of_takes():
    assert stems(["Hello"]) == ["Hello-SPK-random"]
    names = stems(["Hello"], output_iterations=120, output_filename="take")
    assert names[:2] == ["take", "take_001"] and names[-1] == "take_119" and names == sorted(names)


@pytest.mark.parametrize("ending", [*(f".{name}" for name in FORMATS), ".npz", ".json", ".segments.npz", ".segments"])
def test_existing_files_are_never_overwritten(ending):
    Path("bark_samples").mkdir()
    Path(f"bark_samples/HELLO-SPK-random{ending}").touch()
    assert stems(["Hello"]) == ["Hello-SPK-random_1"]


def test_name_contains_the_voice():
    for how, voice in (
        ({"history_prompt": "v2/en_speaker_6"}, "v2_en_speaker_6"),
        ({"history_prompt": "somewhere/my voice.npz"}, "my_voice"),
        ({"audio_file_as_history_prompt": "somewhere/me.at.home.flac"}, "me_at_home"),
        ({"bark_speaker_as_the_prompt": "x.npz"}, "random"),
    ):
        assert stems(["Hello"], **how) == [f"Hello-SPK-{voice}"]


def test_extension_of_the_file_name_sets_the_format():
    assert stems(["Hello"], output_filename="a.b.mp3") == ["a.b"]
    for name, output_format, expected in (
        ("x.FLAC", None, "flac"),
        ("x.y", None, "wav"),
        ("x", "ogg", "ogg"),
        ("x.v2", "ogg", "ogg"),
        ("books/x.ogg", "ogg", "ogg"),
        ("Vol. 2", None, "wav"),
        ("ch.1", "mp3", "mp3"),
        ("x.docx.mp3", None, "mp3"),
        ("mp3", None, "wav"),
    ):
        assert resolve(Options(output_filename=name, output_format=output_format)).output_format == expected
    assert resolve(Options()).output_format == "wav"


@pytest.mark.parametrize("name", ["x.flac", "x.m4b"])
def test_extension_that_contradicts_the_format_is_refused(name):
    with pytest.raises(UsageError, match=f"--output_filename {name}"):
        resolve(Options(output_filename=name, output_format="mp3"))


@pytest.mark.parametrize("ending", ["m4r", "AAC", "aiff", "wave", "webm", "docx", "TXT", "mp3.txt", "npz"])
def test_unsupported_format_is_refused_listing_supported_ones(ending):
    with pytest.raises(
        UsageError, match=f"^--output_filename x.{ending} ends in .*; choose one of {', '.join(FORMATS)}$"
    ):
        resolve(Options(output_filename=f"x.{ending}"))


@pytest.mark.parametrize(
    ("filename", "folder", "stem"),
    [
        ("x.wav", "bark_samples", "x"),
        ("books/one/x.wav", "bark_samples/books/one", "x"),
        ("/tmp/x.wav", "/tmp", "x"),
        ("./x.wav", ".", "x"),
        ("./books/x", "./books", "x"),
        ("../x", "..", "x"),
        (".hidden/x", "bark_samples/.hidden", "x"),
        ("Chapter 1.wav", "bark_samples", "Chapter 1"),
        ("v1.2", "bark_samples", "v1.2"),
        ("it's (live)!", "bark_samples", "it's (live)!"),
        ('a:b?"<c>|*.wav', "bark_samples", "a_b___c___"),
        ("a\x1b[31m\u202eb", "bark_samples", "a_[31m_b"),
        ("aux.old", "bark_samples", "aux_.old"),
        (".wav", "bark_samples", "bark"),
        ("...", "bark_samples", "bark"),
        ("", "bark_samples", "bark"),
    ],
)
def test_file_name_keeps_its_folders(filename, folder, stem):
    options = resolve(Options(output_filename=filename))
    assert Path(options.output_dir) == Path(folder) and stems(["Hello"], output_filename=filename) == [stem]


def test_tilde_in_the_file_name_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Path(resolve(Options(output_filename="~/out/x")).output_dir) == tmp_path / "out"


@pytest.mark.parametrize("name", ["books/", ".", "..", "books/..", "/"])
def test_folder_as_file_name_is_refused(name):
    with pytest.raises(UsageError, match="names a folder"):
        resolve(Options(output_filename=name))


def test_parent_folder_inside_a_file_name_is_refused():
    with pytest.raises(UsageError, match="--output_filename books/../../x has a .. inside"):
        resolve(Options(output_filename="books/../../x"))


def test_extra_stats_put_seed_and_temperatures_into_the_name():
    (name,) = stems(["Hello"], extra_stats=True, seed=77, text_temp=0.65, coarse_temp=0.0, output_filename="mine")
    assert name == "mine-seed-77-temp-0.65-0.0-0.5"


@settings(deadline=None)
@given(
    st.lists(st.text(min_size=1, max_size=200), min_size=1, max_size=4),
    st.sampled_from([None, "con", "a...", "é" * 300]),
)
def test_names_are_legal_on_every_file_system(texts, filename):
    prompts = [f"{text}a" for text in texts]  # at least one letter to speak
    names = stems(prompts, output_filename=filename, extra_stats=True, output_iterations=2)
    assert len({name.casefold() for name in names}) == len(names) == 2 * len(texts)
    for name in names:
        assert not FORBIDDEN & set(name) and name == name.strip(" .") and not name.startswith("-")
        assert len(f"{name}-entropy-12.34-perplexity-12345.6_999.segments.npz".encode()) <= 255
