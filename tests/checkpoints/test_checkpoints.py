"""Both layouts read alike; what is missing, damaged, foreign or hostile is refused in one sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from tiny import put_in_hub_cache

from bark_infinity import Bark
from bark_infinity.checkpoints.finding import find_checkpoints
from bark_infinity.checkpoints.hub import Hub
from bark_infinity.checkpoints.huggingface import HuggingFaceCheckpoint, read_json
from bark_infinity.checkpoints.reading import STAGES
from bark_infinity.checkpoints.suno import SunoCheckpoint
from bark_infinity.errors import CheckpointError, VoiceError

OFFLINE = Hub(offline=True)


@pytest.fixture
def copied(huggingface_folder, tmp_path):
    """A checkpoint of our own to spoil."""
    return shutil.copytree(huggingface_folder, tmp_path / "spoiled")


def load(folder) -> Bark:
    bark = Bark.load(str(folder), device="cpu", dtype="float32", offline=True)
    assert bark.codec  # wait for its thread, which may have something to say
    return bark


def rewrite(folder, change) -> None:
    """Save the weights of a folder again after `change` has had the dict."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def complaint(folder) -> str:
    with pytest.raises(CheckpointError) as error:
        load(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


# ---- reading --------------------------------------------------------------------------------------------------------


def test_both_layouts_hold_the_same_weights(huggingface_folder, suno_folder):
    for stage in STAGES:
        one = HuggingFaceCheckpoint.open(huggingface_folder).stage(stage)
        other = SunoCheckpoint(suno_folder, OFFLINE).stage(stage)
        assert one.config == other.config
        for name in other.state:
            torch.testing.assert_close(one.state.get(name, other.state[name]), other.state[name], atol=0, rtol=0)


def test_pickled_weights_in_transformers_layout(copied, bark):
    torch.save(load_file(copied / "model.safetensors"), copied / "pytorch_model.bin")
    (copied / "model.safetensors").unlink()
    assert np.array_equal(load(copied).speak("Hi", seed=1).voice.fine, bark.speak("Hi", seed=1).voice.fine)


def test_weights_in_several_files(copied, bark):
    tensors = load_file(copied / "model.safetensors")
    names = sorted(tensors)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for part, held in parts.items():
        save_file({name: tensors[name] for name in held}, copied / part)
    index = {"weight_map": {name: part for part, held in parts.items() for name in held}}
    (copied / "model.safetensors.index.json").write_text(json.dumps(index))
    (copied / "model.safetensors").unlink()
    assert np.array_equal(load(copied).speak("Hi", seed=1).voice.fine, bark.speak("Hi", seed=1).voice.fine)


def test_biases_are_read_where_there_are_some(tmp_path):
    oracle = tiny.make_oracle(seed=3, bias=True)
    folders = tiny.save_huggingface(oracle, tmp_path / "h"), tiny.save_suno(oracle, tmp_path / "s")
    made = [load(folder).speak("Hello", seed=2) for folder in folders]
    assert np.array_equal(made[0].voice.fine, made[1].voice.fine)
    config = HuggingFaceCheckpoint.open(folders[0]).stage("semantic").config
    assert config.bias and config.norm_bias


def test_special_tokens_and_sizes_come_from_the_configuration(tmp_path):
    """A Bark of another size and with other ids says the same as transformers makes of it."""
    from rows import coarse_row, oracle_semantic, random_semantic, semantic_row

    from bark_infinity.stages.coarse import CoarseSettings
    from bark_infinity.stages.semantic import SemanticSettings

    spec = {
        "text_vocab": 1_000,
        "semantic_outputs": 520,
        "coarse_vocab": 2_600,
        "coarse_outputs": 2_548,
        "semantic_end": 500,
    }
    spec["semantic"] = {"eos_token_id": 500, "semantic_vocab_size": 500, "text_encoding_offset": 510}
    spec["semantic"] |= {"text_pad_token": 990, "semantic_infer_token": 991, "max_new_tokens": 300}
    spec["coarse"] = {"coarse_semantic_pad_token": 2_560, "coarse_infer_token": 2_561}
    oracle = tiny.make_oracle(seed=5, spec=spec)
    bark = load(tiny.save_huggingface(oracle, tmp_path / "other"))
    assert bark.spec.semantic_vocab_size == 500 and bark.spec.max_semantic_tokens == 300
    row = semantic_row(bark, "Hello there")
    tokens = bark.run_stage("semantic", [row], SemanticSettings(temperature=0, min_eos_p=None))[0].tokens
    np.testing.assert_array_equal(tokens, oracle_semantic(oracle, row.text_ids, None))
    semantic, g = random_semantic(40) % 500, oracle.generation_config
    ours = bark.run_stage("coarse", [coarse_row(semantic)], CoarseSettings(temperature=0))[0]
    theirs = oracle.coarse_acoustics.generate(
        torch.from_numpy(semantic)[None], g.semantic_config, g.coarse_acoustics_config
    )
    np.testing.assert_array_equal(ours, theirs.reshape(-1, 2).T.numpy() - np.array([[500], [1_524]]))


def test_a_voice_of_another_model_is_refused(tmp_path, make_voice):
    spec = {"text_vocab": 1_000, "semantic_outputs": 520, "coarse_vocab": 2_600, "semantic_end": 500}
    spec["semantic"] = {"eos_token_id": 500, "semantic_vocab_size": 500, "text_encoding_offset": 510}
    spec["semantic"] |= {"text_pad_token": 990, "semantic_infer_token": 991}
    spec["coarse"] = {"coarse_semantic_pad_token": 2_560, "coarse_infer_token": 2_561}
    bark = load(tiny.save_huggingface(tiny.make_oracle(spec=spec), tmp_path / "other"))
    with pytest.raises(VoiceError, match="made for another model"):
        bark.speak("Hi", voice=make_voice(3.0))


def test_the_demo_is_complete_and_always_the_same(demo):
    one, other = demo.speak("Hello", seed=1), Bark.load("demo", device="cpu").speak("Hello", seed=1)
    assert np.array_equal(one.audio, other.audio)
    assert 0.01 < one.audio.std() < 0.5 and abs(one.audio).max() <= 1.0


def test_bfloat16_speaks_the_same_length_of_context(huggingface_folder, bark):
    other = Bark.load(str(huggingface_folder), device="cpu", dtype="bfloat16")
    assert {stage.model.position_embedding.weight.dtype for stage in other.stages.values()} == {torch.bfloat16}
    assert {stage.model.norm.weight.dtype for stage in other.stages.values()} == {torch.float32}
    made = other.speak("Hello", seed=1)
    assert made.audio.dtype == np.float32 and np.isfinite(made.audio).all() and not made.silent


# ---- refusing -------------------------------------------------------------------------------------------------------


def test_truncated_weights(copied):
    data = (copied / "model.safetensors").read_bytes()
    (copied / "model.safetensors").write_bytes(data[: len(data) // 2])
    assert "model.safetensors is damaged" in complaint(copied)


@pytest.mark.parametrize("keep", [10, 2000, 0.5])
def test_truncated_pickle(suno_folder, tmp_path, keep):
    folder = shutil.copytree(suno_folder, tmp_path / "suno")
    data = (folder / "coarse_2.pt").read_bytes()
    (folder / "coarse_2.pt").write_bytes(data[: int(keep * len(data)) if keep < 1 else keep])
    assert "coarse_2.pt" in complaint(folder)


def test_a_pickle_that_runs_code_is_not_run(suno_folder, tmp_path):
    class Payload:
        def __reduce__(self):
            return open, (str(tmp_path / "executed"), "w")

    folder = shutil.copytree(suno_folder, tmp_path / "suno")
    torch.save({"model": {"x": Payload()}, "model_args": {}}, folder / "text_2.pt")
    assert "text_2.pt asks to run" in complaint(folder)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("coarse_acoustics.layers.1.mlp.in_proj.weight"), "lacks blocks.1.mlp_in.weight"),
        (lambda t: t.update({"semantic.extra.weight": torch.zeros(2)}), "unknown extra.weight"),
        (lambda t: t.update({"semantic.layernorm_final.weight": torch.zeros(5)}), "shape"),
        (lambda t: [t.pop(k) for k in list(t) if k.startswith("fine_acoustics.")], "no weights of the fine stage"),
        (lambda t: t.pop("codec_model.decoder.layers.0.conv.bias"), "codec"),
    ],
)
def test_foreign_tensors(copied, change, message):
    rewrite(copied, change)
    assert message in complaint(copied)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", "{", "config.json cannot be read"),
        ("config.json", "[]", "no JSON object"),
        ("config.json", "{}", "no semantic_config"),
        ("generation_config.json", '{"semantic_config": {"semantic_vocab_size": "many"}}', "semantic_vocab_size"),
        ("generation_config.json", '{"semantic_config": {"semantic_infer_token": 200000}}', "belong together"),
        ("vocab.txt", None, "no tokenizer"),
        ("model.safetensors", None, "neither model.safetensors"),
    ],
)
def test_broken_folders(copied, file, content, message):
    (copied / file).unlink() if content is None else (copied / file).write_text(content)
    assert message in complaint(copied)


