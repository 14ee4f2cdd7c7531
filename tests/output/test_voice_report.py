"""--voice_report: segments that differ from the rest of their speaker's are found, whatever file they are read from."""

from __future__ import annotations

import itertools
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tones import RATE, vowel

from bark_infinity.audio.encoding import Encoding
from bark_infinity.audio.tags import Tags
from bark_infinity.audio.voice_profile import measure_voice
from bark_infinity.cli.main import main
from bark_infinity.errors import UsageError
from bark_infinity.output.sound_files import SoundPlan, open_sound
from bark_infinity.output.voice_report import SegmentVoice, compare_segments, measure_clip

TEXT = "The old dog walked home."
N = 8


def varied(k: int, **changes: float) -> np.ndarray:
    """A segment of a voice that varies a little from segment to segment."""
    usual = {"hz": 120 * 2 ** ((k % 3 - 1) / 24), "brightness": 1.0 + 0.02 * (k % 4), "level": 1.0 + 0.05 * (k % 2)}
    return vowel(seconds=1.5 + 0.05 * (k % 3), **usual | changes)


def write_clip(name: str, sounds: Sequence[np.ndarray], speakers: Sequence[str | None] = (), audio: str = "wav") -> str:
    """A clip with these segments, 0.3 s of silence between them. Returns the name of its manifest."""
    pieces, segments, place = [], [], 0.0
    for k, sound in enumerate(sounds):
        end = place + len(sound) / RATE
        speaker = {"speaker": speakers[k]} if speakers and speakers[k] else {}
        segments.append(
            {"text": TEXT, "seeds": {"segment": k}, "start": round(place, 6), "end": round(end, 6), **speaker}
        )
        pieces += [sound, np.zeros(round(0.3 * RATE))]
        place = end + 0.3
    soundfile.write(f"{name}.{audio}", np.concatenate(pieces), RATE)
    content = {"format": 1, "text": TEXT, "seed": 1, "prompt": 0, "take": 0, "settings": {}, "audio_format": audio}
    Path(f"{name}.json").write_text(json.dumps(content | {"segments": segments}))
    return f"{name}.json"


def outliers(segments: Sequence[SegmentVoice]) -> dict[int, tuple[str, ...]]:
    return {segment.index: segment.outliers for segment in segments if segment.outliers}


def test_an_even_voice_has_no_outliers():
    assert outliers(measure_clip(write_clip("a", [varied(k) for k in range(N)]))) == {}


@pytest.mark.parametrize(
    ("changes", "feature"),
    [
        ({"hz": 170.0}, "pitch"),
        ({"level": 0.3}, "loudness"),
        ({"brightness": 0.2}, "spectrum"),
        ({"level": 3.0}, "loudness"),
    ],
)
@pytest.mark.parametrize("audio", ["wav", "flac", "ogg", "mp3"])
def test_a_segment_that_differs_is_the_outlier(changes, feature, audio):
    sounds = [varied(k, **(changes if k == 5 else {})) for k in range(N)]
    found = outliers(measure_clip(write_clip("a", sounds, audio=audio)))
    assert list(found) == [5] and feature in found[5]


@pytest.mark.parametrize("audio", ["wav", "mp3", "m4a"])
def test_a_clip_in_chapter_files_is_measured_as_one_in_one_file(audio):
    sounds = [varied(k, **({"hz": 170.0} if k == 5 else {})) for k in range(N)]
    one_file = measure_clip(write_clip("a", sounds))
    samples = soundfile.read("a.wav", dtype="float32")[0]
    cuts = [
        round((segment.start - 0.1) * RATE) for segment in one_file[:6:2]
    ]  # a chapter begins before its first segment
    cuts = [0, *cuts[1:], len(samples)]
    plan = SoundPlan(Path("b.m3u8"), Encoding(audio, RATE), Tags({}, None, ("One", "Two", "Three")), len(samples))
    files = open_sound(Path("b"), plan, in_chapters=True)
    for chapter, (start, stop) in enumerate(itertools.pairwise(cuts)):
        files.write(samples[start:stop], chapter)
    files.close(())
    files.use_name("b")
    Path("a.json").rename("b.json")
    measured = measure_clip("b.json")
    assert outliers(measured).keys() == {5} == outliers(one_file).keys()
    for ours, theirs in zip(measured, one_file, strict=True):
        assert ours.profile.seconds == pytest.approx(theirs.profile.seconds, abs=0.03)
        assert ours.profile.loudness == pytest.approx(theirs.profile.loudness, abs=0.5)


def test_missing_chapter_file_and_damaged_playlist_are_told():
    name = write_clip("a", [varied(k) for k in range(N)])
    Path("a.m3u8").write_text("#EXTM3U\n#EXTINF:99.000,One\n../../etc/a.wav\n")
    with pytest.raises(UsageError, match=r"a\.chapters.a\.wav"):
        measure_clip(name)
    Path("a.m3u8").write_text("#EXTM3U\n#EXTINF:long,One\na.chapters/a.wav\n#EXTINF:1.0,Two\n")
    assert len(measure_clip(name)) == N  # the one file beside it


