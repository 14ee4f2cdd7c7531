"""What is fastest here is measured once, kept in a file, and answered from it; damaged or unwritable files do no harm."""

from __future__ import annotations

import contextlib
import json
import time

import pytest
import torch

from bark_infinity.model import choices, threads
from bark_infinity.model.attention import Attention, CompiledAttention, CompiledPrefix, TorchAttention, TorchPrefix
from bark_infinity.model.choices import Choices, choices_file, choose_dtype, fastest_attention
from bark_infinity.model.gpt import CausalGPT, GPTConfig

LARGE = GPTConfig(24, 16, 1024, 1024, 1, 1)


def sleep(milliseconds: float):
    return lambda: time.sleep(milliseconds / 1000)


def test_the_fastest_admitted_way_is_found_and_all_are_measured():
    ways = {"slow": [(1.0, sleep(30))], "fast": [(1.0, sleep(1))], "fastest": [(1.0, sleep(0))]}
    measured = Choices(None).fastest("sleep", ways, ("slow", "fast"))
    assert measured.fastest == "fast" and set(measured.milliseconds) == set(ways)


def test_parts_count_as_often_as_they_occur():
    ways = {"rarely slow": [(1.0, sleep(20)), (100.0, sleep(0))], "often slow": [(1.0, sleep(0)), (100.0, sleep(3))]}
    measured = Choices(None).fastest("sleep", ways, ways)
    assert measured.fastest == "rarely slow" and measured.milliseconds["often slow"] >= 300


def test_an_answer_is_kept_for_later_processes(tmp_path):
    path = tmp_path / "new folder" / "measured.json"
    first = Choices(path).fastest("q", {"a": [(1.0, sleep(0))], "b": [(1.0, sleep(9))]}, "ab")
    reversed_ways = {"a": [(1.0, sleep(9))], "b": [(1.0, sleep(0))]}
    assert Choices(path).fastest("q", reversed_ways, "ab") == first
    assert Choices(path).known("another") is None
    assert Choices(path).fastest("q", reversed_ways, "b").fastest == "b", "what is not admitted is no answer"


def test_another_processor_or_torch_is_asked_again(tmp_path, monkeypatch):
    path = tmp_path / "measured.json"
    Choices(path).fastest("q", {"a": [(1.0, sleep(0))]}, "a")
    monkeypatch.setattr(choices, "cpu_capabilities", lambda: {"cpuname": "Another"})
    assert Choices(path).known("q") is None


def test_answers_of_processes_that_run_side_by_side_are_both_kept(tmp_path):
    path = tmp_path / "measured.json"
    one, other = Choices(path), Choices(path)
    one.fastest("one", {"a": [(1.0, sleep(0))]}, "a")
    other.fastest("other", {"a": [(1.0, sleep(0))]}, "a")
    assert Choices(path).known("one") and Choices(path).known("other")


@pytest.mark.parametrize(
    "content", ["", "[1, 2]", "{", '{"q": 3}', '{"q": {"fastest": "a", "milliseconds": []}}', "\0"]
)
def test_a_damaged_file_is_measured_anew(tmp_path, content):
    path = tmp_path / "measured.json"
    path.write_text(content, encoding="utf-8")
    assert Choices(path).fastest("q", {"a": [(1.0, sleep(0))]}, "a").fastest == "a"
    assert len(json.loads(path.read_text(encoding="utf-8"))) == 1


def test_a_folder_that_cannot_be_written_to_does_no_harm(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert Choices(tmp_path / "file" / "measured.json").fastest("q", {"a": [(1.0, sleep(0))]}, "a").fastest == "a"


def test_the_file_is_in_the_folder_for_caches(tmp_path, monkeypatch):
    monkeypatch.setattr(choices.sys, "platform", "linux")
    assert choices_file() == tmp_path / "cache" / "bark_infinity" / "measured.json"  # as conftest.py sets it
    monkeypatch.setattr(choices.sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "Local"))
    assert choices_file() == tmp_path / "Local" / "bark_infinity" / "measured.json"


