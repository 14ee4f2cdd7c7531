"""Reports show what the libraries report, fit the terminal, and never fail."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from huggingface_hub import constants as hub_constants
from huggingface_hub import scan_cache_dir
from rich.console import Console, RenderableType

from bark_infinity.model import choices, devices
from bark_infinity.options import resolve as option_rules
from bark_infinity.reports import arithmetic, cuda, hardware
from bark_infinity.reports.arithmetic import numpy_report
from bark_infinity.reports.catalogue import REPORTS
from bark_infinity.reports.hardware import gpu_report
from bark_infinity.reports.hub_cache import hub_cache_report
from bark_infinity.reports.tables import UNKNOWN, facts_table, known, size

GIB = 2**30


def shown(report: RenderableType, width: int = 80) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(report)
    text = console.export_text()
    assert all(len(line) <= width for line in text.splitlines())
    assert "…" not in text, "something is cut"
    return text


def rows(report: RenderableType, width: int = 200) -> list[list[str]]:
    """The cells of all tables in a report, line by line, without the headings."""
    lines = shown(report, width).splitlines()
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if "│" in line]


def fact(report: RenderableType, name: str) -> str:
    return next(row[1] for row in rows(report) if row[0] == name)


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture(autouse=True)
def _short_measurements(monkeypatch, tmp_path):
    for name, value in {
        "_BUDGET_S": 0.0,
        "_SIDE": 16,
        "_GPU_SIDE": 16,
        "_COPIED_BYTES": 2**20,
        "_FFT_NUMBERS": 64,
    }.items():
        monkeypatch.setattr(arithmetic, name, value)
    monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture
def two_gpus(monkeypatch):
    """An Ampere and a Turing GPU, as torch would describe them."""
    properties = [
        SimpleNamespace(name="Imaginary RTX 3090 Ti Founders Edition", total_memory=24 * GIB, multi_processor_count=82),
        SimpleNamespace(name="Imaginary T4", total_memory=16 * GIB, multi_processor_count=40),
    ]
    fakes = {
        "is_available": lambda: True,
        "device_count": lambda: 2,
        "get_device_name": lambda i: properties[i].name,
        "get_device_properties": lambda i: properties[i],
        "get_device_capability": lambda i: [(8, 6), (7, 5)][i],
        "mem_get_info": lambda i: (int(12.5 * GIB), 24 * GIB),
        "memory_allocated": lambda i: 3 * GIB,
        "memory_reserved": lambda i: 5 * GIB,
        "get_arch_list": lambda: ["sm_75", "sm_86"],
        "is_bf16_supported": lambda *_, **__: True,
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", REPORTS)
def test_every_report_fits_the_terminal(name, width, two_gpus, hub, monkeypatch):
    monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(hub))
    capabilities = {"cpu_name": "13th Gen Imaginary(R) Processor(TM) i9-13900HX with a long name @ 2.20GHz"}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert shown(REPORTS[name](), width).strip()


def test_every_flag_has_its_report():
    assert tuple(REPORTS) == option_rules.REPORTS


def test_nothing_slow_is_imported_before_a_report_is_built():
    code = "import sys, bark_infinity.reports.catalogue; sys.exit(bool({'torch', 'soundfile', 'huggingface_hub'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(option_rules.__file__).parents[2]).returncode == 0


@pytest.mark.parametrize("name", REPORTS)
def test_exceptions_of_libraries_are_shown_and_not_raised(name, monkeypatch):
    for library in ("torch", "huggingface_hub", "numpy", "soundfile"):
        monkeypatch.setitem(sys.modules, library, None)
    assert UNKNOWN in shown(REPORTS[name]())


def test_known():
    assert known(lambda: 1 / 0) == known(lambda: None) == known(lambda: "") == UNKNOWN
    assert (known(lambda: True), known(lambda: False), known(lambda: 0)) == ("yes", "no", "0")


def test_brackets_are_not_markup():
    assert fact(facts_table("[bold]", {"[red]x": lambda: "/a/[b]/c"}), "[red]x") == "/a/[b]/c"


@pytest.mark.parametrize(
    ("n", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (1.5 * 2**20, "1.5 MiB"), (1536 * GIB, "1,536.0 GiB")],
)
def test_size(n, text):
    assert size(n) == text


# ---- devices --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_cpu_is_the_device_without_a_gpu(monkeypatch, dtype):
    measured = choices.Measured(dtype, {"float32": 1755.66, "bfloat16": 902.0})
    monkeypatch.setattr(choices, "fastest_products", lambda width, _: measured)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.xpu, "is_available", lambda: False)
    monkeypatch.setattr(hardware, "memory", lambda: (32 * GIB, 20 * GIB))
    report = gpu_report()
    device = rows(report)[0]
    assert device[0] == "cpu" and device[2:5] == ["32.0 GiB", "20.0 GiB", torch.backends.cpu.get_cpu_capability()]
    assert fact(report, "threads torch uses") == str(torch.get_num_threads())
    assert f"{os.cpu_count()} logical" in fact(report, "cores")
    assert f"--device auto --dtype auto computes on cpu in {dtype}: torch sees no GPU" in flat(shown(report))
    assert "a layer of the large model takes 1,756 ms in float32, 902 ms in bfloat16" in flat(shown(report))


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="Linux alone has /proc")
def test_memory_on_linux():
    total, free = hardware.memory()
    assert total == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < free <= total


def test_cuda_devices_are_described(two_gpus):
    report = gpu_report()
    ampere, turing = rows(report)[:2]
    assert ampere == ["cuda:0", "Imaginary RTX 3090 Ti Founders Edition", "24.0 GiB", "12.5 GiB", "8.6", "yes"]
    assert turing == ["cuda:1", "Imaginary T4", "16.0 GiB", "12.5 GiB", "7.5", "emulated"]
    assert "computes on cuda in bfloat16: torch sees a CUDA GPU, which computes in bfloat16." in flat(shown(report))


def test_rocm_is_named(two_gpus, monkeypatch):
    monkeypatch.setattr(torch.version, "hip", "6.2")
    properties = SimpleNamespace(total_memory=GIB, gcnArchName="gfx1100")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: properties)
    device = rows(gpu_report())[0]
    assert (device[0], device[4], device[5]) == ("cuda:0 (ROCm)", "gfx1100", "yes")


def test_gpu_that_raises_errors_is_shown_as_unknown(two_gpus, monkeypatch):
    def fail(*_):
        raise RuntimeError("CUDA error: unspecified launch failure")

    for name in ("get_device_name", "get_device_properties", "mem_get_info", "get_device_capability"):
        monkeypatch.setattr(torch.cuda, name, fail)
    assert rows(gpu_report())[0] == ["cuda:0", *[UNKNOWN] * 5]
    assert rows(cuda.cuda_report())[-1][:4] == ["1", UNKNOWN, UNKNOWN, UNKNOWN]
    monkeypatch.setattr(torch.cuda, "device_count", fail)
    assert rows(gpu_report())[0][0] == "cpu"


def test_apple_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 20 * GIB)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 5 * GIB)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"cpu_name": "Apple M9", "bf16": True}, raising=False)
    report = gpu_report()
    assert rows(report)[0][:5] == ["mps", "GPU of Apple M9", "20.0 GiB", "15.0 GiB", "Metal"]
    assert rows(report)[1][1] == "Apple M9" and rows(report)[1][5] == "yes"
    assert "computes on mps in float32" in flat(shown(report))


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="Linux alone has /proc")
def test_cpu_capabilities_from_proc_match_torch(monkeypatch):
    theirs = devices.cpu_capabilities()
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    ours = devices.cpu_capabilities()
    for name in ("avx2", "avx512f", "avx512bf16", "amxbf16"):
        assert bool(ours.get(name)) == bool(theirs.get(name))
    assert ours.get("numphysicalcores", 1) >= 1


def test_unknown_processor_is_shown_as_unknown(monkeypatch):
    def fail():
        raise RuntimeError("failed to initialize cpuinfo")

    monkeypatch.setattr(torch.cpu, "get_capabilities", fail, raising=False)
    monkeypatch.setattr(hardware, "memory", fail)
    report = gpu_report()
    assert fact(report, "instruction sets") == UNKNOWN
    device = next(row for row in rows(report) if row[0] == "cpu")
    assert (device[2], device[3], device[5]) == (UNKNOWN, UNKNOWN, UNKNOWN)


# ---- CUDA -----------------------------------------------------------------------------------------------------------


def test_cuda_report_matches_torch(two_gpus, monkeypatch):
    monkeypatch.setattr(cuda, "output_of", lambda *_: "550.54.15\n550.54.15\n")
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91_002)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    report = cuda.cuda_report()
    expected = {
        "torch": torch.__version__,
        "built for": "CUDA 12.8",
        "cuDNN": "9.10.2",
        "NVIDIA driver": "550.54.15",
        "can be used": "yes",
        "GPUs": "2",
        "CUDA_VISIBLE_DEVICES": "0,1",
        "float32 products": torch.get_float32_matmul_precision(),
        "TF32 for products": known(lambda: torch.backends.cuda.matmul.allow_tf32),
        "compiled for": "sm_75, sm_86",
    }
    assert {name: fact(report, name) for name in expected} == expected
    assert rows(report)[-2:] == [
        ["0", "Imaginary RTX 3090 Ti Founders Edition", "82", "24.0 GiB", "3.0 GiB", "5.0 GiB"],
        ["1", "Imaginary T4", "40", "16.0 GiB", "3.0 GiB", "5.0 GiB"],
    ]


@pytest.mark.parametrize(("version", "text"), [(91_002, "9.10.2"), (90_100, "9.1.0"), (8_902, "8.9.2")])
def test_cudnn_version(version, text, two_gpus, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: version)
    assert fact(cuda.cuda_report(), "cuDNN") == text


DRIVER, NO_DRIVER = "550.54.15\n", "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."


@pytest.mark.parametrize(
    ("platform", "built", "smi", "mend"),
    [
        ("linux", {}, NO_DRIVER, "built for the CPU alone, and no NVIDIA driver answers"),
        ("linux", {}, DRIVER, "There is an NVIDIA driver, but this torch is built for the CPU alone: install one"),
        ("win32", {"cuda": "12.8"}, NO_DRIVER, "No NVIDIA driver answers (nvidia-smi): install"),
        ("linux", {"cuda": "12.8"}, "No devices were found\n", "The NVIDIA driver finds no GPU"),
        ("linux", {"cuda": "12.8"}, DRIVER, "new enough for CUDA 12.8"),
        ("linux", {"hip": "6.2"}, NO_DRIVER, "sees no AMD GPU"),
        ("darwin", {}, NO_DRIVER, "Apple's GPU is used through MPS"),
    ],
)
def test_report_says_why_cuda_is_unusable_and_the_remedy(platform, built, smi, mend, monkeypatch):
    monkeypatch.setattr(cuda, "sys", SimpleNamespace(platform=platform))
    monkeypatch.setattr(cuda, "output_of", lambda *_: smi)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name in ("cuda", "hip"):
        monkeypatch.setattr(torch.version, name, built.get(name))
    report = cuda.cuda_report()
    assert mend in flat(shown(report))
    assert fact(report, "can be used") == "no"
    assert fact(report, "NVIDIA driver").startswith(UNKNOWN if smi != DRIVER else "550.54.15")


def test_hidden_gpus_are_reported(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "unset it" in cuda.cuda_mend(driver=True, smi=DRIVER)


def test_program_that_hangs_or_is_absent_gives_unknown(monkeypatch):
    monkeypatch.setattr(hardware, "_TIMEOUT_S", 0.2)
    assert known(lambda: hardware.output_of(sys.executable, "-c", "import time; time.sleep(60)")) == UNKNOWN
    assert known(lambda: hardware.output_of("no-such-program-of-ours")) == UNKNOWN


# ---- the hub's cache ------------------------------------------------------------------------------------------------

REVISION = "0123456789abcdef0123456789abcdef01234567"


def make_repo(hub: Path, repo: str, files: dict[str, int]) -> Path:
    """A repository in the layout of the hub's cache without symbolic links; `files` maps names to sizes."""
    folder = hub / f"models--{repo.replace('/', '--')}"
    snapshot = folder / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    (folder / "blobs").mkdir()
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(REVISION, encoding="ascii")
    for name, n_bytes in files.items():
        (snapshot / name).write_bytes(bytes(n_bytes))
    return folder