def test_sizes_that_transformers_leaves_out_are_its_defaults(copied):
    config = json.loads((copied / "config.json").read_text())
    for section in ("semantic_config", "coarse_acoustics_config", "fine_acoustics_config"):
        config[section] = {
            k: v for k, v in config[section].items() if k not in ("block_size", "n_codes_total", "n_codes_given")
        }
    (copied / "config.json").write_text(json.dumps(config))
    assert load(copied).stages["fine"].model.config.n_codes_total == 8


@pytest.mark.parametrize("change", [{"num_filters": "x"}, {"upsampling_ratios": 7}, {"hidden_size": 24}])
def test_a_codec_configuration_that_does_not_fit(copied, change):
    config = json.loads((copied / "config.json").read_text())
    config["codec_config"] |= change
    (copied / "config.json").write_text(json.dumps(config))
    assert "codec" in complaint(copied)


def test_another_sample_rate_is_refused_and_not_ignored(copied):
    generation = json.loads((copied / "generation_config.json").read_text())
    (copied / "generation_config.json").write_text(json.dumps(generation | {"sample_rate": 48_000}))
    assert "48000 Hz" in complaint(copied)


def test_an_index_that_names_no_files(copied):
    (copied / "model.safetensors.index.json").write_text('{"weight_map": {"a": 1}}')
    assert "does not say where the weights are" in complaint(copied)


