"""Reading both checkpoint layouts; missing, damaged, foreign and hostile files raise a one-line CheckpointError."""

from __future__ import annotations

import json
import re
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
from bark_infinity.checkpoints.reading import STAGES, rename
from bark_infinity.checkpoints.suno import SunoCheckpoint
from bark_infinity.errors import CheckpointError, VoiceError
from bark_infinity.model.codec import Codec, Encoder

OFFLINE = Hub(offline=True)


@pytest.fixture
def damaged_copy(huggingface_folder, tmp_path):
    """A copy of the checkpoint that the test may damage."""
    return shutil.copytree(huggingface_folder, tmp_path / "copy")


def load(folder) -> Bark:
    bark = Bark.load(str(folder), device="cpu", dtype="float32", offline=True)
    assert bark.codec  # wait for the loading thread, which may raise an error
    return bark


def rewrite(folder, change) -> None:
    """Save the weights of a folder again after calling `change` on the dict."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def error_message(folder) -> str:
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


def test_pickled_weights_are_read_in_transformers_layout(damaged_copy, bark):
    torch.save(load_file(damaged_copy / "model.safetensors"), damaged_copy / "pytorch_model.bin")
    (damaged_copy / "model.safetensors").unlink()
    assert np.array_equal(load(damaged_copy).speak("Hi", seed=1).voice.fine, bark.speak("Hi", seed=1).voice.fine)


def test_weights_split_over_several_files_are_read(damaged_copy, bark):
    tensors = load_file(damaged_copy / "model.safetensors")
    names = sorted(tensors)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for part, held in parts.items():
        save_file({name: tensors[name] for name in held}, damaged_copy / part)
    index = {"weight_map": {name: part for part, held in parts.items() for name in held}}
    (damaged_copy / "model.safetensors.index.json").write_text(json.dumps(index))
    (damaged_copy / "model.safetensors").unlink()
    assert np.array_equal(load(damaged_copy).speak("Hi", seed=1).voice.fine, bark.speak("Hi", seed=1).voice.fine)


def test_biases_are_read_where_the_checkpoint_has_them(tmp_path):
    oracle = tiny.make_oracle(seed=3, bias=True)
    folders = tiny.save_huggingface(oracle, tmp_path / "h"), tiny.save_suno(oracle, tmp_path / "s")
    generations = [load(folder).speak("Hello", seed=2) for folder in folders]
    assert np.array_equal(generations[0].voice.fine, generations[1].voice.fine)
    config = HuggingFaceCheckpoint.open(folders[0]).stage("semantic").config
    assert config.bias and config.norm_bias


def test_special_tokens_and_sizes_come_from_the_configuration(tmp_path):
    """A Bark of another size and with other special tokens gives transformers' tokens."""
    from rows import coarse_row, oracle_semantic, random_semantic, semantic_row

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
    row = semantic_row(bark, "Hello there", temperature=0, min_eos_p=None)
    tokens = bark.run_stage("semantic", [row])[0].tokens
    np.testing.assert_array_equal(tokens, oracle_semantic(oracle, row.text_ids, None))
    semantic, g = random_semantic(40) % 500, oracle.generation_config
    ours = bark.run_stage("coarse", [coarse_row(semantic, temperature=0)])[0]
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


def test_demo_is_complete_and_deterministic(demo):
    one, other = demo.speak("Hello", seed=1), Bark.load("demo", device="cpu").speak("Hello", seed=1)
    assert np.array_equal(one.audio, other.audio)
    assert 0.01 < one.audio.std() < 0.5 and abs(one.audio).max() <= 1.0


def test_bfloat16_model_keeps_norms_in_float32_and_speaks(huggingface_folder, bark):
    other = Bark.load(str(huggingface_folder), device="cpu", dtype="bfloat16")
    assert {stage.model.position_embedding.weight.dtype for stage in other.stages.values()} == {torch.bfloat16}
    assert {stage.model.norm.weight.dtype for stage in other.stages.values()} == {torch.float32}
    generation = other.speak("Hello", seed=1)
    assert generation.audio.dtype == np.float32 and np.isfinite(generation.audio).all() and not generation.silent


# ---- refusing -------------------------------------------------------------------------------------------------------


