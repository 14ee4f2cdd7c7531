"""--voice_dir: recordings are cloned when their voice is first used, and again when they change; nothing of the user's is replaced."""

from __future__ import annotations

import shutil
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch
from tiny_hubert import save_cloning_models, speech

from bark_infinity import Voice, narrate
from bark_infinity.checkpoints.hub import Hub
from bark_infinity.cli.main import main
from bark_infinity.errors import VoiceError
from bark_infinity.options.table import Options
from bark_infinity.voices import cloning
from bark_infinity.voices.library import find_voice, list_voices, voice_folders
from bark_infinity.voices.recorded_voices import find_recorded_voice, voices_to_clone

CPU = torch.device("cpu")
SHORT = ["--model", "demo", "--offline", "--seed", "1", "--fine_temp", "0", "--semantic_max_gen_duration_s", "0.3"]
ANNA = Path("bark_voices/anna")


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    return save_cloning_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def hub(models) -> Hub:
    return Hub(str(models), offline=True)


@pytest.fixture
def speak(models, capfd):
    """Runs a command line that speaks; returns exit status, stdout and stderr, each collapsed to a line."""

    def run(*arguments: str, text: str = "Hello") -> tuple[int, str, str]:
        status = main([*SHORT, "--model_dir", str(models), "--text_prompt", text, *arguments])
        out, error = capfd.readouterr()
        assert "Traceback" not in error
        return status, " ".join(out.split()), " ".join(error.split())

    return run


@pytest.fixture
def clones(monkeypatch) -> list[Path]:
    """Grows with each recording that is cloned."""
    made, clone = [], cloning.clone_recording

    def counted(source, path, *arguments, **more):
        made.append(path)
        return clone(source, path, *arguments, **more)

    monkeypatch.setattr("bark_infinity.voices.recorded_voices.clone_recording", counted)
    return made


def record(name: str, seconds: float = 3.0, seed: int = 0, rate: int = 24_000) -> Path:
    path = Path("bark_voices", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, speech(seconds, rate, seed), rate)
    return path


