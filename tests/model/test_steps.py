"""Whole steps in compiled code against the same layers called one at a time."""

from __future__ import annotations

import pytest
import torch

from bark_infinity.model import steps, threads
from bark_infinity.model.attention import Attention, CompiledAttention, CompiledPrefix, TorchAttention, TorchPrefix
from bark_infinity.model.decoding import CachedDecoder
from bark_infinity.model.gpt import CausalGPT, GPTConfig
from bark_infinity.model.precision import pack, packed_layer, working_type
from bark_infinity.model.steps import CompiledBlocks, compile_narrow_steps
from bark_infinity.model.threads import load_loops

PREFIXES = (20, 2, 33, 1, 7, 8, 9, 30, 11)  # lengths, of nine rows


@pytest.fixture(params=[torch.int8, torch.bfloat16, torch.float32], ids=["int8", "bfloat16", "float32"])
def make_model(request, needs_int8_loops):
    if request.param != torch.int8 and not (load_loops().HAS_WIDE and packed_layer(torch.ones(32, 32), request.param)):
        pytest.skip("this processor has no AVX512, or torch cannot pack weights for it")

    def make(bias: bool = True) -> CausalGPT:
        torch.manual_seed(1)
        model = CausalGPT(GPTConfig(2, 2, 128, 96, 60, 60, bias=bias, norm_bias=bias)).eval().requires_grad_(False)
        for name, parameter in model.named_parameters():
            torch.nn.init.normal_(parameter, mean=float("norm.weight" in name), std=0.1)
            if "norm" not in name:
                parameter.data = parameter.data.to(torch.bfloat16).to(working_type(request.param))
        kept = torch.float32 if request.param == torch.float32 else torch.bfloat16
        model.chosen_attention = Attention(CompiledAttention(kept), TorchPrefix(torch.float32))
        pack(model, request.param, compiled_steps=True)
        return model

    return make


def hidden_states(model: CausalGPT, rows: range, n_steps: int = 5) -> torch.Tensor:
    """Of some of the rows of PREFIXES: (steps, rows, width)."""
    with torch.inference_mode():
        decoder = CachedDecoder(model, len(rows), 96)
        prefixes = [model.token_embedding(torch.arange(PREFIXES[row])) for row in rows]
        decoder.prefill(range(len(rows)), prefixes)
        return torch.stack([decoder.step(torch.tensor([row + k for row in rows])).clone() for k in range(n_steps)])


@pytest.mark.parametrize("bias", [False, True])
def test_a_compiled_step_equals_its_layers_called_one_at_a_time(make_model, monkeypatch, bias):
    model = make_model(bias)
    ran = []
    run = threads.Program.run
    monkeypatch.setattr(threads.Program, "run", lambda program: (ran.append(program), run(program)))
    compiled = hidden_states(model, range(9))
    assert len(ran) == 5, "one call a step"
    monkeypatch.setattr(CompiledBlocks, "works_for", lambda _: False)
    one_at_a_time = hidden_states(model, range(9))
    assert len(ran) == 5
    # norms round differently, which moves an input to the next of 127 levels now and then
    assert (compiled - one_at_a_time).norm() < 0.01 * one_at_a_time.norm()


def test_float32_steps_with_bfloat16_numbers_as_weights_lose_nothing(make_model, request):
    model = make_model()
    if model.working_type != torch.float32:
        pytest.skip("for float32 alone")
    compiled = hidden_states(model, range(9))
    torch.manual_seed(1)
    plain = CausalGPT(model.config).eval().requires_grad_(False)
    for name, parameter in plain.named_parameters():
        torch.nn.init.normal_(parameter, mean=float("norm.weight" in name), std=0.1)
        if "norm" not in name:
            parameter.data = parameter.data.to(torch.bfloat16).float()
    assert torch.allclose(compiled, hidden_states(plain, range(9)), atol=2e-5)


@pytest.mark.parametrize("calls", ["together", "one at a time"])
@pytest.mark.parametrize("prefix", [CompiledPrefix, TorchPrefix])
@pytest.mark.parametrize(("bias", "heads", "width"), [(False, 4, 224), (True, 2, 96), (True, 2, 128)])
def test_narrow_heads_filled_up_with_zeros_lose_nothing(
    needs_int8_loops, monkeypatch, bias, heads, width, prefix, calls
):
    if not load_loops().HAS_WIDE:
        pytest.skip("this processor has no AVX512")
    if calls == "one at a time":
        monkeypatch.setattr(CompiledBlocks, "works_for", lambda _: False)
    plain, compiled = (
        CausalGPT(GPTConfig(2, heads, width, 96, 60, 60, bias=bias, norm_bias=bias)).eval().requires_grad_(False)
        for _ in range(2)
    )
    torch.manual_seed(1)
    for (name, parameter), same in zip(plain.named_parameters(), compiled.parameters(), strict=True):
        torch.nn.init.normal_(parameter, mean=float("norm.weight" in name), std=0.1)
        parameter.data = parameter.data.to(torch.bfloat16).float()
        same.data = parameter.data.clone()
    compile_narrow_steps(compiled, prefix())
    assert torch.allclose(hidden_states(compiled, range(9)), hidden_states(plain, range(9)), atol=2e-5)


def test_a_rows_bits_do_not_depend_on_its_neighbours_or_on_threads(make_model):
    model, before = make_model(), torch.get_num_threads()
    together = hidden_states(model, range(9))
    try:
        for n_threads in (1, 2, 3):
            torch.set_num_threads(n_threads)
            for rows in (range(1), range(1, 4), range(9)):
                assert torch.equal(hidden_states(model, rows), together[:, rows.start : rows.stop])
    finally:
        torch.set_num_threads(before)


def test_rows_that_take_other_slots_keep_their_histories(make_model):
    model = make_model()
    with torch.inference_mode():
        decoder = CachedDecoder(model, 3, 96)
        decoder.prefill(range(3), [model.token_embedding(torch.arange(n)) for n in PREFIXES[:3]])
        decoder.step(torch.tensor([0, 1, 2]))
        assert decoder.keep([0, 2]) == [0, 2]
        moved = decoder.step(torch.tensor([1, 3])).clone()
    assert torch.equal(moved[:1], hidden_states(model, range(1), 2)[1])
    assert torch.equal(moved[1:], hidden_states(model, range(2, 3), 2)[1])


def test_steps_are_not_compiled_where_they_cannot_be(make_model, monkeypatch):
    model = make_model()
    assert CompiledBlocks.works_for(model)
    monkeypatch.setattr(steps, "can_run_programs", lambda: False)
    assert not CompiledBlocks.works_for(model), "torch's threads cannot be started from compiled code"
    monkeypatch.undo()
    model.chosen_attention = Attention(TorchAttention(torch.bfloat16), TorchPrefix())
    assert not CompiledBlocks.works_for(model), "attention that is torch's"
    model = CausalGPT(model.config)
    assert not CompiledBlocks.works_for(model), "layers in float32"


def test_programs_need_torchs_threads_only_for_more_than_one(monkeypatch):
    monkeypatch.setattr(threads, "_openmp", lambda: None)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert threads.can_run_programs()
        torch.set_num_threads(2)
        assert not threads.can_run_programs()
    finally:
        torch.set_num_threads(before)