@pytest.fixture
def hub(tmp_path):
    """A cache with the whole small model, part of the large one, and a damaged repository."""
    folder = tmp_path / "hub"
    make_repo(folder, "suno/bark-small", {"config.json": 10, "model.safetensors": 5 * 2**20, "tokenizer.json": 14})
    large = make_repo(folder, "suno/bark", {"config.json": 100, "vocab.txt": 100})
    (large / "blobs" / "abc.incomplete").write_bytes(bytes(3 * 2**10))
    (folder / "models--damaged--one").mkdir()
    return folder


def states(folder: Path) -> dict[tuple[str, str], str]:
    places = {"suno/bark in the hub's cache", "suno/bark-small in the hub's cache"}
    found = [row for row in rows(hub_cache_report(folder), 400) if row[0] in ("large", "small")]
    return {(row[0], "hub" if row[1] in places else "original"): row[2] for row in found}


def test_repositories_are_listed_by_size(hub):
    small, small_folder, large, _, total = rows(hub_cache_report(hub), 400)[:5]
    assert small[:3] == ["suno/bark-small", "5.0 MiB", "3"] and small[4] == "main 01234567"
    assert small_folder[0] == "models--suno--bark-small"
    assert large[:3] == ["suno/bark", "200 bytes", "2"]
    assert total[:3] == ["all", size(scan_cache_dir(hub).size_on_disk), "5"]
    text = flat(shown(hub_cache_report(hub), 400))
    assert str(hub) in text
    assert "warning: Snapshots dir doesn't exist in cached repo" in text and "damaged--one" in text
    assert "1 unfinished download, 3.0 KiB" in text