def record_m4a(name: str) -> Path:
    path = Path("bark_voices", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=24_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(speech(3.0, 24_000)[None], "fltp", "mono")
        frame.rate = 24_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


# ---- on the command line --------------------------------------------------------------------------------------------


def test_recording_is_cloned_once_and_again_when_it_changes(speak, clones):
    """A folder as in Coqui's documentation, with its flags."""
    record("anna/speaker.wav")
    coqui = ["--voice_dir", "bark_voices/", "--speaker_idx", "anna"]
    status, out, error = speak(*coqui)
    assert (
        status == 0
        and "SPK-anna" in out
        and "cloned bark_voices/anna/speaker.wav to bark_voices/anna/anna.npz" in error
    )
    first = Voice.load(ANNA / "anna.npz")
    status, _, error = speak(*coqui)
    assert status == 0 and len(clones) == 1 and "cloned" not in error
    record("anna/speaker.wav", seed=5)
    assert speak(*coqui)[0] == 0 and len(clones) == 2
    assert Voice.load(ANNA / "anna.npz").digest() != first.digest()
    assert speak(*coqui)[0] == 0 and len(clones) == 2


@pytest.mark.parametrize("name", ["anna/a.mp3", "anna/a.flac", "anna/a.ogg", "anna/a.m4a"])
def test_recordings_of_every_format_are_cloned(speak, name):
    record_m4a(name) if name.endswith("m4a") else record(name)
    status, _, error = speak("--history_prompt", "anna")
    assert status == 0, error
    assert 2.0 < Voice.load(ANNA / "anna.npz").seconds <= 3.1


def test_every_place_that_names_a_voice_clones_it(speak, clones):
    for name in ("anna", "bob", "eve"):
        record(f"{name}/a.wav", seed=len(name))
    script = "Anna: Hello.\nBob: Goodbye. [voice:eve] Really? [/voice]"
    status, _, error = speak("--cast", "Anna=anna,Bob=bob", text=script)
    assert status == 0, error
    assert sorted(path.parent.name for path in clones) == ["anna", "bob", "eve"]
    speak("--history_prompt", "eve", "--bark_speaker_as_the_prompt", "anna")
    assert len(clones) == 3


def test_several_recordings_are_joined(speak):
    """Of three recordings of 3 s the voice has 8 s; a changed one, or one more, makes it anew."""
    for k in range(3):
        record(f"anna/{k}.wav", seed=k, rate=(16_000, 24_000, 48_000)[k])
    status, _, error = speak("--history_prompt", "anna")
    assert status == 0 and "3 recordings in bark_voices/anna" in error
    voice = Voice.load(ANNA / "anna.npz")
    assert 7.0 < voice.seconds <= 8.0
    record("anna/3.wav", seed=3)
    assert "4 recordings" in speak("--history_prompt", "anna")[2]


def test_broken_recording_among_others_is_left_out_with_a_warning(speak):
    record("anna/a.wav")
    (ANNA / "b.mp3").write_text("no sound")
    status, _, error = speak("--history_prompt", "anna")
    assert status == 0 and "b.mp3 cannot be read" in error and "the voice is made without it" in error


@pytest.mark.parametrize("show", [[], ["--dry_run"]])
def test_broken_recording_gives_one_sentence_and_nothing_is_lost(speak, show):
    path = record("anna/anna.wav")
    assert speak("--history_prompt", "anna")[0] == 0
    before = (ANNA / "anna.npz").read_bytes()
    path.write_text("no sound")
    status, out, error = speak("--history_prompt", "anna", *show)
    assert status == 2 and not out and "the voice anna: bark_voices/anna/anna.wav cannot be read" in error
    assert "cloned before is kept as bark_voices/anna/anna.npz" in error
    assert (ANNA / "anna.npz").read_bytes() == before
    assert speak("--history_prompt", "bark_voices/anna/anna.npz", *show)[0] == 0


@pytest.mark.parametrize(
    ("sound", "message"), [(np.zeros(72_000), "is silent"), (speech(1.0, 24_000), "too little for a voice")]
)
def test_dry_run_refuses_the_recordings_that_the_run_refuses(speak, sound, message):
    ANNA.mkdir(parents=True)
    soundfile.write(ANNA / "a.wav", sound, 24_000)
    errors = [speak("--history_prompt", "anna", *show) for show in ([], ["--dry_run"])]
    assert errors[0] == errors[1] and errors[0][0] == 2 and message in errors[0][2]


def test_dry_run_says_what_would_be_cloned_and_writes_nothing(speak, clones):
    record("anna/a.wav")
    status, out, error = speak("--history_prompt", "anna", "--dry_run")
    assert (status, out) == (0, "") and "the voice anna would be cloned from bark_voices/anna/a.wav" in error
    assert not clones and [path.name for path in ANNA.iterdir()] == ["a.wav"]


def test_dry_run_refuses_a_model_that_cannot_clone(capfd, monkeypatch):
    from bark_infinity.voices import compatibility

    monkeypatch.setitem(compatibility.SEMANTIC_VOCAB_SIZES, "demo", compatibility.DEMO_SEMANTIC_VOCAB_SIZE)
    record("anna/a.wav")
    assert main(["--model", "demo", "--text_prompt", "Hi", "--speaker", "anna", "--dry_run"]) == 2
    assert "semantic tokens of its own" in " ".join(capfd.readouterr().err.split())


def test_voice_of_the_user_beside_recordings_is_never_replaced(speak, clones, make_voice):
    record("anna/a.wav")
    make_voice(4.0).save(ANNA / "anna.npz")
    before = (ANNA / "anna.npz").read_bytes()
    assert speak("--history_prompt", "anna")[0] == 0
    assert not clones and (ANNA / "anna.npz").read_bytes() == before


def test_clip_of_a_cloned_voice_is_made_again_from_its_manifest(speak, models, capfd):
    record("anna/a.wav")
    assert speak("--history_prompt", "anna", "--output_filename", "first")[0] == 0
    assert main(["--model", "demo", "--offline", "--from_manifest", "bark_samples/first.json"]) == 0
    assert "bit for bit" in capfd.readouterr().err


# ---- files ----------------------------------------------------------------------------------------------------------


def test_cloned_file_is_an_ordinary_voice_file_with_one_more_array(hub):
    record("anna/a.wav")
    voice = find_recorded_voice("anna", "bark_voices")
    voice.clone("demo", hub, CPU)
    with np.load(voice.file, allow_pickle=False) as arrays:
        kinds = {name: (array.dtype, array.ndim) for name, array in arrays.items()}
    assert kinds.pop("recordings_sha256") == (np.uint8, 1)
    assert kinds == {"semantic_prompt": (np.int64, 1), "coarse_prompt": (np.int64, 2), "fine_prompt": (np.int32, 2)}
    assert voice.is_cloned and voices_to_clone(["anna", None, "announcer"], "bark_voices") == []


def test_copied_folder_needs_no_cloning(hub):
    """What counts is the recording's content, not its time or place."""
    record("anna/a.wav")
    find_recorded_voice("anna", "bark_voices").clone("demo", hub, CPU)
    shutil.copytree("bark_voices", "elsewhere")
    assert find_recorded_voice("anna", "elsewhere").is_cloned


def test_names_that_stand_for_something_else_are_no_recorded_voices(make_voice):
    record("anna/a.wav")
    record("bob/a.wav")
    make_voice(1.0).save("bark_voices/bob.npz")
    Path("eve").touch()
    record("eve/a.wav")
    found = {
        name: find_recorded_voice(name, "bark_voices")
        for name in ("anna", "bob", "eve", "", "..", "../bark_voices/anna", "nobody")
    }
    assert [name for name, voice in found.items() if voice] == ["anna"]


def test_damaged_voice_file_is_not_overwritten():
    record("anna/a.wav")
    (ANNA / "anna.npz").write_bytes(b"PK")
    with pytest.raises(VoiceError, match="anna.npz is damaged"):
        voices_to_clone(["anna"], "bark_voices")


# ---- by name --------------------------------------------------------------------------------------------------------


def test_voice_files_of_the_folder_are_voices(make_voice):
    for name in ("loose", "anna/anna", "bob/other", "two/a", "two/b"):
        Path("bark_voices", name).parent.mkdir(parents=True, exist_ok=True)
        make_voice(2.0).save(f"bark_voices/{name}.npz")
    record("eve/a.wav")
    folders = voice_folders("out")
    listed = {
        voice.name: voice for voice in list_voices(folders, Path("bark_voices")) if not voice.name.startswith("demo")
    }
    assert sorted(listed) == ["anna", "bob/other", "eve", "loose", "two/a", "two/b"]
    assert not listed["eve"].cloned and listed["eve"].seconds is None
    for name, voice in listed.items():
        if voice.cloned:
            assert find_voice(name, folders) == voice.path
    assert find_voice("bob", folders) == Path("bark_voices/bob/other.npz")  # as in Coqui's documentation
    with pytest.raises(VoiceError, match="not cloned yet"):
        find_voice("eve", folders)
    with pytest.raises(VoiceError, match="there is no voice 'two'"):
        find_voice("two", folders)


def test_speakers_are_listed_with_those_to_be_cloned(capfd, make_voice):
    record("eve/a.wav")
    assert main(["--list_speakers"]) == 0
    out, error = capfd.readouterr()
    assert "eve" in out.split() and "to be cloned" in error and "voices in bark_voices" in error


# ---- from Python ----------------------------------------------------------------------------------------------------


def test_narrate_clones_the_voice_that_it_names(demo, models, clones):
    record("mine/anna/a.wav")
    options = Options(voice_dir="bark_voices/mine", model_dir=str(models), semantic_max_gen_duration_s=0.3)
    narration = narrate(demo, "Hello", "anna", seed=1, options=options)
    assert len(narration.audio) and len(clones) == 1