def test_stages_that_do_not_belong_together(oracle, tmp_path, monkeypatch):
    from bark_infinity.checkpoints import loading

    spec = {"text_vocab": 1_000, "semantic_outputs": 520, "coarse_vocab": 2_600, "semantic_end": 500}
    spec["semantic"] = {"eos_token_id": 500, "semantic_vocab_size": 500, "text_encoding_offset": 510}
    spec["semantic"] |= {"text_pad_token": 990, "semantic_infer_token": 991}
    spec["coarse"] = {"coarse_semantic_pad_token": 2_560, "coarse_infer_token": 2_561}
    other = tiny.save_huggingface(tiny.make_oracle(spec=spec), tmp_path / "other")
    original = tmp_path / "cache" / "suno" / "bark_v0"
    tiny.save_suno(oracle, original, size="")
    choice = loading.ModelChoice(str(other), "cpu", small_stages=frozenset({"semantic"}), offline=True)
    with pytest.raises(CheckpointError, match="cannot work together"):
        loading.load_models(choice)


def test_sizes_that_are_none(copied):
    config = json.loads((copied / "config.json").read_text())
    config["coarse_acoustics_config"]["num_heads"] = 0
    (copied / "config.json").write_text(json.dumps(config))
    assert "n_head as 0" in complaint(copied)