# ---- types ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fastest", ["float32", "bfloat16"])
def test_auto_is_the_type_that_was_measured_fastest(monkeypatch, fastest):
    times = {"float32": 2.0, "bfloat16": 2.0, "int8": 1.0} | {fastest: 1.5}
    monkeypatch.setattr(choices, "_measure", lambda ways: {name: times[name] for name in times})
    monkeypatch.setattr(choices, "_products", lambda _: [("float32", ()), ("bfloat16", ())])
    assert choose_dtype("auto", torch.device("cpu"), 1024, Choices(None)) == getattr(torch, fastest)
    assert choose_dtype("int8", torch.device("cpu"), 1024, Choices(None)) == torch.int8


def test_auto_measures_this_processor():
    kept = Choices(None)
    dtype = choose_dtype("auto", torch.device("cpu"), 512, kept)
    times = choices.fastest_products(512, kept).milliseconds
    assert times[str(dtype).removeprefix("torch.")] == min(times.get(name, 1e9) for name in ("float32", "bfloat16"))


@pytest.mark.parametrize(("int8_ms", "advised"), [(40.0, True), (90.0, False), (None, False)])
def test_int8_is_advised_where_it_is_much_faster(monkeypatch, int8_ms, advised):
    times = {"float32": 100.0} | ({} if int8_ms is None else {"int8": int8_ms})
    monkeypatch.setattr(choices, "fastest_products", lambda *_: choices.Measured("float32", times))
    advice = choices.int8_advice(1024, Choices(None))
    assert (advice is not None) is advised
    assert advice is None or "--dtype int8 would multiply 2.5 times as fast as float32 here" in advice


def test_an_absurd_width_is_not_allocated(monkeypatch):
    widths = []
    monkeypatch.setattr(choices, "_products", lambda width: widths.append(width) or [("float32", ((1.0, sleep(0)),))])
    choose_dtype("auto", torch.device("cpu"), 10**9, Choices(None))
    assert widths == [4096]


def test_a_narrow_model_is_not_measured(monkeypatch):
    monkeypatch.setattr(choices, "_measure", None)
    assert choices.int8_advice(256, Choices(None)) is None
    assert choose_dtype("auto", torch.device("cpu"), 256, Choices(None)) == torch.float32


# ---- products in int8 -----------------------------------------------------------------------------------------------


NARROWEST = GPTConfig(1, 8, 512, 1024, 1, 1)
SMALL = {"block_size": 8, "input_vocab_size": 4, "output_vocab_size": 4}


@pytest.mark.parametrize("fastest", ["compiled", "oneDNN"])
def test_int8_steps_go_the_way_that_was_measured_fastest(monkeypatch, fastest, needs_int8_loops):
    measured = []

    def measure(ways):
        for (_, work), *_ in ways.values():
            work()
            measured.append(work)
        return {name: float(name != fastest) for name in ways}

    monkeypatch.setattr(choices, "_measure", measure)
    kept, attention = Choices(None), Attention(CompiledAttention(torch.bfloat16), TorchPrefix())
    for _ in range(2):
        assert choices.steps_are_compiled(NARROWEST, torch.int8, attention, kept) is (fastest == "compiled")
    assert len(measured) == 2, "once, both ways"
    assert not choices.steps_are_compiled(GPTConfig(1, 4, 256, 1024, 1, 1), torch.int8, attention, kept)


