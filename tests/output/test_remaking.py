"""Finished clips made again from their tokens: some segments anew, or the whole in another dress."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.cli import main as cli
from bark_infinity.errors import UsageError
from bark_infinity.output.remaking import chosen_segments, in_words

TEXT = "\n".join(f"This is line {k}." for k in range(1, 7))
CUT = ["--split_each_text_prompt_by", "line", "--semantic_max_gen_duration_s", "0.3"]


@pytest.fixture
def perform(capsys):
    """The command line: status, paths on stdout, what it says."""

    def run(*arguments: str) -> tuple[int, list[str], str]:
        status = cli.main(["--model", "demo", *arguments])
        out, err = capsys.readouterr()
        return status, out.split("\n")[:-1], " ".join(err.split())

    return run


@pytest.fixture(scope="module")
def finished_clip(tmp_path_factory) -> Path:
    """A clip of six segments, each but the first from the voice of that one."""
    folder = tmp_path_factory.mktemp("finished")
    assert cli.main(["--model", "demo", "--text_prompt", TEXT, *CUT, "--output_dir", str(folder)]) == 0
    (path,) = folder.glob("*.wav")
    return path


@pytest.fixture
def clip(finished_clip) -> Path:
    """The finished clip in this test's own `bark_samples`."""
    return Path(shutil.copytree(finished_clip.parent, "bark_samples"), finished_clip.name)


def content(path: Path) -> dict:
    return json.loads(path.with_suffix(".json").read_text())


def tokens(path: Path) -> list[bytes]:
    """The fine codes of each segment."""
    arrays = np.load(path.with_name(f"{path.stem}.segments.npz"))
    return [arrays[f"fine_prompt_{k}"].tobytes() for k in range(6)]


def changed(before: Path, after: Path) -> list[int]:
    """The numbers of segments whose tokens are others."""
    pairs = zip(tokens(before), tokens(after), strict=True)
    return [k for k, (old, new) in enumerate(pairs, 1) if old != new]


def test_chosen_segments_are_made_from_other_seeds_and_the_others_kept(perform, clip):
    status, (path,), said = perform("--from_manifest", str(clip.with_suffix(".json")), "--regenerate", "3,5-6")
    assert status == 0 and "made again: 3, 5-6; 3 segments stay" in said
    new = Path(path)
    assert new != clip and changed(clip, new) == [3, 5, 6]
    seeds = [[segment["seeds"] for segment in content(p)["segments"]] for p in (clip, new)]
    assert [k for k, (a, b) in enumerate(zip(*seeds, strict=True), 1) if a != b] == [3, 5, 6]
    # and the new one is a clip like any other: it can be made again, bit for bit
    status, _, said = perform("--from_manifest", str(new.with_suffix(".json")))
    assert status == 0 and "bit for bit" in said


def test_what_hears_a_chosen_segment_is_made_again_too(perform, clip, monkeypatch):
    from bark_infinity.bark import Bark

    stream, batches = Bark.stream, []

    def counting(self, segments, *more):
        batches.append([segment.text[-2] for segment in segments])
        return stream(self, segments, *more)

    again = ["--from_manifest", str(clip.with_suffix(".json")), "--regenerate"]
    _, (rolling,), _ = perform("--text_prompt", TEXT, *CUT, "--stable_mode_interval", "3")
    monkeypatch.setattr(Bark, "stream", counting)
    _, (path,), said = perform(*again, "1")
    assert "made again: 1, and with them 2-6, which depend on them; 0 segments stay" in said
    assert batches == [["1"], ["2", "3", "4", "5", "6"]] and 1 in changed(clip, Path(path))
    batches.clear()
    _, (path,), said = perform("--from_manifest", rolling.replace(".wav", ".json"), "--regenerate", "5")
    assert (
        "made again: 5, and with them 6, which depend on them; 4 segments stay" in said
    )  # 4 hears the first voice alone
    assert batches == [["5"], ["6"]] and set(changed(Path(rolling), Path(path))) <= {5, 6}


def test_a_given_seed_says_how_they_are_made(perform, clip):
    again = ["--from_manifest", str(clip.with_suffix(".json")), "--regenerate", "4", "--single_starting_seed", "77"]
    digests = {content(Path(perform(*again)[1][0]))["audio_sha256"] for _ in range(2)}
    assert len(digests) == 1