def test_truncated_weights_are_refused_as_damaged(damaged_copy):
    data = (damaged_copy / "model.safetensors").read_bytes()
    (damaged_copy / "model.safetensors").write_bytes(data[: len(data) // 2])
    assert "model.safetensors is damaged" in error_message(damaged_copy)


@pytest.mark.parametrize("keep", [10, 2000, 0.5])
def test_truncated_pickle_is_refused_by_name(suno_folder, tmp_path, keep):
    folder = shutil.copytree(suno_folder, tmp_path / "suno")
    data = (folder / "coarse_2.pt").read_bytes()
    (folder / "coarse_2.pt").write_bytes(data[: int(keep * len(data)) if keep < 1 else keep])
    assert "coarse_2.pt" in error_message(folder)


def test_code_in_a_pickle_is_not_executed(suno_folder, tmp_path):
    class Payload:
        def __reduce__(self):
            return open, (str(tmp_path / "executed"), "w")

    folder = shutil.copytree(suno_folder, tmp_path / "suno")
    torch.save({"model": {"x": Payload()}, "model_args": {}}, folder / "text_2.pt")
    assert "text_2.pt asks to run" in error_message(folder)
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
def test_missing_unknown_and_misshapen_tensors_are_refused(damaged_copy, change, message):
    rewrite(damaged_copy, change)
    assert message in error_message(damaged_copy)


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
def test_missing_and_invalid_files_are_refused(damaged_copy, file, content, message):
    (damaged_copy / file).unlink() if content is None else (damaged_copy / file).write_text(content)
    assert message in error_message(damaged_copy)


def test_sizes_absent_from_the_configuration_get_transformers_defaults(damaged_copy):
    config = json.loads((damaged_copy / "config.json").read_text())
    for section in ("semantic_config", "coarse_acoustics_config", "fine_acoustics_config"):
        config[section] = {
            k: v for k, v in config[section].items() if k not in ("block_size", "n_codes_total", "n_codes_given")
        }
    (damaged_copy / "config.json").write_text(json.dumps(config))
    assert load(damaged_copy).stages["fine"].model.config.n_codes_total == 8


@pytest.mark.parametrize("change", [{"num_filters": "x"}, {"upsampling_ratios": 7}, {"hidden_size": 24}])
def test_codec_configuration_that_contradicts_its_weights_is_refused(damaged_copy, change):
    config = json.loads((damaged_copy / "config.json").read_text())
    config["codec_config"] |= change
    (damaged_copy / "config.json").write_text(json.dumps(config))
    assert "codec" in error_message(damaged_copy)


def test_another_sample_rate_is_refused(damaged_copy):
    generation = json.loads((damaged_copy / "generation_config.json").read_text())
    (damaged_copy / "generation_config.json").write_text(json.dumps(generation | {"sample_rate": 48_000}))
    assert "48000 Hz" in error_message(damaged_copy)


def test_index_without_file_names_is_refused(damaged_copy):
    (damaged_copy / "model.safetensors.index.json").write_text('{"weight_map": {"a": 1}}')
    assert "does not say where the weights are" in error_message(damaged_copy)


def test_stages_with_different_vocabularies_are_refused(oracle, tmp_path, monkeypatch):
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


def test_zero_sizes_are_refused(damaged_copy):
    config = json.loads((damaged_copy / "config.json").read_text())
    config["coarse_acoustics_config"]["num_heads"] = 0
    (damaged_copy / "config.json").write_text(json.dumps(config))
    assert "n_head as 0" in error_message(damaged_copy)


def test_folder_or_name_that_is_not_a_model_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "holds no Bark" in error_message(tmp_path / "empty")
    assert "neither large, small, demo" in error_message("nonsense")


# ---- finding --------------------------------------------------------------------------------------------------------


def names(models: dict[str, str], hub: Hub) -> dict[str, str]:
    return {stage: checkpoint.name for stage, checkpoint in find_checkpoints(models, hub).items()}


def test_originals_cache_is_searched_before_the_hub_cache(suno_folder, huggingface_folder, tmp_path):
    models = dict.fromkeys(STAGES, "large")
    hub = Hub(cache=str(tmp_path / "hub"), offline=True)
    put_in_hub_cache(tmp_path / "hub", "suno/bark", huggingface_folder)
    assert set(names(models, hub).values()) == {"suno/bark"}
    original = tmp_path / "cache" / "suno" / "bark_v0"
    shutil.copytree(suno_folder, original)
    assert set(names(models, hub).values()) == {str(original)}
    (original / "coarse_2.pt").unlink()
    assert names(models, hub) == {"semantic": str(original), "coarse": "suno/bark", "fine": str(original)}


def test_small_and_large_stages_are_found_together(oracle, suno_folder, huggingface_folder, tmp_path):
    hub = Hub(cache=str(tmp_path / "hub"), offline=True)
    put_in_hub_cache(tmp_path / "hub", "suno/bark-small", huggingface_folder)
    original = tmp_path / "cache" / "suno" / "bark_v0"
    shutil.copytree(suno_folder, original)
    mixed = {"semantic": "small", "coarse": "large", "fine": "large"}
    assert names(mixed, hub) == {"semantic": "suno/bark-small", "coarse": str(original), "fine": str(original)}
    tiny.save_suno(oracle, tmp_path / "small", size="")
    shutil.copy(tmp_path / "small" / "text.pt", original)
    assert names(mixed, hub)["semantic"] == str(original)


def test_suno_folder_takes_tokenizer_and_codec_from_the_hub_cache(suno_folder, tmp_path, bark):
    folder = shutil.copytree(suno_folder, tmp_path / "suno")
    put_in_hub_cache(tmp_path / "hub", "bert-base-multilingual-cased", folder / "tokenizer")
    put_in_hub_cache(tmp_path / "hub", "facebook/encodec_24khz", folder / "codec")
    shutil.rmtree(folder / "tokenizer")
    shutil.rmtree(folder / "codec")
    with pytest.raises(CheckpointError, match="connect once"):
        Bark.load(str(folder), device="cpu", model_dir=str(tmp_path / "elsewhere"), offline=True)
    other = Bark.load(str(folder), device="cpu", dtype="float32", model_dir=str(tmp_path / "hub"), offline=True)
    assert np.array_equal(other.speak("Hi", seed=1).audio, bark.speak("Hi", seed=1).audio)


@pytest.fixture(scope="module")
def metas_codec():
    """A random codec of the published size, and its tensors as Meta's own file names them."""
    from tiny import spread_codebooks
    from transformers import EncodecConfig, EncodecModel

    torch.manual_seed(0)
    codec = spread_codebooks(EncodecModel(EncodecConfig()).eval())
    names = {
        "parametrizations.weight.original0": "weight_g",
        "parametrizations.weight.original1": "weight_v",
        ".codebook.": "._codebook.",
        "quantizer.layers.": "quantizer.vq.layers.",
        ".layers.": ".model.",
        "quantizer.vq.model.": "quantizer.vq.layers.",
    }
    state = {rename(names, name): tensor for name, tensor in codec.state_dict().items()}
    transposed = {3, 6, 9, 12}  # layers of the decoder
    return codec, {
        name.replace(".conv.", ".convtr.convtr." if _layer(name) in transposed else ".conv.conv."): tensor
        for name, tensor in state.items()
    }


def _layer(name: str) -> int | None:
    found = re.fullmatch(r"decoder\.model\.(\d+)\.conv\..*", name)
    return int(found[1]) if found else None


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_codec_that_sunos_package_left_spares_a_download(metas_codec, suno_folder, tmp_path, monkeypatch, wrapped):
    codec, state = metas_codec
    assert "decoder.model.3.convtr.convtr.weight_g" in state and "encoder.model.1.block.1.conv.conv.bias" in state
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    path = tmp_path / "torch" / "hub" / "checkpoints" / "encodec_24khz-d7cc33bc.th"
    path.parent.mkdir(parents=True)
    torch.save({"best_state": state} if wrapped else state, path)
    folder = shutil.copytree(suno_folder, tmp_path / "suno")
    shutil.rmtree(folder / "codec")
    weights = SunoCheckpoint(folder, Hub(str(tmp_path / "empty"), offline=True)).codec()
    codes = torch.randint(0, 1024, (8, 1, 20))
    with torch.inference_mode():
        expected = codec.decoder(codec.quantizer.decode(codes))[0, 0].numpy()
        wave = torch.randn(3_200)
        expected_codes = codec.quantizer.encode(codec.encoder(wave[None, None]), 6.0)[:, 0].numpy()
    np.testing.assert_array_equal(
        Codec(weights, torch.device("cpu"), "torch hub").decode(codes[:, 0].numpy()), expected
    )
    encoder = Encoder(weights, torch.device("cpu"), "torch hub")
    np.testing.assert_array_equal(encoder.encode(wave.numpy()), expected_codes)


def test_a_pickle_in_place_of_that_codec_is_not_run(suno_folder, tmp_path, monkeypatch):
    class Payload:
        def __reduce__(self):
            return open, (str(tmp_path / "executed"), "w")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save({"best_state": Payload()}, tmp_path / "hub" / "checkpoints" / "encodec_24khz-d7cc33bc.th")
    folder = shutil.copytree(suno_folder, tmp_path / "suno")
    shutil.rmtree(folder / "codec")
    with pytest.raises(CheckpointError, match=r"d7cc33bc\.th asks to run"):
        SunoCheckpoint(folder, Hub(str(tmp_path / "empty"), offline=True)).codec().read()
    assert not (tmp_path / "executed").exists()


def test_offline_without_a_model_raises_an_error_naming_three_remedies():
    with pytest.raises(CheckpointError) as error:
        Bark.load("large", device="cpu", offline=True)
    for way in ("connect once", "model a folder", 'model="demo"'):
        assert way in str(error.value)


def test_offline_opens_no_connection(monkeypatch):
    """Also when `HF_HUB_OFFLINE` does not forbid it."""
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
def test_configuration_with_a_windows_editors_encoding_is_read(encoding):
    Path("config.json").write_bytes('{"hidden_size": 8}'.encode(encoding))
    assert read_json(Path("config.json")) == {"hidden_size": 8}
