"""--convert_model: the converted model gives the same tokens here and in `transformers`; its folder is written whole or not at all."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shlex
import shutil
import stat
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
import torch
from rows import coarse_row, fine_row, oracle_semantic, semantic_row
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from bark_infinity import Bark
from bark_infinity.checkpoints import convert
from bark_infinity.checkpoints.finding import find_checkpoints
from bark_infinity.checkpoints.hub import Hub
from bark_infinity.checkpoints.reading import STAGES, build
from bark_infinity.cli.main import main, parse
from bark_infinity.errors import UsageError
from bark_infinity.model.attention import attend_causally
from bark_infinity.options.resolve import check_pairs, resolve
from bark_infinity.options.table import Options

CPU = torch.device("cpu")
OTHER_NUMBERS = {
    "text_vocab": 1_000,
    "semantic_outputs": 520,
    "coarse_vocab": 2_600,
    "coarse_outputs": 2_548,
    "semantic_end": 500,
    "semantic": {
        "eos_token_id": 500,
        "semantic_vocab_size": 500,
        "semantic_rate_hz": 49.7,
        "text_encoding_offset": 510,
        "text_pad_token": 990,
        "semantic_infer_token": 991,
        "max_new_tokens": 300,
    },
    "coarse": {"coarse_semantic_pad_token": 2_560, "coarse_infer_token": 2_561},
}
ODD_TEXTS = ("Hello there, You!", "café 中文字 [laughs] [MASK]", " a\n b\u00a0c x\u0301 \u200b", "", "A" * 150)


@pytest.fixture
def perform(capfd):
    """Runs a command line in this process: (exit status, stdout lines, stderr as one line)."""

    def run(line: str) -> tuple[int, list[str], str]:
        capfd.readouterr()
        status = main([*shlex.split(line), "--offline"])
        out, error = capfd.readouterr()
        return status, out.splitlines(), " ".join(error.split())

    return run


@pytest.fixture(scope="session")
def sources(oracle, huggingface_folder, suno_folder, tmp_path_factory) -> dict[str, str]:
    """Source models by name; each name says what is special about the model."""
    folder = tmp_path_factory.mktemp("sources")
    biased = tiny.save_suno(tiny.make_oracle(seed=3, bias=True), folder / "biased")
    other = tiny.save_huggingface(tiny.make_oracle(seed=5, spec=OTHER_NUMBERS), folder / "other")
    models = {"huggingface": huggingface_folder, "suno": suno_folder, "biased": biased, "other": other}
    return {**{name: str(path) for name, path in models.items()}, "demo": "demo"}


def stages_of(model: str) -> dict:
    """The checkpoint of each stage of a model."""
    return find_checkpoints(dict.fromkeys(STAGES, model), Hub(offline=True))


def load(model: str, dtype: str = "float32") -> Bark:
    return Bark.load(model, device="cpu", dtype=dtype, offline=True)


def greedy(bark: Bark) -> list[np.ndarray]:
    """Greedy tokens of every stage, and the audio decoded from the last stage's."""
    row = semantic_row(bark, "Hello there, you!", temperature=0, min_eos_p=None, max_gen_duration_s=0.6)
    semantic = bark.run_stage("semantic", [row])[0].tokens
    coarse = bark.run_stage("coarse", [coarse_row(semantic, temperature=0)])[0]
    fine = bark.run_stage("fine", [fine_row(coarse, temperature=0)])[0]
    return [semantic, coarse, fine, bark.decode([fine])[0]]


# ---- the same model -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "dtype"),
    [*((name, "float32") for name in ("huggingface", "suno", "biased", "other", "demo")), ("suno", "bfloat16")],
)
def test_converted_model_gives_the_same_greedy_tokens_and_audio(perform, sources, name, dtype):
    status, out, error = perform(f"--model {sources[name]} --convert_model 'my model' --dtype {dtype}")
    assert (status, out) == (0, ["my model"]) and f"--model './my model' --dtype {dtype}" in error
    before, after = stages_of(sources[name]), stages_of("my model")
    for stage in STAGES:
        assert after[stage].spec == before[stage].spec
        assert after[stage].stage(stage).config == before[stage].stage(stage).config
    for one, other in zip(greedy(load(sources[name], dtype)), greedy(load("my model", dtype)), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["huggingface", "biased", "other", "demo"])