def test_stitching_again_changes_the_dress_alone(perform, clip, monkeypatch):
    from bark_infinity.checkpoints import loading

    def refuse(*_):
        raise AssertionError("the stages are not needed")

    monkeypatch.setattr(loading, "load_models", refuse)
    again = ["--from_manifest", str(clip.with_suffix(".json")), "--restitch"]
    _, (same,), _ = perform(*again)
    assert content(Path(same))["audio_sha256"] == content(clip)["audio_sha256"] and changed(clip, Path(same)) == []
    _, (other,), _ = perform(
        *again, "--gain_db", "-6.0206", "--add_silence_between_segments", "1", "--output_format", "flac"
    )
    before, after = (soundfile.read(p)[0] for p in (clip, other))
    first = content(clip)["segments"][0]
    n = round(first["end"] * 24_000)
    np.testing.assert_allclose(after[:n], before[:n] / 2, atol=1e-4)
    assert len(after) - len(before) == 5 * 18_000 and not after[n : n + 24_000].any()
    assert content(Path(other))["segments"][1]["start"] == pytest.approx(first["end"] + 1)
    assert content(Path(other))["segments"][1]["text"] == content(clip)["segments"][1]["text"]


def test_pauses_keep_their_kinds_and_get_other_lengths(perform, tmp_path):
    text = "Chapter One\n\nThe dog was very old. It slept all day.\n\n* * *\n\nThen it woke up and barked.\n"
    (tmp_path / "story.txt").write_text(text)
    _, (clip,), _ = perform("--prompt_file", "story.txt", "--split_character_goal_length", "20", "--seed", "2")
    again = ["--from_manifest", str(Path(clip).with_suffix(".json")), "--restitch"]
    assert gaps(Path(clip)) == [0.6, 0.25, 1.5]
    how = ["--add_silence_between_segments", "0.5", "--add_silence_between_paragraphs", "2"]
    _, (other,), _ = perform(*again, *how)
    assert gaps(Path(other)) == [2.0, 0.5, 2.0]
    assert [segment["pause"]["kind"] for segment in content(Path(other))["segments"][:-1]] == [
        "paragraph",
        "segment",
        "scene",
    ]
    old = content(Path(clip))
    for segment in old["segments"]:
        del segment["pause"]
    Path(clip).with_suffix(".json").write_text(json.dumps(old))
    _, (older,), _ = perform(*again, *how)
    assert gaps(Path(older)) == [0.5, 0.5, 0.5]


def gaps(clip: Path) -> list[float]:
    """Seconds of silence between the segments of a clip, as its manifest and its sound have them."""
    segments, samples = content(clip)["segments"], soundfile.read(clip)[0]
    bounds = [
        (round(before["end"] * 24_000), round(after["start"] * 24_000))
        for before, after in itertools.pairwise(segments)
    ]
    assert not any(samples[start:end].any() for start, end in bounds)
    assert [segment["pause"]["seconds"] for segment in segments[:-1]] == [(b - a) / 24_000 for a, b in bounds]
    return [(end - start) / 24_000 for start, end in bounds]


def test_without_the_tokens_it_says_so(perform, clip):
    npz = clip.with_name(f"{clip.stem}.segments.npz")
    again = ["--from_manifest", str(clip.with_suffix(".json"))]
    whole = npz.read_bytes()
    for damage in (whole[: len(whole) // 2], b"", whole[:200] + b"\xff" * 400 + whole[600:], None):
        npz.unlink()
        if damage is not None:
            npz.write_bytes(damage)
        for how in (["--restitch"], ["--regenerate", "2"]):
            status, out, said = perform(*again, *how)
            assert status == 2 and not out and "tokens cannot be read from" in said and "Traceback" not in said
        npz.touch()
    assert not list(clip.parent.glob("*.partial")) and not list(clip.parent.glob(".*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--regenerate", "7"], "has the segments 1 to 6"),
        (["--regenerate", "0"], "has the segments 1 to 6"),
        (["--regenerate", "3-2"], "has the segments 1 to 6"),
        (["--regenerate", "two"], "as in 3,7-9"),
        (["--regenerate", "2", "--restitch"], "exclude each other"),
        (["--regenerate", "2", "--prompt_text_prefix", "Well,"], "the text stays cut as it was"),
    ],
)
def test_what_cannot_be_is_one_sentence(perform, clip, arguments, message):
    status, out, said = perform("--from_manifest", str(clip.with_suffix(".json")), *arguments)
    assert status == 2 and not out and message in said


def test_both_need_a_manifest(perform):
    for arguments in (["--regenerate", "2"], ["--restitch"]):
        status, _, said = perform("--text_prompt", "Hello", *arguments)
        assert status == 2 and "--from_manifest" in said


@given(st.sets(st.integers(0, 200), min_size=1))
def test_words_for_segments_name_them_all(segments):
    assert chosen_segments(in_words(segments), 201) == segments


@pytest.mark.parametrize("text", ["", ",", "1,,2", "-1", "1-", "1--2", "1;2", "9" * 30, "٣-"])
def test_lists_that_are_none(text):
    with pytest.raises(UsageError):
        chosen_segments(text, 300)