def test_folders_and_names_that_are_no_model(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "holds no Bark" in complaint(tmp_path / "empty")
    assert "neither large, small, demo" in complaint("nonsense")


# ---- finding --------------------------------------------------------------------------------------------------------


def names(models: dict[str, str], hub: Hub) -> dict[str, str]:
    return {stage: checkpoint.name for stage, checkpoint in find_checkpoints(models, hub).items()}


def test_large_is_found_in_the_originals_cache_first(suno_folder, huggingface_folder, tmp_path):
    models = dict.fromkeys(STAGES, "large")
    hub = Hub(cache=str(tmp_path / "hub"), offline=True)
    put_in_hub_cache(tmp_path / "hub", "suno/bark", huggingface_folder)
    assert set(names(models, hub).values()) == {"suno/bark"}
    original = tmp_path / "cache" / "suno" / "bark_v0"
    shutil.copytree(suno_folder, original)
    assert set(names(models, hub).values()) == {str(original)}
    (original / "coarse_2.pt").unlink()
    assert names(models, hub) == {"semantic": str(original), "coarse": "suno/bark", "fine": str(original)}


def test_stages_of_both_sizes_together(oracle, suno_folder, huggingface_folder, tmp_path):
    hub = Hub(cache=str(tmp_path / "hub"), offline=True)
    put_in_hub_cache(tmp_path / "hub", "suno/bark-small", huggingface_folder)
    original = tmp_path / "cache" / "suno" / "bark_v0"
    shutil.copytree(suno_folder, original)
    mixed = {"semantic": "small", "coarse": "large", "fine": "large"}
    assert names(mixed, hub) == {"semantic": "suno/bark-small", "coarse": str(original), "fine": str(original)}
    tiny.save_suno(oracle, tmp_path / "small", size="")
    shutil.copy(tmp_path / "small" / "text.pt", original)
    assert names(mixed, hub)["semantic"] == str(original)


def test_tokenizer_and_codec_of_a_suno_folder_from_the_hub_cache(suno_folder, tmp_path, bark):
    folder = shutil.copytree(suno_folder, tmp_path / "suno")
    put_in_hub_cache(tmp_path / "hub", "bert-base-multilingual-cased", folder / "tokenizer")
    put_in_hub_cache(tmp_path / "hub", "facebook/encodec_24khz", folder / "codec")
    shutil.rmtree(folder / "tokenizer")
    shutil.rmtree(folder / "codec")
    with pytest.raises(CheckpointError, match="connect once"):
        Bark.load(str(folder), device="cpu", model_dir=str(tmp_path / "elsewhere"), offline=True)
    other = Bark.load(str(folder), device="cpu", dtype="float32", model_dir=str(tmp_path / "hub"), offline=True)
    assert np.array_equal(other.speak("Hi", seed=1).audio, bark.speak("Hi", seed=1).audio)


def test_offline_with_nothing_there_names_the_three_ways_out():
    with pytest.raises(CheckpointError) as error:
        Bark.load("large", device="cpu", offline=True)
    for way in ("connect once", "--model a folder", "--model demo"):
        assert way in str(error.value)


def test_offline_opens_no_connection(monkeypatch):
    """Where nothing else forbids it."""
    import socket

    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    opened = []
    monkeypatch.setattr(socket.socket, "connect", lambda *a: opened.append(a))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: opened.append(a) or [])
    hub = Hub(cache="empty", offline=True)
    for model in ("large", "small", "someone/else"):
        with pytest.raises(CheckpointError, match="--offline is set"):
            find_checkpoints({"semantic": model}, hub)
    assert not opened


def test_presets_come_from_the_models_repository(tmp_path, make_voice):
    folder = tmp_path / "repo"
    voice = make_voice(3.0)
    (folder / "speaker_embeddings" / "v2").mkdir(parents=True)
    for name, array in voice.prompts().items():
        np.save(folder / "speaker_embeddings" / "v2" / f"en_speaker_6_{name}.npy", array)
    put_in_hub_cache(tmp_path / "hub", "suno/bark", folder)
    hub = Hub(cache=str(tmp_path / "hub"), offline=True)
    np.testing.assert_array_equal(hub.preset("v2/en_speaker_6")["fine_prompt"], voice.fine)
    with pytest.raises(VoiceError, match="connect once to download this voice"):
        hub.preset("announcer")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_configuration_saved_by_an_editor_of_windows_is_read(encoding):
    Path("config.json").write_bytes('{"hidden_size": 8}'.encode(encoding))
    assert read_json(Path("config.json")) == {"hidden_size": 8}