def test_transformers_loads_it_and_gives_the_same_tokens(perform, sources, name):
    from transformers import AutoTokenizer, BarkModel
    from transformers.models.bark.generation_configuration_bark import BarkGenerationConfig

    assert perform(f"--model {sources[name]} --convert_model converted")[0] == 0
    theirs, loading_info = BarkModel.from_pretrained("converted", dtype=torch.float32, output_loading_info=True)
    assert not any(loading_info.values())
    config = json.loads(Path("converted/generation_config.json").read_text())
    config["semantic_config"] |= {"do_sample": False, "min_eos_p": None, "max_new_tokens": 60}
    config["coarse_acoustics_config"] |= {"do_sample": False}
    config["fine_acoustics_config"] |= {"temperature": None}
    oracle = SimpleNamespace(semantic=theirs.semantic.eval(), generation_config=BarkGenerationConfig(**config))
    ours, g = load("converted"), oracle.generation_config
    row = semantic_row(ours, "Hello there, you!", temperature=0, min_eos_p=None)
    semantic = ours.run_stage("semantic", [row])[0].tokens[:60]
    np.testing.assert_array_equal(semantic, oracle_semantic(oracle, row.text_ids, None)[:60])
    ids = torch.randint(0, 500, (2, 300), generator=torch.Generator().manual_seed(4))
    for stage, part in (("semantic", theirs.semantic), ("coarse", theirs.coarse_acoustics)):
        torch.testing.assert_close(causal_logits(ours, stage, ids), part(ids).logits[..., :500], atol=1e-4, rtol=1e-4)
    codes = torch.randint(0, 1024, (1, 1024, 8), generator=torch.Generator().manual_seed(5))
    model = ours.stages["fine"].model
    with torch.inference_mode():
        logits = model.logits(model(codes, 3), 3, 1024)
        torch.testing.assert_close(logits, theirs.fine_acoustics(3, codes).logits[..., :1024], atol=1e-4, rtol=1e-4)
    tokenizer = AutoTokenizer.from_pretrained("converted")
    for text in ODD_TEXTS:
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == ours.tokenizer.encode(text), text
    assert g.fine_acoustics_config.max_fine_input_length == ours.spec.fine_window


def causal_logits(bark: Bark, stage: str, ids: torch.Tensor) -> torch.Tensor:
    """Logits of the first 500 vocabulary entries."""
    model = bark.stages[stage].model
    with torch.inference_mode():
        return model.logits(model(model.token_embedding(ids), torch.arange(ids.shape[1]), attend_causally), 0, 500)


def test_transformers_samples_with_the_saved_generation_config(perform):
    from transformers import AutoProcessor, BarkModel

    assert perform("--model demo --convert_model converted")[0] == 0
    model = BarkModel.from_pretrained("converted", dtype=torch.float32)
    words = AutoProcessor.from_pretrained("converted")("Hello there")
    torch.manual_seed(0)
    first, second = (model.generate(**words, semantic_max_new_tokens=20, pad_token_id=10_000) for _ in "ab")
    assert first.shape[1] >= 3_000 and not torch.equal(first, second)  # it samples


def test_dtypes_and_tied_weights_of_the_converted_file(perform, suno_folder):
    assert perform(f"--model {suno_folder} --convert_model converted --dtype float16")[0] == 0
    tensors = load_file("converted/model.safetensors")
    for name, tensor in tensors.items():
        exact = name.startswith("codec_model.") or "layernorm" in name
        assert tensor.dtype == (torch.float32 if exact else torch.float16) or name.endswith(".attn.bias")
    assert not [name for name in tensors if "lm_heads" in name]
    assert json.loads(Path("converted/config.json").read_text())["dtype"] == "float16"


def test_untied_heads_are_kept(perform, huggingface_folder):
    folder = shutil.copytree(huggingface_folder, Path("untied"))
    tensors = load_file(folder / "model.safetensors")
    own = tensors["fine_acoustics.input_embeds_layers.3.weight"] + 1
    tied = tensors["fine_acoustics.input_embeds_layers.5.weight"].clone()
    tensors |= {"fine_acoustics.lm_heads.2.weight": own, "fine_acoustics.lm_heads.4.weight": tied}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    assert perform(f"--model {folder} --convert_model converted --dtype float32")[0] == 0
    heads = [name for name in load_file("converted/model.safetensors") if "lm_heads" in name]
    assert heads == ["fine_acoustics.lm_heads.2.weight"]
    assert torch.equal(stages_of("converted")["fine"].stage("fine").state["heads.2.weight"], own)