def test_a_segment_spoken_far_too_slowly_is_an_outlier_of_pace():
    sounds = [np.tile(varied(k), 3) if k == 2 else varied(k) for k in range(N)]
    segments = measure_clip(write_clip("a", sounds))
    assert list(outliers(segments)) == [2] and "pace" in segments[2].outliers and segments[2].differences["pace"] < -0.5
    assert re.search("-6[5-9]% of pace", segments[2].describe())


def test_speakers_are_compared_with_themselves():
    speakers = [None, "Bob"] * N
    hz = {None: 120.0, "Bob": 210.0}
    sounds = [varied(k, hz=hz[speakers[k]] * (1.4 if k == 9 else 1)) for k in range(2 * N)]
    segments = measure_clip(write_clip("a", sounds, speakers))
    assert list(outliers(segments)) == [9]
    assert [segment.speaker for segment in segments[:2]] == [None, "Bob"]


def test_few_segments_have_values_and_no_scores():
    segments = measure_clip(write_clip("a", [varied(0), varied(1), varied(2, hz=240.0), varied(3)]))
    assert (
        outliers(segments) == {}
        and not segments[0].scores
        and segments[2].differences["pitch"] == pytest.approx(12, abs=0.6)
    )


def test_segments_without_speech_are_left_out():
    sounds = [np.zeros(RATE) if k == 3 else varied(k) for k in range(N)]
    segments = measure_clip(write_clip("a", sounds))
    assert segments[3].profile is None and segments[3].scores == {} and outliers(segments) == {}
    assert not any(segment.profile for segment in measure_clip(write_clip("b", [np.zeros(RATE)] * 6)))


def test_score_is_robust_against_several_outliers():
    profiles = [measure_voice(varied(k, **({"hz": 200.0} if k in (1, 4, 6) else {})), RATE) for k in range(10)]
    spans = [(float(k), k + 1.5) for k in range(10)]
    found = outliers(compare_segments(spans, [None] * 10, [TEXT] * 10, profiles))
    assert sorted(found) == [1, 4, 6]


# ---- on the command line --------------------------------------------------------------------------------------------


def test_report_is_written_drawn_and_shown(capfd):
    name = write_clip("a $x_1$", [varied(k, **({"hz": 170.0} if k == 5 else {})) for k in range(N)])
    assert main(["--voice_report", name]) == 0
    out, error = capfd.readouterr()
    assert out.splitlines() == ["a $x_1$.voice.json", "a $x_1$.voice.png"]
    report = json.loads(Path("a $x_1$.voice.json").read_text())
    assert (
        report["outliers"] == [6] and len(report["segments"]) == N and len(report["segments"][0]["spectrum_db"]) == 11
    )
    assert report["segments"][5]["differences"]["pitch"] == pytest.approx(6, abs=0.6)
    assert Path("a $x_1$.voice.png").read_bytes().startswith(b"\x89PNG")
    error = " ".join(error.split())
    assert "semitones of pitch" in error and f"--from_manifest '{name}' --regenerate 6" in error
    assert main(["--voice_report", name]) == 0  # replaces the report


def test_without_matplotlib_the_numbers_are_written_and_one_sentence_says_what_is_missing(capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["--voice_report", write_clip("a", [varied(k) for k in range(N)])]) == 0
    out, error = capfd.readouterr()
    assert out.splitlines() == ["a.voice.json"]
    assert 'pip install "bark-infinity[report]"' in " ".join(error.split()) and "Traceback" not in error


def test_dry_run_shows_and_writes_nothing(capfd):
    name = write_clip("a", [varied(k) for k in range(N)])
    before = sorted(Path().iterdir())
    assert main(["--voice_report", name, "--dry_run"]) == 0
    out, error = capfd.readouterr()
    assert not out and "none of 8 segments stands out" in " ".join(error.split()) and sorted(Path().iterdir()) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content["segments"][1].pop("end"), "does not say where its segments are"),
        (lambda content: content["segments"][1].update(end="x"), "does not say where its segments are"),
        (lambda content: content["segments"][1].update(start=float("nan")), "does not say where its segments are"),
        (lambda content: content["segments"][1].update(end=1e12), "does not say where its segments are"),
        (lambda content: content["segments"].reverse(), "not in order"),
        (lambda content: content.clear(), "--voice_report a.json is not the manifest"),
        (lambda content: Path("a.wav").unlink(), "the audio of the clip is not beside it"),
        (lambda content: Path("a.wav").write_text("no sound"), "holds no sound"),
    ],
)
def test_damaged_clips_are_refused_in_one_sentence(capfd, change, message):
    name = write_clip("a", [varied(k) for k in range(3)])
    content = json.loads(Path(name).read_text())
    change(content)
    Path(name).write_text(json.dumps(content))
    with pytest.raises(UsageError, match=message):
        measure_clip(name)
    assert main(["--voice_report", name]) == 2
    assert "Traceback" not in capfd.readouterr().err
