"""--output_format_ffmpeg_parameters: common arguments of ffmpeg are followed, others are refused before anything is made."""

from __future__ import annotations

import os
from pathlib import Path

import av
import numpy as np
import pytest
from audio_files import decoded, tags

from bark_infinity.audio.av_encoder import check_parameters
from bark_infinity.audio.av_parameters import AvParameters
from bark_infinity.audio.formats import check_format
from bark_infinity.audio.writing import write_audio
from bark_infinity.errors import OutputError, UsageError

TONE = (0.5 * np.sin(np.arange(48_000) * 0.1)).astype(np.float32)
NOISE = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)


def test_arguments_are_read_with_all_of_their_names():
    read = AvParameters.parse("-codec:a alac -ar 44100 -ac 2 -metadata 'title=A b' -metadata x=y=z -movflags faststart")
    assert read == AvParameters("alac", 44_100, "stereo", {}, {"movflags": "faststart"}, {"title": "A b", "x": "y=z"})
    assert [AvParameters.parse(f"{name} 64k").options["b"] for name in ("-b:a", "-ab", "-b:a:0", "-b")] == ["64k"] * 4
    assert AvParameters.parse("-q:a 2").options["global_quality"] == "236"


@pytest.mark.parametrize("parameters", ["-b:a 32k", "-q:a 0.2", "-c:a libopus -b:a 24k"])
def test_files_get_smaller(parameters):
    write_audio(Path("a.m4a"), NOISE, {}, "m4a")
    write_audio(Path("b.m4a"), NOISE, {}, "m4a", parameters)
    assert Path("b.m4a").stat().st_size < Path("a.m4a").stat().st_size / 2


def test_rate_channels_codec_and_tags_are_those_asked_for():
    parameters = """-ar 44100 -ac 2 -c:a alac -metadata "title=their own" """
    write_audio(Path("a.m4a"), TONE, {"title": "ours", "comment": "kept"}, "m4a", parameters)
    with av.open("a.m4a") as container:
        sound = container.streams.audio[0]
        assert (sound.codec_context.name, sound.rate, sound.layout.name) == ("alac", 44_100, "stereo")
        assert sound.duration * sound.time_base == pytest.approx(2, abs=0.001)
    assert (tags(Path("a.m4a"))["title"], tags(Path("a.m4a"))["comment"]) == ("their own", "kept")


def test_lossless_samples_are_exact():
    write_audio(Path("a.m4a"), TONE, {}, "m4a", "-c:a alac")
    np.testing.assert_allclose(decoded(Path("a.m4a"))[: len(TONE)], TONE, atol=1 / 32_000)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ("-c:a nonsense", "-c:a nonsense"),
        ("-c:a mpeg4", "no encoder of sound"),
        ("-c:a pcm_u8", "-c:a pcm_u8"),
        ("-zzz 1", "has the option -zzz, which is not known; known are -c:a, -b:a"),
        ("-b:a", "has no value for -b:a"),
        ("-i second.wav", "has the option -i,"),
        ("-af volume=2", "has the option -af,"),
        ("other.m4a", "has other.m4a where an option is expected"),
        ("-metadata title", "is not NAME=TEXT"),
        ("-ac 6", "neither 1 nor 2 channels"),
        ("-ar fast", "no sample rate"),
        ("-ar 12345", "FFmpeg does not take them"),
        ("-q:a best", "no number"),
        ("-b:a lots", "FFmpeg does not take them"),
        ("-profile:a aac_nonsense", "FFmpeg does not take them"),
        ("-metadata 'title=x", "cannot be split"),
        ('"', "cannot be split"),
        ("-b:a 64k \\", "cannot be split"),
    ],
)
def test_what_cannot_be_followed_is_refused_in_one_sentence(parameters, reason):
    with pytest.raises(UsageError) as refused:
        check_format("m4a", parameters)
    message = str(refused.value)
    assert message.startswith("--output_format_ffmpeg_parameters ") and reason in message and "\n" not in message
    with pytest.raises((OutputError, UsageError)):
        write_audio(Path("clip.m4a"), TONE, {}, "m4a", parameters)
    assert os.listdir() == []


def test_usual_parameters_are_accepted():
    for parameters in ("", "-b:a 64k", "-q:a 2", "-profile:a aac_low -cutoff 10000", "-aac_coder twoloop", "-ar 48000"):
        check_parameters(parameters)


def test_encoder_errors_name_the_file(monkeypatch):
    def fail(*_):
        raise av.FFmpegError(22, "no such thing")

    monkeypatch.setattr(AvParameters, "add_stream", fail)
    with pytest.raises(
        OutputError, match=r"^FFmpeg cannot write clip.m4a \(no such thing\); change --output_format_ff"
    ):
        write_audio(Path("clip.m4a"), TONE, {}, "m4a")
    assert os.listdir() == []
