"""--render_npz_samples: every voice file of a folder decoded to audio beside it, with only the codec loaded."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from bark_infinity.audio.writing import write_audio
from bark_infinity.checkpoints import huggingface, suno
from bark_infinity.checkpoints.loading import ModelChoice, load_codec
from bark_infinity.errors import CheckpointError, OutputError, UsageError
from bark_infinity.voices.rendering import Rendered, Skipped, render_voices, voices_to_render


@pytest.fixture(scope="module")
def codec():
    return load_codec(ModelChoice("demo", device="cpu"))


def rendered(codec, folder: Path, format: str = "wav"):
    return list(
        render_voices(
            voices_to_render(str(folder)), format, codec.decode, lambda *audio: write_audio(*audio, format=format)
        )
    )


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# ---- folders --------------------------------------------------------------------------------------------------------


def test_each_voice_is_decoded_by_the_codec_to_a_file_beside_it(codec, make_voice):
    voices = {name: make_voice(seconds, seed=i) for i, (name, seconds) in enumerate([("b", 1), ("a/ü.1", 2), ("c", 3)])}
    Path("voices/a").mkdir(parents=True)
    for name, voice in voices.items():
        voice.save(f"voices/{name}.npz")
    results = rendered(codec, Path("voices"))
    names = [result.voice.relative_to("voices").with_suffix("").as_posix() for result in results]
    assert names == ["a/ü.1", "b", "c"]
    for name, result in zip(names, results, strict=True):
        expected = codec.decode(voices[name].fine)
        assert result == Rendered(Path(f"voices/{name}.npz"), Path(f"voices/{name}.wav"), len(expected) / 24_000)
        samples = soundfile.read(result.audio, dtype="float32")[0]
        np.testing.assert_allclose(samples, np.clip(expected, -1, 1), atol=1 / 32_000)
    assert soundfile.SoundFile("voices/a/ü.1.wav").copy_metadata()["title"] == "ü.1"


def test_published_voices_are_rendered(codec, shared_voices):
    shutil.copytree(shared_voices, "voices")
    results = rendered(codec, Path("voices"), "mp3")
    assert len(results) == len(voices_to_render("voices")) > 3
    for result in results:
        frames = np.load(result.voice)["fine_prompt"].shape[1]
        assert isinstance(result, Rendered) and result.seconds == frames / 75
        assert soundfile.info(result.audio).frames == frames * 320


def test_invalid_voice_files_are_skipped_with_a_reason(codec, make_voice):
    make_voice(1).save("good.npz")
    np.savez(
        "evil.npz", semantic_prompt=np.array([print]), coarse_prompt=np.zeros((2, 3)), fine_prompt=np.zeros((8, 3))
    )
    np.savez("half.npz", semantic_prompt=np.arange(9))
    Path("empty.npz").touch()
    Path("torn.npz").write_bytes(Path("good.npz").read_bytes()[:-300])
    Path("folder.npz").mkdir()
    results = rendered(codec, Path("."))
    skipped = {result.voice.name: result.reason for result in results if isinstance(result, Skipped)}
    assert set(skipped) == {"evil.npz", "half.npz", "empty.npz", "torn.npz", "folder.npz"}
    assert all(name in reason for name, reason in skipped.items())
    assert "Python objects" in skipped["evil.npz"] and "no coarse_prompt" in skipped["half.npz"]
    assert [path.name for path in Path().glob("*.wav")] == ["good.wav"]


def test_existing_audio_is_not_overwritten(codec, make_voice):
    for name in "ab":
        make_voice(1).save(f"{name}.npz")
    Path("a.wav").write_bytes(b"precious")
    first, second = rendered(codec, Path("."))
    assert first.voice == Path("a.npz") and "a.wav is there already" in first.reason
    assert isinstance(second, Rendered) and Path("a.wav").read_bytes() == b"precious"
    again = render_voices(
        voices_to_render("."), "wav", lambda codes: pytest.fail("decodes although the audio exists"), write_audio
    )
    assert all(isinstance(result, Skipped) for result in again)
    assert all(isinstance(result, Rendered) for result in rendered(codec, Path("."), "flac"))


def test_audio_that_appears_while_decoding_is_not_overwritten(make_voice):
    make_voice(1).save("a.npz")

    def decode(codes: np.ndarray) -> np.ndarray:
        Path("a.wav").write_bytes(b"precious")
        return np.zeros(320, np.float32)

    (result,) = render_voices(voices_to_render("."), "wav", decode, write_audio)
    assert "a.wav is there already" in result.reason and Path("a.wav").read_bytes() == b"precious"


def test_voices_are_rendered_lazily(make_voice):
    for name in "abc":
        make_voice(1).save(f"{name}.npz")
    results = render_voices(voices_to_render("."), "wav", lambda codes: np.zeros(320, np.float32), write_audio)
    assert next(results).voice.name == "a.npz"
    assert files_below(Path(".")) == {"a.npz", "b.npz", "c.npz", "a.wav"}


def test_full_disk_ends_the_rendering(make_voice):
    make_voice(1).save("a.npz")

    def write(*audio) -> None:
        raise OutputError("no space")

    with pytest.raises(OutputError, match="no space"):
        list(render_voices(voices_to_render("."), "wav", lambda codes: np.zeros(320, np.float32), write))


def test_voice_too_long_for_memory_is_skipped(make_voice):
    for name, seconds in (("a", 60), ("b", 1)):
        make_voice(seconds).save(f"{name}.npz")

    def decode(codes: np.ndarray) -> np.ndarray:
        if codes.shape[1] > 1000:
            raise torch.OutOfMemoryError("of 80 GiB, 79 are in use")
        return np.zeros(320, np.float32)

    long, short = render_voices(voices_to_render("."), "wav", decode, write_audio)
    assert "a.npz lasts 60 s" in long.reason and isinstance(short, Rendered)


def test_unexpected_exceptions_propagate(make_voice):
    make_voice(1).save("a.npz")
    with pytest.raises(RuntimeError, match="shapes"):
        list(
            render_voices(
                voices_to_render("."), "wav", lambda codes: (_ for _ in ()).throw(RuntimeError("shapes")), write_audio
            )
        )


@pytest.mark.parametrize("folder", ["missing", "file.npz", "nothing", "clips", "\0", "a" * 5000])
def test_folder_without_voices_raises_usage_error(folder):
    Path("file.npz").touch()
    Path("nothing").mkdir()
    Path("clips").mkdir()
    Path("clips/a.segments.npz").touch()
    with pytest.raises(UsageError, match="--render_npz_samples .*; give"):
        voices_to_render(folder)


def test_tilde_is_expanded(monkeypatch, tmp_path, make_voice):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    Path("mine").mkdir()
    make_voice(1).save("mine/a.npz")
    assert voices_to_render("~/mine") == [tmp_path / "mine" / "a.npz"]


# ---- the codec alone ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["huggingface_folder", "suno_folder"])
def test_codec_is_loaded_without_reading_the_stages(request, monkeypatch, bark, make_voice, layout):
    """No tensor of a stage is read, and the audio equals the whole model's."""
    folder, voice = request.getfixturevalue(layout), make_voice(1)
    read = []
    get = huggingface.Safetensors.__getitem__
    monkeypatch.setattr(huggingface.Safetensors, "__getitem__", lambda self, name: read.append(name) or get(self, name))
    for kind in (huggingface.HuggingFaceCheckpoint, suno.SunoCheckpoint):
        monkeypatch.setattr(kind, "stage", lambda self, stage: pytest.fail(f"reads the {stage} stage"))
    codec = load_codec(ModelChoice(str(folder), device="cpu"))
    assert not [name for name in read if name.startswith(("semantic", "coarse", "fine"))]
    np.testing.assert_array_equal(codec.decode(voice.fine), bark.decode([voice.fine])[0])