def test_last_use_is_shown_as_a_date(hub):
    for path in (hub / "models--suno--bark" / "snapshots" / REVISION).iterdir():
        os.utime(path, (1_700_000_000, 1_700_000_000))  # 2023-11-14 in Greenwich
    last_used = next(row[3] for row in rows(hub_cache_report(hub), 400) if row[0] == "suno/bark")
    assert last_used in ("2023-11-14", "2023-11-15")


def test_complete_and_incomplete_models_are_distinguished(hub):
    assert states(hub) == {
        ("large", "hub"): "incomplete: no model.safetensors or pytorch_model.bin; 3.0 KiB of it have come",
        ("large", "original"): "absent",
        ("small", "hub"): "complete",
        ("small", "original"): "absent",
    }
    (hub / "models--suno--bark-small" / "snapshots" / REVISION / "tokenizer.json").unlink()
    assert states(hub)["small", "hub"] == "incomplete: no tokenizer.json or vocab.txt"


def test_suno_model_is_complete_only_with_tokenizer_and_codec(hub, suno_folder, tmp_path):
    original = tmp_path / "cache" / "suno" / "bark_v0"  # by the XDG_CACHE_HOME of conftest.py
    original.mkdir(parents=True)
    for name in ("text_2.pt", "coarse_2.pt"):
        (original / name).write_bytes(b"x")
    assert states(hub)["large", "original"] == "incomplete: no fine stage"
    (original / "fine_2.pt").write_bytes(b"x")
    assert states(hub)["large", "original"] == "all stages, but no tokenizer and no codec"
    for name in ("tokenizer", "codec"):
        shutil.copytree(suno_folder / name, original / name)
    assert states(hub)["large", "original"] == "complete"
    assert states(hub)["small", "original"] == "absent"


