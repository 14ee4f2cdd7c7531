"""Compiled attention of one step beside torch's, on rows of different lengths, and the threads it runs on."""

from __future__ import annotations

import ctypes
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bark_infinity.model import threads
from bark_infinity.model.attention import (
    Attention,
    CompiledAttention,
    CompiledPrefix,
    TorchAttention,
    TorchPrefix,
    split_heads,
)
from bark_infinity.model.decoding import CachedDecoder
from bark_infinity.model.gpt import CausalGPT, GPTConfig

pytest.importorskip("numba")
LENGTHS = [0, 1, 2, 3, 4, 5, 63, 100, 199, 7]
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 2e-2}


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def dtype(request) -> torch.dtype:
    return request.param


def random_cache(dtype: torch.dtype, rows: int = len(LENGTHS), heads: int = 3, length: int = 200):
    """Query with key and value, and a cache whose unused positions are NaN: reading one spoils the sum."""
    torch.manual_seed(1)
    qkv = 3 * torch.randn(rows, 1, 3, heads, 64)
    keys, values = (torch.randn(rows + 2, heads, length, 64).to(dtype) for _ in "kv")
    for row, filled in enumerate(LENGTHS[:rows]):
        keys[row, :, filled:] = values[row, :, filled:] = float("nan")
    return qkv, keys, values


def test_compiled_attention_equals_torchs_on_rows_of_any_length(dtype):
    qkv, keys, values = random_cache(dtype)
    expected_keys, expected_values = keys.clone(), values.clone()
    compiled = CompiledAttention(dtype).start(LENGTHS, torch.device("cpu"))(qkv, keys, values)
    TorchAttention(dtype).start(LENGTHS, torch.device("cpu"))(qkv, expected_keys, expected_values)
    assert torch.equal(keys.nan_to_num(9), expected_keys.nan_to_num(9)), "written in place, rounded as torch rounds"
    assert torch.equal(values.nan_to_num(9), expected_values.nan_to_num(9))
    for row, filled in enumerate(LENGTHS):
        query, _, _ = split_heads(qkv[row : row + 1])
        k, v = (x[row, :, : filled + 1].float()[None] for x in (keys, values))
        exact = F.scaled_dot_product_attention(query.double(), k.double(), v.double()).float()[0, :, 0]
        torch.testing.assert_close(compiled[row, 0], exact, atol=2e-6, rtol=2e-6)


def test_a_rows_bits_do_not_depend_on_its_neighbours_or_on_threads(dtype, two_threads):
    compiled = CompiledAttention(dtype)
    qkv, keys, values = random_cache(dtype)
    together = compiled.start(LENGTHS, torch.device("cpu"))(qkv, keys.clone(), values.clone())
    for row, filled in enumerate(LENGTHS):
        part = slice(row, row + 1)
        torch.set_num_threads(1 + row % 2)
        alone = compiled.start([filled], torch.device("cpu"))(qkv[part], keys[part].clone(), values[part].clone())
        assert torch.equal(alone[0], together[row])


def test_threads_of_our_own_do_the_same_work_where_torchs_cannot_be_called(dtype, two_threads, monkeypatch):
    compiled = CompiledAttention(dtype)
    qkv, keys, values = random_cache(dtype)
    expected = compiled.start(LENGTHS, torch.device("cpu"))(qkv, keys, values)
    monkeypatch.setattr(threads, "_openmp", lambda: None)
    for _ in range(20):
        assert torch.equal(compiled.start(LENGTHS, torch.device("cpu"))(qkv, keys, values), expected)


@pytest.mark.parametrize("openmp", [True, False])
def test_a_loop_runs_once_on_each_thread(openmp, monkeypatch):
    if not openmp:
        monkeypatch.setattr(threads, "_openmp", lambda: None)
    elif threads._openmp() is None:
        pytest.skip("this torch has no OpenMP library that can be called")
    calls: list[int] = []
    barrier = threading.Barrier(3)

    def note(argument: int) -> None:
        calls.append(argument)
        barrier.wait(timeout=10)  # passes only when three threads run at the same time

    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(note)
    threads.run_on_all_threads(ctypes.cast(function, ctypes.c_void_p).value, 17, 3)
    assert calls == [17, 17, 17]