def test_narrow_steps_are_compiled_where_weights_are_bfloat16_numbers(monkeypatch, needs_int8_loops):
    if not threads.load_loops().HAS_WIDE:
        pytest.skip("this processor has no AVX512")

    def narrow(**sizes: int) -> CausalGPT:
        model = CausalGPT(GPTConfig(**{"n_layer": 1, "n_head": 1, "width": 64} | sizes, **SMALL)).requires_grad_(False)
        for parameter in model.parameters():
            parameter.data = torch.full_like(parameter, 0.5)
        return model

    wanted = choices.narrow_steps_are_compiled
    assert wanted(narrow(), torch.float32) and wanted(narrow(n_head=4, width=224), torch.float32)
    assert not wanted(narrow(), torch.bfloat16), "which has its own rule"
    assert not wanted(narrow(n_head=2), torch.float32), "heads of 32"
    attends = choices.narrow_loops_work
    assert attends(narrow(width=48).config, torch.float32) and not attends(narrow(n_head=2).config, torch.float32)
    assert not attends(narrow(n_head=8, width=512).config, torch.float32)
    assert not wanted(narrow(n_head=2, width=112), torch.float32), "no whole groups of outputs"
    assert not wanted(narrow(n_head=8, width=512), torch.float32), "not narrow"
    exact = narrow()
    exact.head.weight.data[0, 0] = 0.1
    assert not wanted(exact, torch.float32), "a weight that would be rounded"
    monkeypatch.setattr(threads.importlib, "import_module", lambda *_: 1 / 0)
    assert not wanted(narrow(), torch.float32), "without Numba"


def test_int8_steps_are_oneDNNs_where_nothing_can_be_compiled(monkeypatch):
    monkeypatch.setattr(threads.importlib, "import_module", lambda *_: 1 / 0)
    assert not choices.steps_are_compiled(NARROWEST, torch.int8, None, Choices(None))


# ---- attention ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "fastest", "kind", "cache"),
    [
        (torch.float32, "compiled float32", CompiledAttention, torch.float32),
        (torch.float32, "torch float32", TorchAttention, torch.float32),
        (torch.int8, "compiled bfloat16", CompiledAttention, torch.bfloat16),
        (torch.bfloat16, "torch float32", TorchAttention, torch.float32),
        (torch.bfloat16, "torch bfloat16", TorchAttention, torch.bfloat16),
    ],
)
def test_attention_is_the_one_that_was_measured_fastest(monkeypatch, dtype, fastest, kind, cache):
    pytest.importorskip("numba")
    monkeypatch.setattr(choices, "_measure", lambda ways: {name: float(name != fastest) for name in ways})
    chosen = fastest_attention(LARGE, dtype, Choices(None))
    assert type(chosen.step) is kind and chosen.step.cache_dtype == cache


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("fastest", ["compiled float32", "torch float32", "torch bfloat16"])
def test_attention_of_prefixes_is_the_one_that_was_measured_fastest(monkeypatch, fastest, causal):
    pytest.importorskip("numba")
    monkeypatch.setattr(choices, "_measure", lambda ways: {name: float(name != fastest) for name in ways})
    prefix = choices.fastest_prefix(LARGE, torch.bfloat16, Choices(None), causal)
    if fastest.startswith("torch"):
        assert isinstance(prefix, TorchPrefix) and str(prefix.dtype) == f"torch.{fastest.split()[1]}"
    else:
        assert isinstance(prefix, CompiledPrefix)


def test_without_numba_the_fastest_of_torchs_is_taken(monkeypatch, tmp_path):
    """Also where a file says that compiled loops were the fastest, from a time when Numba was there."""
    monkeypatch.setattr(choices, "_measure", lambda ways: {name: float("compiled" not in name) for name in ways})
    kept = tmp_path / "measured.json"
    with contextlib.suppress(ImportError):
        import numba  # noqa: F401

        assert isinstance(fastest_attention(LARGE, torch.float32, Choices(kept)).step, CompiledAttention)

    def fail(*_):
        raise ImportError("No module named 'numba'")

    monkeypatch.setattr(threads.importlib, "import_module", fail)
    chosen = fastest_attention(LARGE, torch.float32, Choices(kept))
    assert isinstance(chosen.step, TorchAttention) and chosen.step.cache_dtype == torch.float32


def test_models_that_gain_nothing_keep_torchs_attention():
    demo = GPTConfig(4, 4, 256, 1024, 1, 1)
    odd_heads = GPTConfig(24, 8, 1024, 1024, 1, 1)
    for config in (demo, odd_heads):
        assert fastest_attention(config, torch.float32, Choices(None)) is None
    assert fastest_attention(LARGE, torch.float16, Choices(None)) is None