def test_missing_cache_is_not_an_error(tmp_path):
    text = flat(shown(hub_cache_report(tmp_path / "nothing"), 400))
    assert f"There is no cache of the hub in {tmp_path / 'nothing'}" in text
    assert states(tmp_path / "nothing")["large", "hub"] == "absent"


# ---- NumPy ----------------------------------------------------------------------------------------------------------


def test_numpy_report_matches_numpy():
    config, report = np.show_config(mode="dicts"), numpy_report()
    blas = config["Build Dependencies"]["blas"]
    assert fact(report, "NumPy") == np.__version__
    assert fact(report, "BLAS") == f"{blas['name']} {blas['version']}"
    assert fact(report, "SIMD found here") == (", ".join(config["SIMD Extensions"].get("found", [])) or "none")
    assert fact(report, "soundfile") == soundfile.__version__
    assert fact(report, "libsndfile") == soundfile.__libsndfile_version__


def test_numpy_without_build_information_is_reported(monkeypatch):
    monkeypatch.setattr(np, "show_config", lambda mode: {})
    report = numpy_report()
    assert fact(report, "BLAS") == fact(report, "SIMD found here") == UNKNOWN
    assert fact(report, "NumPy") == np.__version__


def test_benchmark_measures_numpy_and_torch():
    report = arithmetic.numpy_benchmark()
    results = {row[0]: row[2] for row in rows(report)}
    assert [unit.split()[-1] for unit in results.values()] == ["GFLOP/s", "GB/s", "ms", "GFLOP/s", "GFLOP/s"]
    assert {"torch on cpu, float32 product", "torch on cpu, bfloat16 product"} <= set(results)


