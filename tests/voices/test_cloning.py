"""Cloning a voice from a recording: the tokens are those of plain `transformers` and torch calls on the same samples."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny
import torch
from safetensors.torch import load_file, save_file
from tiny import spread_codebooks
from tiny_hubert import PublishedQuantizer, make_hubert, put_quantizer, speech
from transformers import HubertModel

from bark_infinity import Voice
from bark_infinity.checkpoints.hub import Hub
from bark_infinity.checkpoints.hubert import HUBERT_REPO, QUANTIZER_FILE, QUANTIZER_REPO, read_hubert, read_quantizer
from bark_infinity.checkpoints.reading import rename
from bark_infinity.cli.main import main
from bark_infinity.errors import CheckpointError, VoiceError
from bark_infinity.model.hubert import SemanticEncoder
from bark_infinity.voices import compatibility
from bark_infinity.voices.cloning import Cloned, _prompts, clone_voice

CPU = torch.device("cpu")


def voice_of(cloned: Cloned) -> Voice:
    return Voice.from_prompts(cloned.prompts, "the cloned voice")


@pytest.fixture(scope="module")
def hubert() -> HubertModel:
    return make_hubert()


@pytest.fixture(scope="module")
def quantizer() -> PublishedQuantizer:
    return PublishedQuantizer(version=0)


@pytest.fixture
def models(hubert, quantizer, tmp_path) -> Path:
    """A folder as --model_dir may name it, filled by hand."""
    hubert.save_pretrained(tmp_path / "models" / HUBERT_REPO)
    put_quantizer(tmp_path / "models", quantizer)
    return tmp_path / "models"


@pytest.fixture
def hub(models) -> Hub:
    return Hub(str(models), offline=True)


@pytest.fixture
def recording() -> Path:
    soundfile.write("me.wav", speech(4.3, 24_000), 24_000, "FLOAT")
    return Path("me.wav")


def error_message(function, *arguments, error=CheckpointError) -> str:
    with pytest.raises(error) as raised:
        function(*arguments)
    assert "\n" not in str(raised.value)
    return str(raised.value)


# ---- tokens ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [0, 1])
def test_semantic_tokens_are_those_of_transformers(hubert, models, version):
    quantizer = PublishedQuantizer(version)
    path = put_quantizer(models, quantizer)
    wave = speech(3.0, 16_000)
    with torch.inference_mode():
        layers = hubert(torch.from_numpy(wave)[None], output_hidden_states=True).hidden_states
        wanted = quantizer.tokens(layers[9][0])  # hidden_states[0] is the input of the first layer
        others = [quantizer.tokens(layers[i][0]) for i in (7, 8, 10)]
    ours = SemanticEncoder(read_hubert(models / HUBERT_REPO), read_quantizer(path)).encode(wave)
    np.testing.assert_array_equal(ours, wanted)
    assert len(ours) == 149 and len(np.unique(ours)) > 20
    assert not any(np.array_equal(ours, other) for other in others)  # or the test could not tell the layers apart


@pytest.mark.parametrize("rate", [16_000, 24_000])
def test_cloned_tokens_are_the_encoders_tokens_of_the_recording(hubert, quantizer, hub, tmp_path, rate):
    """A 16 kHz recording reaches HuBERT without resampling, a 24 kHz one the codec."""
    bark = tiny.make_oracle(seed=7)
    codec = spread_codebooks(bark.codec_model)
    folder = tiny.save_huggingface(bark, tmp_path / "model")
    wave = np.concatenate([np.zeros(rate, np.float32), speech(4.0, rate), np.zeros(rate, np.float32)])
    soundfile.write("me.wav", wave, rate, "FLOAT")
    cloned = clone_voice(Path("me.wav"), str(folder), hub, CPU)
    assert 0.8 < cloned.start < 1.0 and 5.0 <= cloned.stop < 5.2
    part = torch.from_numpy(wave[round(cloned.start * rate) : round(cloned.stop * rate)])
    n, m = len(voice_of(cloned).semantic), voice_of(cloned).fine.shape[1]
    with torch.inference_mode():
        if rate == 16_000:
            features = hubert(part[None], output_hidden_states=True).hidden_states[9][0]
            np.testing.assert_array_equal(voice_of(cloned).semantic, quantizer.tokens(features)[-n:])
            assert len(features) - n <= 1 and len(np.unique(voice_of(cloned).semantic)) > 20
        else:
            codes = codec.encode(part[None, None], bandwidth=6.0).audio_codes[0, 0].numpy()
            np.testing.assert_array_equal(voice_of(cloned).fine, codes[:, -m:])
            assert codes.shape[1] - m <= 3 and len(np.unique(codes)) > 100
    np.testing.assert_array_equal(voice_of(cloned).coarse, voice_of(cloned).fine[:2])


@pytest.mark.parametrize("seconds", [2.7, 3.3, 4.3, 6.0])
def test_cloned_voice_has_the_asked_length_and_75_frames_to_49_9_tokens(hub, seconds):
    soundfile.write("me.wav", speech(7.0, 24_000) + 0.05, 24_000, "FLOAT")
    voice = voice_of(clone_voice(Path("me.wav"), "demo", hub, CPU, seconds))
    n, m = len(voice.semantic), voice.fine.shape[1]
    assert m == int(n * 75 / 49.9) and abs(m / 75 - seconds) < 0.3 and m / 75 <= seconds
    assert voice.aligned() is voice  # as every program reads it


@pytest.mark.parametrize(("tokens", "frames"), [(99, 150), (110, 150), (99, 200), (399, 600)])
def test_tokens_and_frames_are_cut_at_the_start_to_the_same_duration(tokens, frames):
    prompts = _prompts(np.arange(tokens), np.tile(np.arange(frames), (8, 1)))
    semantic, coarse, fine = (prompts[f"{name}_prompt"] for name in ("semantic", "coarse", "fine"))
    assert semantic[-1] == tokens - 1 and coarse[1, -1] == fine[7, -1] == frames - 1
    assert fine.shape[1] == coarse.shape[1] == int(len(semantic) * 75 / 49.9)
    assert len(semantic) == tokens or fine.shape[1] + 2 >= frames  # no more is cut than must be


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_stereo_recordings_at_other_rates_are_cloned_and_spoken_with(hub, demo, rate):
    soundfile.write("me.flac", np.stack([speech(3.0, rate), speech(3.0, rate, 1)], axis=1), rate, "PCM_16")
    cloned = clone_voice(Path("me.flac"), "demo", hub, CPU)
    assert (
        cloned.notes[0].startswith("the voice is made of seconds 0.0 to 3.0 of 3.0") and "2 channels" in cloned.notes[1]
    )
    assert bool(cloned.warnings) == (rate == 8_000)
    voice_of(cloned).save("me.npz")
    loaded = Voice.load("me.npz")
    np.testing.assert_array_equal(loaded.fine, voice_of(cloned).fine)
    with_voice, without = demo.speak("Hello", voice=loaded, seed=1), demo.speak("Hello", seed=1)
    assert np.isfinite(with_voice.audio).all() and not with_voice.silent
    assert not np.array_equal(with_voice.voice.semantic, without.voice.semantic)


# ---- model files ----------------------------------------------------------------------------------------------------


def test_hubert_is_read_from_the_published_pickle_layout(hubert, models):
    """A pickle with the old weight-norm names and tensors that cloning does not use."""
    folder = models / HUBERT_REPO
    wave = speech(2.0, 16_000)
    quantizer = read_quantizer(models / QUANTIZER_REPO / QUANTIZER_FILE)
    wanted = SemanticEncoder(read_hubert(folder), quantizer).encode(wave)
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    torch.save({rename(old, name): t for name, t in hubert.state_dict().items()}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    np.testing.assert_array_equal(SemanticEncoder(read_hubert(folder), quantizer).encode(wave), wanted)


def test_cloning_models_are_found_in_the_hub_cache(models, recording, tmp_path):
    from tiny import put_in_hub_cache

    for repo in (HUBERT_REPO, QUANTIZER_REPO):
        put_in_hub_cache(tmp_path / "cached", repo, models / repo)
    cached, by_hand = (Hub(str(folder), offline=True) for folder in (tmp_path / "cached", models))
    one, other = (voice_of(clone_voice(recording, "demo", hub, CPU)) for hub in (cached, by_hand))
    np.testing.assert_array_equal(one.semantic, other.semantic)


def test_missing_cloning_models_raise_an_error_naming_where_to_put_them(models, recording):
    for repo in (HUBERT_REPO, QUANTIZER_REPO):
        shutil.rmtree(models / repo)
        message = error_message(clone_voice, recording, "demo", Hub(str(models), offline=True), CPU)
        for part in (repo, "--offline is set", "--audio_file_as_history_prompt", "connect once", f"DIR/{repo}"):
            assert part in message
    assert "--model" not in message.replace("--model_dir", "")


def test_unreadable_recording_is_refused_before_models_are_loaded():
    Path("me.wav").write_text("Not me.")
    error_message(clone_voice, Path("me.wav"), "large", Hub("nowhere", offline=True), CPU, error=VoiceError)


def test_code_in_a_quantizer_pickle_is_not_executed(models, hub, recording):
    class Payload:
        def __reduce__(self):
            return os.system, ("touch executed",)

    torch.save({"lstm.weight_ih_l0": Payload()}, models / QUANTIZER_REPO / QUANTIZER_FILE)
    assert f"{QUANTIZER_FILE} asks to run" in error_message(clone_voice, recording, "demo", hub, CPU)
    assert not Path("executed").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("lstm.bias_hh_l1"), "lacks lstm.bias_hh_l1"),
        (lambda t: t.update(extra=torch.zeros(1)), "unknown extra"),
        (lambda t: t.update({"lstm.weight_hh_l1": torch.zeros(5, 24)}), "lstm.weight_hh_l1 of shape (5, 24)"),
        (lambda t: t.update({"fc.weight": torch.zeros(500, 24)}), "500 semantic tokens"),
        (lambda t: t.update({"fc.weight": torch.zeros(24)}), "no quantizer"),
        (lambda t: t.update({"lstm.weight_hh_l0": torch.zeros(96, 0)}), "no quantizer"),
        (lambda t: t.clear(), "no quantizer"),
    ],
)
def test_quantizer_with_wrong_tensors_is_refused(models, change, message):
    path = models / QUANTIZER_REPO / QUANTIZER_FILE
    tensors = dict(torch.load(path, weights_only=True))
    change(tensors)
    torch.save(tensors, path)
    found = error_message(read_quantizer, path)
    assert message in found and QUANTIZER_FILE in found and "published file" in found or "belong together" in found


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04" + bytes(100)])
def test_damaged_quantizer_file_is_refused_by_name(models, content):
    path = models / QUANTIZER_REPO / QUANTIZER_FILE
    path.write_bytes(content)
    assert QUANTIZER_FILE in error_message(read_quantizer, path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_hidden_layers": 8}, "no HuBERT of 9 layers"),
        ({"num_hidden_layers": "many"}, "no HuBERT of 9 layers"),
        ({"model_type": "bark"}, "no HuBERT"),
        ({"conv_stride": [5, 2, 2, 2, 2, 2, 1]}, "320 samples a step"),
        ({"conv_stride": "x"}, "no HuBERT's"),
        ({"hidden_size": 64}, "shape"),
    ],
)
def test_hubert_with_unsuitable_configuration_is_refused(models, change, message):
    path = models / HUBERT_REPO / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert message in error_message(read_hubert, models / HUBERT_REPO)


def test_hubert_with_a_missing_tensor_is_refused_naming_it(models):
    path = models / HUBERT_REPO / "model.safetensors"
    tensors = load_file(path)
    name = next(name for name in sorted(tensors) if name.startswith("encoder.layers.8."))
    save_file({k: v for k, v in tensors.items() if k != name}, path)
    assert f"lacks {name}" in error_message(read_hubert, models / HUBERT_REPO)


def test_quantizer_of_another_width_than_hubert_is_refused(models, hub, recording):
    shutil.rmtree(models / HUBERT_REPO)
    make_hubert(hidden_size=48).save_pretrained(models / HUBERT_REPO)
    message = error_message(clone_voice, recording, "demo", hub, CPU)
    assert "width 32" in message and "48" in message and QUANTIZER_REPO in message and HUBERT_REPO in message


@pytest.mark.parametrize("show", ["--dry_run", "--text_splits_only"])
def test_dry_run_refuses_the_recordings_that_the_run_refuses(capfd, monkeypatch, show):
    """Nothing is loaded: absent, unreadable and silent recordings, and a model that cannot clone."""
    monkeypatch.setitem(compatibility.SEMANTIC_VOCAB_SIZES, "demo", compatibility.DEMO_SEMANTIC_VOCAB_SIZE)
    soundfile.write("silent.wav", np.zeros(48_000), 24_000)
    Path("text.wav").write_text("no sound")
    soundfile.write("noise.wav", np.random.default_rng(0).normal(0, 0.1, 96_000), 24_000)
    for name, model, message in (
        ("absent.wav", "large", "absent.wav is no file"),
        ("text.wav", "large", "text.wav"),
        ("silent.wav", "large", "silent.wav is silent"),
        ("noise.wav", "demo", "semantic tokens of its own"),
    ):
        command = ["--model", model, "--audio_file_as_history_prompt", name, "--text_prompt", "Hi."]
        status, stderr = main([*command, show, "--offline"]), " ".join(capfd.readouterr().err.split())
        assert status == 2 and message in stderr and "Traceback" not in stderr
    assert main(["--model", "large", "--audio_file_as_history_prompt", "noise.wav", "--text_prompt", "Hi.", show]) == 0