def test_torchs_own_openmp_is_found_among_several():
    """Torch's wheels have it in their own folder; other packages that are loaded have copies of theirs."""
    own = [*(Path(torch.__file__).parent / "lib").glob("lib?omp.*")]
    if (found := threads._openmp()) is None or not own:
        pytest.skip("this torch has no OpenMP library of its own that can be called")
    expected = ctypes.CDLL(str(own[0])).GOMP_parallel
    assert ctypes.cast(found, ctypes.c_void_p).value == ctypes.cast(expected, ctypes.c_void_p).value


def wide_model(width: int = 128) -> CausalGPT:
    torch.manual_seed(0)
    model = CausalGPT(GPTConfig(2, width // 64, width, 96, 50, 50)).eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.dim() == 2:
            parameter.normal_(0, 0.1)
    return model


def test_a_decoder_gives_the_same_hidden_states_with_either_attention(dtype):
    """Through prefills, steps, rows that leave and rows that take their slots."""
    model = wide_model()
    rng = np.random.default_rng(0)
    prefixes = [model.token_embedding(torch.from_numpy(rng.integers(0, 50, n))) for n in (5, 17, 9, 30)]

    def hidden_states(attention: Attention) -> torch.Tensor:
        model.chosen_attention = attention
        decoder = CachedDecoder(model, 3, 64)
        decoder.prefill([0, 1, 2], prefixes[:3])
        states = [decoder.step(torch.tensor([1, 2, 3]) + k) for k in range(4)]
        decoder.prefill([1], prefixes[3:])
        states += [decoder.step(torch.tensor([4, 5, 6]))]
        decoder.keep([1, 2])
        return torch.cat([*states, decoder.step(torch.tensor([7, 8]))])

    with torch.inference_mode():
        expected = hidden_states(Attention(TorchAttention(torch.float32), TorchPrefix(torch.float32)))
        compiled = hidden_states(Attention(CompiledAttention(dtype), CompiledPrefix()))
    torch.testing.assert_close(compiled, expected, atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype])


# ---- prefixes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("positions", [1, 3, 31, 32, 33, 64, 65, 100, 257])
def test_compiled_attention_of_a_prefix_is_exact(positions, causal):
    """As exact as torch's in float32, also where large scores leave few positions a weight."""
    torch.manual_seed(positions)
    for size in (0.1, 1.0, 3.0):
        qkv = size * torch.randn(2, positions, 3, 3, 64)
        exact = TorchPrefix(torch.float64).attend(qkv, causal)
        error, torchs = (
            (prefix.attend(qkv, causal) - exact).abs().max() for prefix in (CompiledPrefix(), TorchPrefix())
        )
        assert error < 3 * torchs + 1e-6


def test_a_prefill_writes_each_rows_cache_as_far_as_the_row_reaches(dtype):
    torch.manual_seed(0)
    qkv, lengths = torch.randn(3, 70, 3, 2, 64), [70, 9, 64]

    def prefill(prefix) -> tuple[torch.Tensor, torch.Tensor]:
        caches = torch.full((2, 3, 2, 80, 64), 7.0, dtype=dtype)
        output = prefix.prefill(qkv, [(caches[0, k], caches[1, k]) for k in range(3)], lengths)
        return torch.cat([output[row, :length] for row, length in enumerate(lengths)]), caches

    (compiled, compiled_caches), (expected, caches) = prefill(CompiledPrefix()), prefill(TorchPrefix(torch.float32))
    assert torch.equal(compiled_caches, caches) and (caches[:, 1, :, 9:] == 7).all()
    torch.testing.assert_close(compiled, expected, atol=5e-6, rtol=5e-6)


def test_a_prefixs_bits_do_not_depend_on_neighbours_or_threads(two_threads):
    torch.manual_seed(0)
    prefix, qkv = CompiledPrefix(), torch.randn(3, 100, 3, 2, 64)
    together = prefix.attend(qkv, True)
    for row in range(3):
        torch.set_num_threads(1 + row % 2)
        assert torch.equal(prefix.attend(qkv[row : row + 1], True)[0], together[row])
