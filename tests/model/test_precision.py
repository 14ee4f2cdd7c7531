"""Packed and int8 linear layers against plain float32, and independence of rows in a batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bark_infinity import Bark
from bark_infinity.errors import UsageError
from bark_infinity.model import precision
from bark_infinity.model.attention import attend_causally
from bark_infinity.model.choices import Choices, choose_dtype
from bark_infinity.model.compiled_layers import CompiledBfloat16Linear, CompiledInt8Linear, Int8Loops, quantised
from bark_infinity.model.decoding import CachedDecoder
from bark_infinity.model.devices import native_type
from bark_infinity.model.gpt import CausalGPT, GPTConfig
from bark_infinity.model.precision import (
    FusedInt8Linear,
    Int8Linear,
    Linear,
    PackedLinear,
    SteppingLinear,
    pack,
)
from bark_infinity.model.sampling import RowRandom
from bark_infinity.model.threads import load_loops
from bark_infinity.stages.coarse import CoarseRow
from bark_infinity.stages.fine import FineRow, FineSettings
from bark_infinity.stages.semantic import SemanticRow

TOLERANCE = {"float32": 1e-5, "bfloat16": 0.02, "int8": 0.05}  # relative error of logits against float32
needs_int8 = pytest.mark.skipif(
    not precision._works(Int8Linear, native_type()), reason="this torch has no oneDNN, and so no int8"
)
DTYPES = ["float32", "bfloat16", pytest.param("int8", marks=needs_int8)]
packs_bfloat16 = precision._works(PackedLinear, torch.bfloat16)
needs_packed_bfloat16 = pytest.mark.skipif(
    not packs_bfloat16, reason="this processor has no instructions for packed bfloat16, and its layers stay plain"
)


@pytest.fixture(scope="module", params=DTYPES)
def dtype(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def loaded(dtype, huggingface_folder) -> Bark:
    return Bark.load(str(huggingface_folder), device="cpu", dtype=dtype)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def relative_error(ours: torch.Tensor, exact: torch.Tensor) -> float:
    return float((ours.float() - exact).norm() / exact.norm())


# ---- one layer ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("with_bias", [False, True])
@needs_int8
def test_packed_and_int8_layers_match_the_plain_layer(with_bias, gelu):
    plain = Linear(96, 160, bias=with_bias).requires_grad_(False)
    x = random(2, 3, 96)
    exact = plain(x, gelu)
    packed = PackedLinear(plain.weight, plain.bias)(x, gelu)
    torch.testing.assert_close(packed, exact, atol=1e-5, rtol=1e-5)
    if packs_bfloat16:
        half = PackedLinear(plain.weight.bfloat16(), plain.bias.bfloat16() if with_bias else None)(x, gelu)
        assert half.dtype == torch.bfloat16 and relative_error(half, exact) < 0.01
    assert relative_error(Int8Linear(plain.weight, plain.bias)(x, gelu), exact) < 0.02


@needs_int8
def test_int8_rounds_to_the_levels_of_each_row_and_output():
    """By hand: weights (0.5, -1) are levels (64, -127) of 1/127; inputs (2, 1) are levels (127, 64) of 2/127."""
    layer = Int8Linear(torch.tensor([[0.5, -1.0]]).repeat(32, 1), None)
    levels = layer.levels
    second = round(levels / 2 + 1e-6)
    expected = (levels * 64 - second * 127) * (2 / levels) / 127
    torch.testing.assert_close(layer(torch.tensor([[2.0, 1.0]])), torch.full((1, 32), expected))


@needs_int8
def test_int8_handles_zero_inputs_and_zero_weights():
    layer = Int8Linear(torch.zeros(32, 16), torch.arange(32.0))
    torch.testing.assert_close(layer(torch.zeros(2, 16)), torch.arange(32.0).expand(2, 32))
    layer = Int8Linear(random(32, 16), None)
    assert not layer(torch.zeros(1, 16)).any()


@needs_int8
@pytest.mark.parametrize("kind", ["float32", pytest.param("bfloat16", marks=needs_packed_bfloat16), "int8"])
def test_row_is_bit_identical_in_any_batch(kind):
    weight, x = random(512, 2048), random(19, 2048, seed=1)
    layer = Int8Linear(weight, None) if kind == "int8" else PackedLinear(weight.to(getattr(torch, kind)), None)
    together = layer(x)
    for rows in (1, 2, 5, 16):
        apart = torch.cat([layer(part) for part in x.split(rows)])
        assert torch.equal(apart, together), rows


# ---- whole stages ---------------------------------------------------------------------------------------------------


def test_logits_are_within_tolerance_of_float32(loaded, bark, dtype):
    ids = torch.randint(0, 10_000, (1, 200), generator=torch.Generator().manual_seed(4))

    def causal_logits(model) -> torch.Tensor:
        return model.logits(model(model.token_embedding(ids), torch.arange(200), attend_causally), 0, 10_000)

    codes = torch.randint(0, 1024, (1, 1024, 8), generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        for stage in ("semantic", "coarse"):
            ours, exact = (causal_logits(b.stages[stage].model) for b in (loaded, bark))
            assert relative_error(ours, exact) < TOLERANCE[dtype], stage
        ours, exact = (b.stages["fine"].model for b in (loaded, bark))
        assert (
            relative_error(ours.logits(ours(codes, 4), 4, 1024), exact.logits(exact(codes, 4), 4, 1024))
            < (TOLERANCE[dtype])
        )


def test_batched_rows_give_the_tokens_of_single_rows(loaded, make_voice):
    """In a batch and in the slot of a finished row, in every precision."""
    texts = ["Hello there.", "A second text, longer than the first.", "x", "One, two, three."]
    voices = [None, make_voice(2.0), make_voice(9.0, seed=1), make_voice(0.6, seed=2)]

    def semantic_rows():
        history = [np.zeros(0, int) if v is None else v.semantic for v in voices]
        return [
            SemanticRow(loaded.encode(t), h, RowRandom(k)) for k, (t, h) in enumerate(zip(texts, history, strict=True))
        ]

    alone = [loaded.run_stage("semantic", [row])[0].tokens for row in semantic_rows()]
    assert len({len(tokens) for tokens in alone}) > 1
    for ours, theirs in zip(loaded.run_stage("semantic", semantic_rows(), max_active=3), alone, strict=True):
        np.testing.assert_array_equal(ours.tokens, theirs)

    def coarse_rows():
        rows = []
        for k, voice in enumerate(voices):
            history = (np.zeros(0, int), np.zeros((2, 0), int)) if voice is None else (voice.semantic, voice.coarse)
            rows.append(CoarseRow(np.random.default_rng(k).integers(0, 10_000, 17 + 11 * k), *history, RowRandom(k)))
        return rows

    alone = [loaded.run_stage("coarse", [row])[0] for row in coarse_rows()]
    for ours, theirs in zip(loaded.run_stage("coarse", coarse_rows(), max_active=3), alone, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_every_stage_speaks_in_every_precision(loaded):
    generation = loaded.speak("Hello there.", seed=1)
    assert np.isfinite(generation.audio).all() and generation.audio.std() > 1e-3
    codes = np.random.default_rng(0).integers(0, 1024, (2, 20))
    (fine,) = loaded.run_stage("fine", [FineRow(codes, np.zeros((8, 0), int), RowRandom(1), FineSettings(0))])
    np.testing.assert_array_equal(fine[:2], codes)


def test_plain_layers_are_replaced_by_packed_ones(loaded, dtype):
    """Layers stay plain where the processor cannot multiply packed weights of the dtype."""
    kind = Int8Linear if dtype == "int8" else PackedLinear if dtype == "float32" or packs_bfloat16 else Linear
    for stage in loaded.stages.values():
        layers = [m for block in stage.model.blocks for m in block.children() if not isinstance(m, torch.nn.LayerNorm)]
        assert len(layers) == 4 * len(stage.model.blocks) and all(type(layer) is kind for layer in layers)


# ---- the choice -----------------------------------------------------------------------------------------------------


def test_int8_is_refused_on_a_gpu_and_without_onednn(monkeypatch, huggingface_folder):
    with pytest.raises(UsageError, match="--dtype int8 is for the CPU"):
        choose_dtype("int8", torch.device("cuda"), 1024, Choices(None))
    monkeypatch.setattr(precision, "_works", lambda *_: False)
    with pytest.raises(UsageError, match="needs a torch with oneDNN"):
        Bark.load(str(huggingface_folder), device="cpu", dtype="int8")
    plain = Bark.load(str(huggingface_folder), device="cpu", dtype="bfloat16")  # slower, with the same result
    assert type(plain.stages["coarse"].model.blocks[0].qkv) is Linear
    assert len(plain.speak("Hi.", seed=1).audio)


# ---- threads --------------------------------------------------------------------------------------------------------


def test_number_of_threads_is_the_number_of_physical_cores(tmp_path, monkeypatch):
    import os

    from bark_infinity.model import devices

    for cpu, siblings in enumerate(["0,2", "1,3", "0,2", "1,3"]):
        folder = tmp_path / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(siblings)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    assert devices._physical_cores(tmp_path) == 2
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2}, raising=False)
    assert devices._physical_cores(tmp_path) == 1


def test_omp_num_threads_is_respected(monkeypatch):
    from bark_infinity.model import devices

    thread_counts = []
    monkeypatch.setattr(torch, "set_num_threads", thread_counts.append)
    monkeypatch.setattr(devices, "processor_limit", lambda: 0.5)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    devices.use_physical_cores()
    assert thread_counts == []
    monkeypatch.delenv("OMP_NUM_THREADS")
    devices.use_physical_cores()
    assert thread_counts == [1]


# ---- int8 in compiled loops -----------------------------------------------------------------------------------------


@pytest.fixture
def needs_wide_vectors(needs_int8_loops) -> None:
    if not load_loops().HAS_WIDE:
        pytest.skip("this processor has no AVX512")


@pytest.fixture(params=["pairs", "quads"])
def int8_loops(request, needs_int8_loops) -> Int8Loops:
    """Every kind of loops that this processor can run."""
    loops = load_loops()
    if request.param == "pairs":
        return Int8Loops.of_pairs(loops)
    if not loops.HAS_QUADS:
        pytest.skip("this processor has no AVX512-VNNI")
    return Int8Loops.of_quads(loops)


@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize(("channels", "outputs"), [(64, 48), (1024, 1), (48, 100)])
def test_compiled_int8_is_the_product_with_the_quantised_weights(int8_loops, channels, outputs, gelu):
    """For any number of rows, also an odd one, and of outputs, up to half a level of each input."""
    torch.manual_seed(0)
    weight, bias = torch.randn(outputs, channels), torch.randn(outputs)
    layer = CompiledInt8Linear(weight, bias, loops=int8_loops)
    levels = 4095 if int8_loops.level_type == torch.int16 else 127
    integers, scale = quantised(weight)
    exact = torch.nn.Linear(channels, outputs)
    exact.weight.data, exact.bias.data = integers.float() * scale[:, None], bias
    with torch.inference_mode():
        for rows in (1, 2, 3, 4, 5, 7, 16, 33):
            sizes = torch.logspace(-3, 3, rows)[:, None, None]
            x = torch.randn(rows, 1, channels) * sizes
            at_levels = torch.randint(-levels, levels + 1, x.shape).float()
            at_levels[..., 0] = levels  # then no level is rounded
            for given, tolerance in ((at_levels * 0.25, 2e-6), (x, 0.51 / levels)):
                expected = exact(given)
                expected = torch.nn.functional.gelu(expected) if gelu else expected
                found = layer(given, gelu)
                for row in range(rows):  # the error is in proportion to the row's largest input
                    largest = (given[row].abs().max() * weight.abs().sum(1).max()).item()
                    torch.testing.assert_close(found[row], expected[row], atol=tolerance * largest + 1e-6, rtol=1e-6)


def test_compiled_int8_rows_do_not_depend_on_neighbours_or_threads(int8_loops):
    torch.manual_seed(0)
    layer, x = CompiledInt8Linear(torch.randn(160, 64), torch.randn(160), loops=int8_loops), torch.randn(19, 1, 64)
    together = layer(x)
    before = torch.get_num_threads()
    try:
        for n_threads in (1, 2, 3):
            torch.set_num_threads(n_threads)
            for n in (1, 2, 3, 6, 11, 19):
                assert torch.equal(layer(x[:n]), together[:n])
                assert torch.equal(layer(x[-n:]), together[-n:])
    finally:
        torch.set_num_threads(before)


def test_compiled_gelu_is_the_exact_one(int8_loops):
    """Of the sums themselves: one weight, whose products are the inputs."""
    layer = CompiledInt8Linear(torch.eye(16), None, loops=int8_loops)
    x = torch.linspace(-12, 12, 4095).repeat_interleave(16).reshape(-1, 1, 16)
    torch.testing.assert_close(layer(x, gelu=True), torch.nn.functional.gelu(layer(x)), atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize(("channels", "outputs"), [(64, 48), (1023, 1), (48, 100)])
def test_compiled_bfloat16_multiplies_unrounded_inputs(needs_wide_vectors, channels, outputs, gelu):
    torch.manual_seed(0)
    weight, bias, x = torch.randn(outputs, channels), torch.randn(outputs), torch.randn(19, 1, channels)
    layer = CompiledBfloat16Linear(weight, bias)
    exact = torch.nn.functional.linear(x.double(), weight.bfloat16().double(), bias.double())
    exact = (torch.nn.functional.gelu(exact) if gelu else exact).float()
    for rows in (1, 2, 3, 4, 5, 7, 8, 19):
        torch.testing.assert_close(layer(x[:rows], gelu), exact[:rows], atol=2e-5 * channels**0.5, rtol=1e-5)
        assert torch.equal(layer(x[-rows:], gelu), layer(x, gelu)[-rows:]), "rows depend on their neighbours"


def test_fused_int8_is_int8_with_less_around_it(needs_int8_loops):
    """The same integers, but where an input is half-way between two levels."""
    torch.manual_seed(0)
    weight, bias, x = torch.randn(96, 64), torch.randn(96), torch.randn(2, 37, 64) * 10
    for own_bias in (None, bias):
        plain, fused = Int8Linear(weight, own_bias), FusedInt8Linear(weight, own_bias)
        for gelu in (False, True):
            torch.testing.assert_close(fused(x, gelu), plain(x, gelu), atol=2e-3, rtol=1e-4)
    assert torch.equal(fused(x[1:], gelu=True), fused(x, gelu=True)[1:])


def test_compiled_gelu_is_not_slowed_by_numbers_near_zero(needs_int8_loops):
    """Results below float32's normal numbers take a hundred times as long to compute; there are none but 0."""
    layer = CompiledInt8Linear(torch.eye(16), None)
    y = layer(torch.linspace(-30, 30, 4096).reshape(-1, 1, 16), gelu=True)
    assert not ((y != 0) & (y.abs() < torch.finfo(torch.float32).tiny)).any()