def test_stages_of_two_models_are_converted_together(perform, oracle, suno_folder):
    """The original's cache holds the large model and a different one as the small."""
    original = Path("cache/suno/bark_v0")
    shutil.copytree(suno_folder, original)
    small = tiny.save_suno(tiny.make_oracle(seed=9, bias=True), Path("small"), size="")
    for name in ("text.pt", "coarse.pt", "fine.pt"):
        shutil.copy(small / name, original)
    line = "--convert_model mixed --text_use_small --dtype float32"
    _, out, error = perform(f"{line} --dry_run")
    assert not out and "semantic stage from small, coarse stage from large, fine stage from large" in error
    assert perform(line)[0] == 0
    assert load("mixed").stages
    for stage, source in {"semantic": small, "coarse": suno_folder, "fine": suno_folder}.items():
        before, after = stages_of(str(source))[stage].stage(stage), stages_of("mixed")[stage].stage(stage)
        assert after.config == before.config
        assert all(torch.equal(after.state[name], before.state[name]) for name in after.state)


# ---- what is mapped into memory -------------------------------------------------------------------------------------


def test_weights_in_the_type_of_their_file_are_not_copied(perform, huggingface_folder):
    assert perform(f"--model {huggingface_folder} --convert_model converted")[0] == 0
    for folder, dtype in ((str(huggingface_folder), torch.float32), ("converted", torch.bfloat16)):
        for stage, checkpoint in stages_of(folder).items():
            weights = checkpoint.stage(stage)
            model = build(weights, stage, dtype, CPU, folder)
            places = {tensor.data_ptr() for tensor in weights.state.values()}
            assert {tensor.data_ptr() for tensor in model.state_dict().values()} == places
            assert all(tensor.data_ptr() % 4 == 0 for tensor in weights.state.values())


def test_tensors_are_aligned_in_the_file(perform):
    assert perform("--model demo --convert_model converted")[0] == 0
    file = safe_open("converted/model.safetensors", framework="pt")
    for tensor in (file.get_tensor(name) for name in file.keys()):  # noqa: SIM118, `file` is not a mapping
        assert tensor.data_ptr() % tensor.itemsize == 0
        assert tensor.data_ptr() % 64 == 0 or tensor.nbytes % 64


# ---- whole or absent ------------------------------------------------------------------------------------------------


def test_folder_and_files_follow_the_umask(perform):
    before = os.umask(0o027)
    try:
        assert perform("--model demo --convert_model new/folders/converted")[0] == 0
    finally:
        os.umask(before)
    assert os.listdir() == ["new"]
    files = {path: stat.S_IMODE(path.stat().st_mode) for path in Path("new").rglob("*")}
    assert {mode for path, mode in files.items() if path.is_dir()} == {0o750}
    assert {mode for path, mode in files.items() if path.is_file()} == {0o640}


def test_an_empty_folder_is_filled(perform):
    Path("real").mkdir()
    Path("link").symlink_to("real")
    assert perform("--model demo --convert_model link")[:2] == (0, ["link"])
    assert Path("link").is_symlink() and load("real").stages
    assert sorted(os.listdir()) == ["link", "real"]


def test_suggested_command_works_for_a_folder_named_like_a_model(perform):
    _, _, error = perform("--model demo --convert_model large --dtype float16")
    flags = error.split("speak with it: ")[1]
    assert perform(f"{flags} --text_prompt Hi --semantic_max_gen_duration_s 0.1 --fine_temp 0")[0] == 0


@pytest.mark.parametrize("more", ["", "--dry_run"])
@pytest.mark.parametrize("name", ["full", "file", "dangling"])
def test_existing_target_is_refused_and_unchanged(perform, name, more):
    Path("full").mkdir()
    Path("full/precious").touch()
    Path("file").touch()
    Path("dangling").symlink_to("nowhere")
    status, out, error = perform(f"--model demo --convert_model {name} {more}")
    assert (status, out) == (2, []) and error.startswith(f"error: --convert_model {name} is there already")
    assert sorted(os.listdir()) == ["dangling", "file", "full"] and os.listdir("full") == ["precious"]