def test_a_dry_run_tells_what_is_made_again_and_what_stays(perform, clip):
    again = ["--from_manifest", str(clip.with_suffix(".json")), "--dry_run"]
    _, _, said = perform(*again, "--regenerate", "3")
    assert "2 kept This is line 2." in said and "3 new This is line 3." in said and said.count("kept") == 5
    assert "made again: 3; 5 segments stay" in said
    _, _, said = perform(*again, "--regenerate", "4", "--stable_mode_interval", "0")
    assert "4 new This is line 4." in said and "5 new (depends) This is line 5." in said
    assert "made again: 4, and with them 5-6, which depend on them; 3 segments stay" in said
    _, _, said = perform(*again, "--restitch")
    assert said.count("kept") == 6 and "stitched again: all of 6 segments keep their tokens" in said
    _, _, said = perform(*again)
    assert "kept" not in said and str(content(clip)["seed"]) in said


# ---- what a restitch keeps ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (["--split_character_max_length", "20"], "split_character_max_length"),
        (["--split_each_text_prompt_by", "word"], "split_each_text_prompt_by"),
        (["--coarse_temp", "0.1"], "coarse_temp"),
        (["--waveform_temp", "0.1"], "waveform_temp"),
        (["--history_prompt", "absent.npz"], "history_prompt"),
        (["--audio_file_as_history_prompt", "absent.wav"], "audio_file_as_history_prompt"),
        (["--bark_speaker_as_the_prompt", "absent.npz"], "bark_speaker_as_the_prompt"),
        (["--seed", "5"], "seed"),
        (["--check_segments", "retry"], "check_segments"),
        (["--dtype", "float16"], "dtype"),
        (["--custom_audio_processing_function", "absent.py:f"], "custom_audio_processing_function"),
        (["--stable_mode_interval", "0"], "stable_mode_interval"),
    ],
)
@pytest.mark.parametrize("dry", [[], ["--dry_run"]])
def test_what_would_need_other_tokens_is_refused_by_name(perform, clip, given, name, dry):
    before = sorted(Path().rglob("*"))
    status, out, said = perform("--from_manifest", str(clip.with_suffix(".json")), "--restitch", *given, *dry)
    assert status == 2 and not out and sorted(Path().rglob("*")) == before
    assert f"--restitch keeps the clip's tokens, which --{name} would change; leave out --{name}" in said


def test_a_value_that_the_clip_has_already_changes_nothing(perform, clip):
    same = [*CUT, "--coarse_temp", "0.7", "--stable_mode_interval", "1", "--text_temp", "0.7"]
    status, (path,), said = perform("--from_manifest", str(clip.with_suffix(".json")), "--restitch", *same)
    assert status == 0, said
    assert content(Path(path))["audio_sha256"] == content(clip)["audio_sha256"]


def test_a_settings_file_is_read_for_what_a_restitch_does(perform, clip):
    Path("my.toml").write_text('coarse_temp = 0.1\nhistory_prompt = "absent"\ngain_db = -6.0\n')
    again = ["--config", "my.toml", "--from_manifest", str(clip.with_suffix(".json")), "--restitch"]
    status, (path,), said = perform(*again)
    assert status == 0, said
    settings = content(Path(path))["settings"]
    assert settings["gain_db"] == -6.0 and not settings.keys() & {"coarse_temp", "history_prompt"}


@pytest.mark.parametrize("made_with", ["voice", "recording", "function"])
def test_what_the_tokens_were_made_of_is_not_needed(perform, make_voice, made_with):
    """A voice file that is gone, a recording, a function: the tokens are there. The manifest goes on telling of them."""
    make_voice(2.0).save("someone.npz")
    Path("mix.py").write_text("def mix(context):\n    return context.weights\n")
    given = {
        "voice": ["--history_prompt", "someone.npz"],
        "recording": [],
        "function": ["--custom_audio_processing_function", "mix.py:mix"],
    }[made_with]
    status, (path,), said = perform("--text_prompt", TEXT, *CUT, *given)
    assert status == 0, said
    manifest = Path(path).with_suffix(".json")
    if made_with == "recording":  # as if its voice had been cloned
        told = json.loads(manifest.read_text())
        told["settings"]["audio_file_as_history_prompt"] = "me.wav"
        manifest.write_text(json.dumps(told))
    Path("someone.npz").unlink()
    Path("mix.py").unlink()
    status, (again,), said = perform("--from_manifest", str(manifest), "--restitch", "--gain_db", "-6")
    assert status == 0, said
    old, new = content(Path(path)), content(Path(again))
    assert new["settings"] == old["settings"] | {"gain_db": -6.0, "restitch": True, "output_format": "wav"}
    assert perform("--from_manifest", str(manifest), "--restitch", "--dry_run")[0] == 0