def test_int8_steps_are_compiled_and_prefixes_are_not(needs_int8_loops, monkeypatch):
    layer = SteppingLinear.in_int8(torch.randn(32, 32), None)
    calls = []
    for kind in (CompiledInt8Linear, FusedInt8Linear):
        monkeypatch.setattr(kind, "forward", lambda self, x, gelu, kind=kind: calls.append(kind) or x)
    layer(torch.randn(5, 1, 32))
    layer(torch.randn(1, 5, 32))
    assert calls == [CompiledInt8Linear, FusedInt8Linear]


def test_a_stage_with_compiled_int8_steps_stays_within_tolerance(needs_int8_loops):
    """Logits within 5 % of float32's, through prefill, steps and head; the prefix itself is multiplied by oneDNN."""
    torch.manual_seed(0)
    config = GPTConfig(2, 2, 128, 96, 60, 60)

    def model() -> CausalGPT:
        torch.manual_seed(1)
        made = CausalGPT(config).eval().requires_grad_(False)
        for parameter in made.parameters():
            if parameter.dim() == 2:
                torch.nn.init.normal_(parameter, std=0.1)
        return made

    def logits(stage: CausalGPT) -> torch.Tensor:
        with torch.inference_mode():
            decoder = CachedDecoder(stage, 3, 96)
            decoder.prefill([0, 1, 2], [stage.token_embedding(torch.arange(n)) for n in (20, 7, 33)])
            return torch.stack([stage.logits(decoder.step(torch.tensor([k, k + 1, k + 2])), 0, 60) for k in range(9)])

    expected, quick = logits(model()), model()
    pack(quick, torch.int8, compiled_steps=True)
    assert type(quick.blocks[0].mlp_in) is SteppingLinear and quick.head.kind is CompiledInt8Linear
    assert (logits(quick) - expected).norm() < 0.05 * expected.norm()