@pytest.mark.parametrize("name", ["file/new", "x" * 300, "/proc/new/model"])
def test_unwritable_target_is_refused_before_the_model_is_read(perform, name):
    Path("file").touch()
    status, out, error = perform(f"--model nonsense --convert_model {name}")
    assert (status, out) == (2, []) and error.startswith(f"error: --convert_model {name} cannot be written")
    assert os.listdir() == ["file"]


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_failed_conversion_leaves_no_files(perform, monkeypatch, failure):
    def fail(plan):
        yield b"half of it"
        raise failure

    monkeypatch.setattr(convert, "_safetensors", fail)
    Path("empty").mkdir()
    for name in ("empty", "new/folder"):
        status, out, error = perform(f"--model demo --convert_model {name}")
        assert out == [] and error.count("error") == 1
        if isinstance(failure, OSError):
            assert status == 2 and f"{name} cannot be written (No space left on device); free space" in error
        assert os.listdir() == ["empty"] and not os.listdir("empty")


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("text_2.pt", lambda path: os.truncate(path, 5_000_000), "text_2.pt"),
        ("fine_2.pt", lambda path: os.truncate(path, 5_000), "fine_2.pt"),
        ("coarse_2.pt", os.unlink, "coarse_2.pt"),
        ("codec/model.safetensors", lambda path: os.truncate(path, 5_000), "model.safetensors is damaged"),
        ("codec/config.json", lambda path: path.write_text('{"num_filters": 8}'), "the codec in"),
        ("tokenizer/vocab.txt", os.unlink, "no tokenizer"),
    ],
)
def test_damaged_source_leaves_no_files(perform, suno_folder, file, change, message):
    shutil.copytree(suno_folder, "damaged")
    change(Path("damaged", file))
    status, out, error = perform("--model damaged --convert_model converted")
    assert (status, out) == (2, []) and message in error and error.startswith("error: ")
    assert os.listdir() == ["damaged"]


def test_incompatible_stages_are_not_converted(perform, sources, suno_folder):
    original = Path("cache/suno/bark_v0")
    original.mkdir(parents=True)
    shutil.copy(suno_folder / "text_2.pt", original / "text.pt")
    status, _, error = perform(f"--model {sources['other']} --text_use_small --convert_model converted")
    assert status == 2 and "cannot work together: semantic_vocab_size is 10000 and 500" in error
    assert os.listdir() == ["cache"]


def test_a_dry_run_writes_nothing(perform):
    status, out, error = perform("--model demo --convert_model converted --dry_run")
    assert (status, out) == (0, []) and "converted would become a model in bfloat16: semantic stage from demo" in error
    assert not os.listdir()


# ---- with other flags -----------------------------------------------------------------------------------------------


def test_dtype_int8_is_refused_for_a_file():
    options = Options(convert_model="converted", dtype="int8")
    with pytest.raises(UsageError, match="no int8, which is made of any checkpoint"):
        check_pairs(dataclasses.replace(resolve(Options()), convert_model="converted", dtype="int8"), options)


@pytest.mark.parametrize("name", ["text_prompt", "prompt_file", "from_manifest", "render_npz_samples"])
def test_convert_model_is_refused_beside_flags_of_a_run(perform, name):
    Path("some.json").write_text('{"format": 1}')
    status, _, error = perform(f"--model demo --convert_model converted --{name} some.json")
    assert status == 2 and not Path("converted").exists(), error


def test_reports_are_printed_before_converting(perform, monkeypatch):
    from bark_infinity.reports import catalogue as reports

    monkeypatch.setitem(reports.REPORTS, "detailed_cuda_report", lambda: "the report")
    status, out, error = perform("--model demo --convert_model converted --detailed_cuda_report")
    assert (status, out) == (0, ["converted"]) and "the report" in error


def test_convert_model_in_a_manifest_is_ignored():
    segments = [{"text": "Hi", "seeds": {}}]
    manifest = {"format": 1, "text": "Hi", "seed": 1, "prompt": 0, "take": 0, "segments": segments}
    Path("hostile.json").write_text(json.dumps(manifest | {"settings": {"convert_model": "climbed"}}))
    assert parse(["--from_manifest", "hostile.json"]).convert_model is None