def test_gigaflops_by_hand():
    assert arithmetic.gigaflops(1000, 2.0) == 1.0  # 1000 x 1000 results of 1000 products and sums in two seconds


def test_least_of_several_times(monkeypatch):
    ticks = iter([0.0, 0.0, 3.0, 3.0, 4.0, 4.0, 6.0])  # the deadline is set, then three runs of 3, 1 and 2 seconds
    monkeypatch.setattr(arithmetic, "_BUDGET_S", 5.0)
    monkeypatch.setattr(arithmetic, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    assert arithmetic.least_seconds(lambda: None) == 1.0


@pytest.mark.parametrize(
    ("device", "plain", "half", "words"),
    [
        ("cpu", 100.0, 250.0, "2.5 times as fast as float32, so --dtype bfloat16 is worth a try"),
        ("cpu", 100.0, 110.0, "--dtype float32 is right here"),
        ("cuda", 1e4, 1e5, "10.0 times as fast as float32, so auto takes it"),
        ("mps", 1e4, None, "leave --dtype at auto"),
    ],
)
def test_advice_for_each_device(device, plain, half, words):
    slow = {("cpu", "float32"): 50.0, ("cpu", "bfloat16"): 1.0}
    assert words in arithmetic.advice(slow | {(device, "float32"): plain, (device, "bfloat16"): half})


def test_unsupported_dtype_is_shown_as_unknown(monkeypatch):
    monkeypatch.setattr(arithmetic, "torch_speeds", lambda: {("cpu", "float32"): 9.0, ("cpu", "bfloat16"): None})
    assert rows(arithmetic.numpy_benchmark())[-1][2] == UNKNOWN
