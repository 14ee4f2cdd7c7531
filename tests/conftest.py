"""Shared fixtures: tiny checkpoints in both layouts, the oracle they were saved from, and published voices if present."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"  # no test may reach the network
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run beside each other; threads that wait would be in the way

# As in a shell's background job, or under nohup: programs that tests start would ignore these signals too.
for _signal, _handler in (
    (signal.SIGINT, signal.default_int_handler),
    (getattr(signal, "SIGHUP", None), signal.SIG_DFL),
):
    if _signal is not None and signal.getsignal(_signal) is signal.SIG_IGN:
        signal.signal(_signal, _handler)

# Each run draws other examples, so that fewer in each do; tests that need more say so.
settings.register_profile("suite", max_examples=30)
settings.load_profile("suite")

SHARED_VOICES = Path(__file__).parents[2] / "shared" / "voices"


@pytest.fixture(autouse=True)
def _away_from_home(tmp_path, monkeypatch):
    """Every test has its own working folder and caches."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("SUNO_USE_SMALL_MODELS", "SUNO_OFFLOAD_CPU", "SUNO_ENABLE_MPS", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session", autouse=True)
def _babbling_demo():
    """In the tests' own process `--model demo` loads the Babbler, which takes a tenth of the demo's time.

    The demo itself is tried in test_demo.py, and in every process that a test starts.
    """
    from babbler import Babbler

    from bark_infinity import constants
    from bark_infinity.checkpoints import finding as checkpoints
    from bark_infinity.voices import compatibility

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(compatibility.SEMANTIC_VOCAB_SIZES, "demo", constants.SEMANTIC_VOCAB_SIZE)
        patch.setattr(checkpoints, "_open_demo", Babbler)
        yield


@pytest.fixture(scope="session")
def oracle():
    import tiny

    return tiny.make_oracle()


@pytest.fixture(scope="session")
def huggingface_folder(oracle, tmp_path_factory) -> Path:
    import tiny

    return tiny.save_huggingface(oracle, tmp_path_factory.mktemp("checkpoints") / "huggingface")


@pytest.fixture(scope="session")
def suno_folder(oracle, tmp_path_factory) -> Path:
    import tiny

    return tiny.save_suno(oracle, tmp_path_factory.mktemp("checkpoints") / "suno")


@pytest.fixture(scope="session")
def bark(huggingface_folder):
    """Our Bark with the oracle's weights."""
    from bark_infinity import Bark

    return Bark.load(str(huggingface_folder), device="cpu", dtype="float32")


@pytest.fixture
def as_on_cuda(bark, monkeypatch) -> Iterator[None]:
    """Use the CUDA code path: static buffers and noise drawn 16 steps ahead; a captured step is run eagerly."""
    from bark_infinity.model import decoding
    from bark_infinity.stages import coarse, semantic

    for stage in (semantic, coarse):
        monkeypatch.setattr(stage, "draws_ahead", lambda _: 16)
    monkeypatch.setattr(decoding, "can_capture", lambda _: True)
    yield
    for name in ("semantic", "coarse"):
        bark.stages[name].model.kept_decoder = None


@pytest.fixture
def decoders(monkeypatch) -> list:
    """The decoders that the stages create, which count their work."""
    from decoders import CountingDecoder

    from bark_infinity.stages import slots

    created = []

    def make(*arguments):
        created.append(CountingDecoder(*arguments))
        return created[-1]

    monkeypatch.setattr(slots, "make_decoder", make)
    return created


@pytest.fixture(scope="session")
def demo():
    from bark_infinity import Bark

    return Bark.load("demo", device="cpu")


@pytest.fixture(scope="session")
def shared_voices() -> Path:
    if not SHARED_VOICES.is_dir():
        pytest.skip("the published voices are not beside this checkout")
    return SHARED_VOICES


@pytest.fixture
def make_voice():
    """Random voices of a given length in seconds."""

    def make(seconds: float = 7.0, seed: int = 0):
        from bark_infinity import Voice

        rng = np.random.default_rng(seed)
        n, m = int(seconds * 49.9), int(int(seconds * 49.9) * 75 / 49.9)
        fine = rng.integers(0, 1024, (8, m))
        return Voice(rng.integers(0, 10_000, n), fine[:2], fine)

    return make


@pytest.fixture(scope="session")
def needs_int8_loops() -> None:
    """Skips where Numba is missing, or the processor lacks what its loops for int8 need."""
    pytest.importorskip("numba")
    from bark_infinity.model.threads import load_loops

    if not load_loops().HAS_PAIRS:
        pytest.skip("this processor has no AVX2")


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Torch has two threads for the length of a test, which may change their number."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)
