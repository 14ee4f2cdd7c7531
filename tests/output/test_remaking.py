"""--regenerate and --restitch: finished clips from their saved tokens, with some segments generated again or only pauses, gain and format changed."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fakes import VOICE, Changed, Hashing, WholeClip, plan, recipe_of, spoken_by, voice_of, whole_clips
from hypothesis import given, settings
from hypothesis import strategies as st

from bark_infinity.bark import Generation
from bark_infinity.cli import main as cli
from bark_infinity.errors import UsageError
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.output.manifest import Manifest
from bark_infinity.output.remaking import chosen_segments, in_words, with_dependents
from bark_infinity.run.pauses import NO_GAP
from bark_infinity.run.planning import ClipPlan
from bark_infinity.run.script_cutting import ScriptPart
from bark_infinity.seeds import Seeds
from bark_infinity.text.events import BookTags

TEXT = "\n".join(f"This is line {k}." for k in range(1, 7))
CUT = ["--split_each_text_prompt_by", "line", "--semantic_max_gen_duration_s", "0.3"]


@pytest.fixture
def perform(capsys):
    """Runs a command line: (exit status, paths on stdout, stderr on one line)."""

    def run(*arguments: str) -> tuple[int, list[str], str]:
        status = cli.main(["--model", "demo", *arguments])
        out, err = capsys.readouterr()
        return status, out.split("\n")[:-1], " ".join(err.split())

    return run


@pytest.fixture(scope="module")
def finished_clip(tmp_path_factory) -> Path:
    """A clip of six segments; the first is the starting voice of the others."""
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
    """The numbers of the segments whose tokens differ."""
    pairs = zip(tokens(before), tokens(after), strict=True)
    return [k for k, (old, new) in enumerate(pairs, 1) if old != new]


def test_regenerate_uses_new_seeds_for_chosen_segments_and_keeps_the_others(perform, clip):
    status, (path,), stderr = perform("--from_manifest", str(clip.with_suffix(".json")), "--regenerate", "3,5-6")
    assert status == 0 and "made again: 3, 5-6; 3 segments stay" in stderr
    new = Path(path)
    assert new != clip and changed(clip, new) == [3, 5, 6]
    seeds = [[segment["seeds"] for segment in content(p)["segments"]] for p in (clip, new)]
    assert [k for k, (a, b) in enumerate(zip(*seeds, strict=True), 1) if a != b] == [3, 5, 6]
    # the new clip can itself be reproduced bit for bit
    status, _, stderr = perform("--from_manifest", str(new.with_suffix(".json")))
    assert status == 0 and "bit for bit" in stderr


def test_regenerate_includes_dependent_segments(perform, clip, monkeypatch):
    from bark_infinity.bark import Bark

    stream, batches = Bark.stream, []

    def counting(self, segments, *more):
        batches.append([segment.text[-2] for segment in segments])
        return stream(self, segments, *more)

    again = ["--from_manifest", str(clip.with_suffix(".json")), "--regenerate"]
    _, (rolling,), _ = perform("--text_prompt", TEXT, *CUT, "--stable_mode_interval", "3")
    monkeypatch.setattr(Bark, "stream", counting)
    _, (path,), stderr = perform(*again, "1")
    assert "made again: 1, and with them 2-6, which depend on them; 0 segments stay" in stderr
    assert batches == [["1"], ["2", "3", "4", "5", "6"]] and 1 in changed(clip, Path(path))
    batches.clear()
    _, (path,), stderr = perform("--from_manifest", rolling.replace(".wav", ".json"), "--regenerate", "5")
    assert (
        "made again: 5, and with them 6, which depend on them; 4 segments stay" in stderr
    )  # the history of 4 is the first voice alone
    assert batches == [["5"], ["6"]] and set(changed(Path(rolling), Path(path))) <= {5, 6}


def spoken(clip: ClipPlan, silent: set[int], voice, voices, **how) -> WholeClip:
    """The clip by an engine whose tokens change with anything that they depend on; `silent`: the segments without sound."""

    def without_sound(text: str, generation: Generation) -> Generation:
        n = 0 if int(text.removeprefix("s")) in silent else None
        own = generation.voice
        shorter = dataclasses.replace(own, semantic=own.semantic[:n], coarse=own.coarse[:, :n], fine=own.fine[:, :n])
        return dataclasses.replace(generation, voice=shorter, audio=generation.audio[:n])

    (made,) = whole_clips(recipe_of(Changed(Hashing(), without_sound), voice, voices, **how), [clip])
    assert isinstance(made, WholeClip)
    return made


def manifest_of(made: WholeClip) -> Manifest:
    """A manifest with what `with_dependents` reads."""
    segments = made.plan.segments
    recorded = [{"frames": generation.voice.fine.shape[1]} for generation in made.generations]
    return Manifest(
        made.plan.text,
        made.plan.seed,
        0,
        0,
        tuple((segment.text, segment.seeds) for segment in segments),
        tuple(ScriptPart(segment.text, segment.pause, segment.speaker) for segment in segments),
        NO_GAP,
        None,
        {},
        tuple(None for _ in segments),
        BookTags(),
        None,
        tuple(None for _ in segments),
        {"segments": recorded},
    )


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(0, 4), st.text("-AB", min_size=1, max_size=9), st.booleans(), st.booleans())
def test_dependents_are_the_segments_whose_tokens_change(data, interval, speakers, has_voice, has_voices):
    """With several speakers, silent segments, given voices and weights, compared with a clip that is made again as a whole."""
    indexes = st.sampled_from(range(len(speakers)))
    chosen, silent = data.draw(st.sets(indexes, min_size=1)), data.draw(st.sets(indexes, max_size=len(speakers) - 1))
    weights = {"semantic_prev_segment_weight": 0.5} if data.draw(st.booleans()) else {}
    how = {"stable_mode_interval": interval, **weights}
    voice, voices = VOICE if has_voice else None, {"A": voice_of(71)} if has_voices else {}
    before = spoken_by(speakers, plan([f"s{k}" for k in range(len(speakers))]))
    segments = [
        dataclasses.replace(own, seeds=Seeds(1_000 + k)) if k in chosen else own
        for k, own in enumerate(before.segments)
    ]
    old = spoken(before, silent, voice, voices, **how)
    new = spoken(dataclasses.replace(before, segments=tuple(segments)), silent, voice, voices, **how)
    pairs = enumerate(zip(old.generations, new.generations, strict=True))
    changed = {k for k, (one, other) in pairs if one.voice.digest() != other.voice.digest()}
    again = with_dependents(chosen, manifest_of(old), resolve(Options(**how)), has_voice, voices)
    assert changed <= again and (silent or changed == again)


def test_dependents_with_a_function_are_all_later_segments_of_the_speaker():
    made = spoken(spoken_by("AB-ABA", plan([f"s{k}" for k in range(6)])), set(), VOICE, {})
    options = resolve(Options(custom_audio_processing_function="a.py:f"))
    again = with_dependents({1, 3}, manifest_of(made), options, True, {"A", "B"})
    assert again == {1, 3, 4, 5}


def test_regenerate_with_a_seed_is_deterministic(perform, clip):
    again = ["--from_manifest", str(clip.with_suffix(".json")), "--regenerate", "4", "--single_starting_seed", "77"]
    digests = {content(Path(perform(*again)[1][0]))["audio_sha256"] for _ in range(2)}
    assert len(digests) == 1


def test_restitch_changes_pauses_gain_and_format_only(perform, clip, monkeypatch):
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


def test_restitch_keeps_the_kinds_of_pauses_and_changes_their_lengths(perform, tmp_path):
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
    """Seconds of silence between the segments of a clip; its manifest and its audio must agree."""
    segments, samples = content(clip)["segments"], soundfile.read(clip)[0]
    bounds = [
        (round(before["end"] * 24_000), round(after["start"] * 24_000))
        for before, after in itertools.pairwise(segments)
    ]
    assert not any(samples[start:end].any() for start, end in bounds)
    assert [segment["pause"]["seconds"] for segment in segments[:-1]] == [(b - a) / 24_000 for a, b in bounds]
    return [(end - start) / 24_000 for start, end in bounds]


def test_missing_or_damaged_tokens_are_reported(perform, clip):
    npz = clip.with_name(f"{clip.stem}.segments.npz")
    again = ["--from_manifest", str(clip.with_suffix(".json"))]
    whole = npz.read_bytes()
    for damage in (whole[: len(whole) // 2], b"", whole[:200] + b"\xff" * 400 + whole[600:], None):
        npz.unlink()
        if damage is not None:
            npz.write_bytes(damage)
        for how in (["--restitch"], ["--regenerate", "2"]):
            status, out, stderr = perform(*again, *how)
            assert status == 2 and not out and "tokens cannot be read from" in stderr and "Traceback" not in stderr
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
def test_impossible_requests_are_refused_in_one_line(perform, clip, arguments, message):
    status, out, stderr = perform("--from_manifest", str(clip.with_suffix(".json")), *arguments)
    assert status == 2 and not out and message in stderr


def test_regenerate_and_restitch_require_from_manifest(perform):
    for arguments in (["--regenerate", "2"], ["--restitch"]):
        status, _, stderr = perform("--text_prompt", "Hello", *arguments)
        assert status == 2 and "--from_manifest" in stderr


@given(st.sets(st.integers(0, 200), min_size=1))
def test_described_segments_are_parsed_back_to_the_same_set(segments):
    assert chosen_segments(in_words(segments), 201) == segments


@pytest.mark.parametrize("text", ["", ",", "1,,2", "-1", "1-", "1--2", "1;2", "9" * 30, "٣-"])
def test_invalid_segment_lists_are_refused(text):
    with pytest.raises(UsageError):
        chosen_segments(text, 300)


def test_dry_run_lists_new_and_kept_segments(perform, clip):
    again = ["--from_manifest", str(clip.with_suffix(".json")), "--dry_run"]
    _, _, stderr = perform(*again, "--regenerate", "3")
    assert "2 kept This is line 2." in stderr and "3 new This is line 3." in stderr and stderr.count("kept") == 5
    assert "made again: 3; 5 segments stay" in stderr
    _, _, stderr = perform(*again, "--regenerate", "4", "--stable_mode_interval", "0")
    assert "4 new This is line 4." in stderr and "5 new (depends) This is line 5." in stderr
    assert "made again: 4, and with them 5-6, which depend on them; 3 segments stay" in stderr
    _, _, stderr = perform(*again, "--restitch")
    assert stderr.count("kept") == 6 and "stitched again: all of 6 segments keep their tokens" in stderr
    _, _, stderr = perform(*again)
    assert "kept" not in stderr and str(content(clip)["seed"]) in stderr


# ---- what a restitch keeps ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "name"),
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
def test_restitch_refuses_flags_that_would_change_tokens(perform, clip, flags, name, dry):
    before = sorted(Path().rglob("*"))
    status, out, stderr = perform("--from_manifest", str(clip.with_suffix(".json")), "--restitch", *flags, *dry)
    assert status == 2 and not out and sorted(Path().rglob("*")) == before
    assert f"--restitch keeps the clip's tokens, which --{name} would change; leave out --{name}" in stderr


def test_restitch_accepts_flags_equal_to_the_clips_settings(perform, clip):
    same = [*CUT, "--coarse_temp", "0.7", "--stable_mode_interval", "1", "--text_temp", "0.7"]
    status, (path,), stderr = perform("--from_manifest", str(clip.with_suffix(".json")), "--restitch", *same)
    assert status == 0, stderr
    assert content(Path(path))["audio_sha256"] == content(clip)["audio_sha256"]


def test_restitch_ignores_settings_of_a_file_that_would_change_tokens(perform, clip):
    Path("my.toml").write_text('coarse_temp = 0.1\nhistory_prompt = "absent"\ngain_db = -6.0\n')
    again = ["--config", "my.toml", "--from_manifest", str(clip.with_suffix(".json")), "--restitch"]
    status, (path,), stderr = perform(*again)
    assert status == 0, stderr
    settings = content(Path(path))["settings"]
    assert settings["gain_db"] == -6.0 and not settings.keys() & {"coarse_temp", "history_prompt"}


@pytest.mark.parametrize("origin", ["voice", "recording", "function"])
def test_restitch_does_not_need_the_voice_recording_or_function(perform, make_voice, origin):
    """The tokens are enough; the new manifest still records the voice, recording or function."""
    make_voice(2.0).save("someone.npz")
    Path("mix.py").write_text("def mix(context):\n    return context.weights\n")
    flags = {
        "voice": ["--history_prompt", "someone.npz"],
        "recording": [],
        "function": ["--custom_audio_processing_function", "mix.py:mix"],
    }[origin]
    status, (path,), stderr = perform("--text_prompt", TEXT, *CUT, *flags)
    assert status == 0, stderr
    manifest = Path(path).with_suffix(".json")
    if origin == "recording":  # as if its voice had been cloned
        recorded = json.loads(manifest.read_text())
        recorded["settings"]["audio_file_as_history_prompt"] = "me.wav"
        manifest.write_text(json.dumps(recorded))
    Path("someone.npz").unlink()
    Path("mix.py").unlink()
    status, (again,), stderr = perform("--from_manifest", str(manifest), "--restitch", "--gain_db", "-6")
    assert status == 0, stderr
    old, new = content(Path(path)), content(Path(again))
    assert new["settings"] == old["settings"] | {"gain_db": -6.0, "restitch": True, "output_format": "wav"}
    assert perform("--from_manifest", str(manifest), "--restitch", "--dry_run")[0] == 0