def test_demo_codec_decodes_like_the_whole_demo(codec, demo, make_voice):
    voice = make_voice(1)
    np.testing.assert_array_equal(codec.decode(voice.fine), demo.decode([voice.fine])[0])


@pytest.mark.parametrize("model", ["large", "small"])
def test_published_models_codec_is_loaded_without_its_other_files(suno_folder, bark, make_voice, model):
    voice = make_voice(1)
    shutil.copytree(suno_folder / "codec", Path(os.environ["XDG_CACHE_HOME"]) / "suno" / "bark_v0" / "codec")
    codec = load_codec(ModelChoice(model, device="cpu", offline=True))
    np.testing.assert_array_equal(codec.decode(voice.fine), bark.decode([voice.fine])[0])


def test_only_the_codec_of_a_published_model_is_downloaded(tmp_path):
    with pytest.raises(CheckpointError, match="facebook/encodec_24khz.*--offline"):
        load_codec(ModelChoice("large", device="cpu", offline=True, model_dir=str(tmp_path)))


def test_codec_is_read_from_a_cached_published_model(huggingface_folder, tmp_path, bark, make_voice):
    voice, snapshot = make_voice(1), tmp_path / "models--suno--bark" / "snapshots" / "0"
    shutil.copytree(huggingface_folder, snapshot)
    (tmp_path / "models--suno--bark" / "refs").mkdir()
    (tmp_path / "models--suno--bark" / "refs" / "main").write_text("0")
    codec = load_codec(ModelChoice("large", device="cpu", offline=True, model_dir=str(tmp_path)))
    np.testing.assert_array_equal(codec.decode(voice.fine), bark.decode([voice.fine])[0])


def test_codec_is_that_of_the_model_of_the_fine_stage():
    with pytest.raises(CheckpointError, match="--model nonsense"):
        load_codec(ModelChoice("nonsense", device="cpu"))
    with pytest.raises(CheckpointError, match="encodec_24khz"):
        load_codec(ModelChoice("demo", device="cpu", offline=True, small_stages=frozenset({"fine"})))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
def test_codec_placement_follows_cpu_stages():
    for stages, device in ((frozenset(), "cuda"), (frozenset({"codec"}), "cpu")):
        codec = load_codec(ModelChoice("demo", device="cuda", cpu_stages=stages))
        assert next(codec.model.parameters()).device.type == device
