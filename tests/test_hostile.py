"""Untrusted files: whatever they contain, the program gives a result or a one-line error, in bounded time and memory."""

from __future__ import annotations

import io
import json
import os
import pickle
import resource
import struct
import subprocess
import sys
import threading
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from bark_infinity.checkpoints.huggingface import HuggingFaceCheckpoint, read_json, read_tensors
from bark_infinity.checkpoints.reading import Safetensors, load_pickled, tensors_of
from bark_infinity.cli.console import make_console, report_error, warn
from bark_infinity.cli.main import main
from bark_infinity.errors import BarkError, CheckpointError, VoiceError
from bark_infinity.model.tokenizer import Tokenizer
from bark_infinity.options.resolve import resolve
from bark_infinity.options.settings_file import read_config
from bark_infinity.options.table import Options
from bark_infinity.output.manifest import check_unasked, differences, read_manifest
from bark_infinity.run.journal import ClipJournal, KeptSegment, RunJournal
from bark_infinity.run.prompts import cut_source, read_source
from bark_infinity.voices.library import list_voices
from bark_infinity.voices.npz import read_npy, read_npz
from bark_infinity.voices.recording import choose_part, read_recording
from bark_infinity.voices.voice import Voice

EXAMPLES = int(os.environ.get("HOSTILE_EXAMPLES", "100"))  # of each kind of file; more by hand
MEMORY = 3 * 2**30  # bytes of addresses that a hostile file may make a process take, torch's 2 GB included

# ---- fuzzing --------------------------------------------------------------------------------------------------------


def arrays(n: int = 20) -> dict[str, np.ndarray]:
    fine = np.arange(8 * n * 3 // 2).reshape(8, -1) % 1024
    return {"semantic_prompt": np.arange(n), "coarse_prompt": fine[:2], "fine_prompt": fine}


def saved(write: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def sound() -> bytes:
    def write(file):
        with wave.open(file, "wb") as wav:
            wav.setparams((1, 2, 8_000, 0, "NONE", ""))
            wav.writeframes((8_000 * np.sin(np.arange(20_000) / 5)).astype("<i2").tobytes())

    return saved(write)


MANIFEST = {
    "format": 1,
    "text": "Hello.",
    "seed": 1,
    "prompt": 0,
    "take": 0,
    "segments": [{"text": "Hello.", "seeds": {"segment": 1, "semantic": None, "coarse": 3, "fine": 4}}],
    "settings": {"text_temp": 0.5, "history_prompt": "me.npz", "stable_mode_interval": 2, "seed": 1},
    "stages": {"semantic": {"dtype": "float32"}},
    "versions": {"torch": "2"},
    "machine": {"threads": 2},
    "voice": {"sha256": "00"},
}
MANIFEST["segments"][0]["seeds"]["semantic"] = 2
TOML = '[sampling]\ntext_temp = 0.7\nseed = 1\nhistory_prompt = "announcer"\noutput_iterations = 2\ndry_run = true\n'
SRT = "1\n00:00:01,000 --> 00:00:04,000\n<i>Hello</i> {\\an8}there &amp; you\n\n2\n00:00:05,000 --> 00:00:06,000\n42\n"
TENSORS = {"semantic.layernorm_final.weight": torch.ones(4), "codec_model.x": torch.zeros(2, 3)}
PICKLED = {"model": TENSORS, "model_args": {"n_layer": 1, "n_embd": 4}, "best_val_loss": np.float64(1.5)}


def read_voice(path: Path) -> None:
    Voice.load(path)


def read_clip_manifest(path: Path) -> None:
    manifest = read_manifest(str(path))
    check_unasked(manifest, str(path), manifest.options)
    differences(manifest.content, MANIFEST)


def read_texts(path: Path) -> None:
    options = resolve(Options(prompt_file=str(path), split_input_into_separate_prompts_by="line"))
    cut_source(read_source(options), options)


def read_weights(path: Path) -> None:
    tensors = Safetensors([path])
    for name in tensors:
        tensors[name].float().sum()


def read_pickle(path: Path) -> None:
    content = load_pickled(path)
    for part in (content, content.get("model")):
        if isinstance(part, dict):
            for tensor in tensors_of(part, path).values():
                assert tensor.nbytes <= 10_000
                tensor.to(torch.float32).sum()


def read_sound(path: Path) -> None:
    choose_part(read_recording(path), path, 8.0)


def read_vocabulary(path: Path) -> None:
    path.replace(path.with_name("tokenizer.json"))
    Tokenizer.from_folder(path.parent).encode("Hello there.")


def read_generation_config(path: Path) -> None:
    HuggingFaceCheckpoint("it", {}, read_json(path), {}, None)


def tokenizer() -> bytes:
    words = ["[UNK]", "[PAD]", "H", "##e", "##l", "##o", "t"]
    return Tokenizer.from_vocabulary(words).to_json().encode()


READERS = {
    "voice.npz": (read_voice, lambda: saved(lambda file: np.savez(file, **arrays()))),
    "packed.npz": (read_voice, lambda: saved(lambda file: np.savez_compressed(file, **arrays()))),
    "array.npy": (read_npy, lambda: saved(lambda file: np.save(file, np.arange(30).reshape(2, 15)))),
    "clip.json": (read_clip_manifest, lambda: json.dumps(MANIFEST).encode()),
    "settings.toml": (lambda path: read_config(str(path)), TOML.encode),
    "text.txt": (read_texts, "Hello there.\nAnd “more”, 你好。\n".encode),
    "film.srt": (read_texts, SRT.encode),
    "model.safetensors": (read_weights, lambda: save(TENSORS)),
    "zipped.pt": (read_pickle, lambda: saved(lambda file: torch.save(PICKLED, file))),
    "old.pt": (
        read_pickle,
        lambda: saved(lambda file: torch.save(PICKLED, file, _use_new_zipfile_serialization=False)),
    ),
    "voice.wav": (read_sound, sound),
    "tokenizer": (read_vocabulary, tokenizer),
    "generation_config.json": (read_generation_config, lambda: json.dumps({"semantic_config": {"eos": 1}}).encode()),
}

SPLICES = (
    b"\0" * 8,
    b"\xff" * 8,
    b"[" * 3000,
    b'{"a":' * 50,
    b"99999999999999999999",
    b"NaN",
    b"1e999",
    b"null",
    b'""',
)


@st.composite
def damaged(draw, valid: bytes) -> bytes:
    """A valid file with some bytes changed, removed, repeated or inserted; or an empty file."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=300))
    data = bytearray(valid)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        length = draw(st.integers(1, 40))
        match draw(st.sampled_from(("flip", "cut", "splice", "double", "drop"))):
            case "flip" if data:
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[at:]
            case "drop":
                del data[at : at + length]
            case "double":
                data[at:at] = data[at : at + length]
            case "splice":
                data[at : at + draw(st.sampled_from((0, 1, 4, 8)))] = draw(st.sampled_from(SPLICES))
    return bytes(data)


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_read_or_raise_bark_error(name, tmp_path, monkeypatch):
    """Only BarkError is raised, with a message of one line."""
    monkeypatch.setattr("shutil.which", lambda _: None)  # ffmpeg is another program
    reader, make = READERS[name]
    path, valid = tmp_path / name, make()
    path.write_bytes(valid)
    if name != "model.safetensors":
        reader(path)

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(damaged(valid))
    def check(data: bytes) -> None:
        path.write_bytes(data)
        try:
            reader(path)
        except BarkError as error:
            assert len(str(error)) < 2_000
        finally:
            assert {p.name for p in tmp_path.iterdir()} <= {name, "tokenizer.json"}

    check()


def test_damaged_journals_are_ignored(make_voice):
    """The run's journal, the plan of an unfinished clip, its pending names, and its kept segments."""
    from bark_infinity.run.planning import plan_clips

    out = Path("out")
    (plan,), _ = plan_clips(["One. Two."], resolve(Options(output_dir="out", seed=1)), 1)
    journal = RunJournal.start(out, lambda _: "key", 3)
    clip = journal.clip(plan)
    about = {"cut_ids": 0, "seconds_taken": {"semantic": 1.0}, "statistics": None}
    clip.keep("a", KeptSegment(make_voice(0.5), about))
    (clip.work / "x.wav").write_bytes(b"sound")
    (clip.folder / "naming.json").write_text(json.dumps({"moves": [["x.wav", "x.wav"]]}))
    (run_file,) = out.glob(".run-*")
    run_file.write_bytes(run_file.read_bytes() + b'{"clip": "key", "path": "x.wav"}\n')
    journal._file.close()
    clip._lock.close()
    files = {p: p.read_bytes() for p in (run_file, *clip.folder.rglob("*.json"), *clip.folder.rglob("*.npz"))}
    assert len(files) == 4

    @settings(max_examples=4 * EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def check(data) -> None:
        out.mkdir(exist_ok=True)
        clip.work.mkdir(exist_ok=True, parents=True)
        (clip.folder / "segments").mkdir(exist_ok=True)
        for path, content in files.items():
            path.write_bytes(content)
        path = data.draw(st.sampled_from(sorted(files)))
        path.write_bytes(data.draw(damaged(files[path])))
        for found in RunJournal.unfinished(out, lambda _: "key"):
            found.belongs_to([plan])
            assert found.kept(plan) in (0, 1) and 0 <= found.seed < 2**63
            found._file.close()
            for left in found._left.values():
                if kept := left.recall("a"):
                    assert int(kept.about["cut_ids"]) >= 0 if "cut_ids" in kept.about else True
                left._lock.close()
        again = ClipJournal.claim(clip.folder)
        again.recall("a")
        again._lock.close()
        assert {p.name for p in Path().iterdir()} <= {"out", "cache"}

    check()


# ---- malicious files ------------------------------------------------------------------------------------------------


def limited(code: str, seconds: float = 100) -> subprocess.CompletedProcess:
    """Limit the address space of the process, which includes what torch maps."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

    prelude = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
    return subprocess.run(
        [sys.executable, "-c", prelude + code], capture_output=True, text=True, timeout=seconds, preexec_fn=limit
    )


def bomb(path: str, members: dict[str, bytes], zeros: int, how: int = zipfile.ZIP_DEFLATED) -> None:
    """An archive whose members are these bytes followed by gigabytes of zeros."""
    block = bytes(2**20)
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, start in members.items():
            with archive.open(name, "w", force_zip64=True) as file:
                file.write(start)
                for _ in range(zeros // len(block)):
                    file.write(block)


def npy_header(shape: tuple[int, ...], version: bytes = b"\x01\x00") -> bytes:
    text = repr({"descr": "|i1", "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text


def many_members(path: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for k in range(20_000):
            archive.writestr(f"{k:0100}.npy", b"")


def twice(path: str) -> None:
    np.savez(path, **arrays())
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("fine_prompt.npy", npy_header((10**12,)))


VOICES = {
    "inflates to 400 MB": lambda path: bomb(path, {f"{n}.npy": npy_header((10**9,)) for n in arrays()}, 2**27),
    "header of 400 MB": lambda path: bomb(path, {"fine_prompt.npy": b"\x93NUMPY\x02\x00" + b"\0\0\0\x18"}, 400 * 2**20),
    "another compression": lambda path: bomb(
        path, {"fine_prompt.npy": npy_header((16_000_000,))}, 100 * 2**20, zipfile.ZIP_BZIP2
    ),
    "many members": many_members,
    "a name twice": twice,
    "NaN": lambda path: np.savez(path, **arrays() | {"fine_prompt": np.full((8, 30), np.nan)}),
    "objects": lambda path: np.savez(path, **arrays() | {"fine_prompt": np.array([[{}] * 30] * 8, dtype=object)}),
}


@pytest.mark.parametrize("kind", VOICES)
def test_malicious_voices_cost_little_time_and_memory(kind):
    VOICES[kind]("evil.npz")
    import tracemalloc

    tracemalloc.start()
    try:
        with pytest.raises(VoiceError) as error:
            Voice.load("evil.npz")
        list_voices([Path()])
        assert tracemalloc.get_traced_memory()[1] < 40_000_000, str(error.value)
    finally:
        tracemalloc.stop()
    assert len(str(error.value)) < 400


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
def test_named_pipes_among_voices_do_not_block():
    Path("prompts").mkdir()
    os.mkfifo("prompts/pipe.npz")
    assert [voice.seconds for voice in list_voices([Path("prompts")])] == [None]
    with pytest.raises(VoiceError, match="is no file"):
        read_npz(Path("prompts/pipe.npz"))


class Payload:
    def __reduce__(self):
        return open, ("executed", "w")


class Growing:
    """A pickle of sixty bytes that would expand to ten gigabytes."""

    def __reduce__(self):
        return bytearray, (10**10,)


def stretched() -> torch.Tensor:
    return torch.zeros(1).expand(10_000_000, 1000)


def compressed(path: str) -> None:
    torch.save(PICKLED, "good.pt")
    with zipfile.ZipFile("good.pt") as good, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in good.infolist():
            archive.writestr(member.filename, good.read(member))


PICKLES = {
    "code": lambda path: torch.save({"model": Payload()}, path),
    "old code": lambda path: torch.save({"model": Payload()}, path, _use_new_zipfile_serialization=False),
    "bare code": lambda path: Path(path).write_bytes(pickle.dumps(Payload(), 2)),
    "growth": lambda path: torch.save({"model": Growing()}, path),
    "old growth": lambda path: torch.save({"model": Growing()}, path, _use_new_zipfile_serialization=False),
    "one number for billions": lambda path: torch.save({"model": {"x": stretched()}}, path),
    "sparse": lambda path: torch.save({"model": {"x": torch.eye(3).to_sparse()}}, path),
    "compressed": compressed,
    "a list": lambda path: torch.save([1], path),
}


@pytest.mark.parametrize("kind", PICKLES)
def test_malicious_pickles_run_no_code_and_allocate_little(kind):
    PICKLES[kind]("evil.pt")
    with pytest.raises(CheckpointError) as error:
        content = load_pickled(Path("evil.pt"))
        tensors_of(content["model"], Path("evil.pt"))
    assert "evil.pt" in str(error.value) and "\n" not in str(error.value)
    assert not Path("executed").exists()


def test_tensor_names_that_are_not_text_are_refused():
    torch.save({1: torch.zeros(1), "x": torch.ones(1)}, "odd.pt")
    assert list(tensors_of(load_pickled(Path("odd.pt")), Path("odd.pt"))) == ["x"]


@pytest.mark.parametrize("part", ["../climbed.bin", "/etc/passwd", "a/b.safetensors", "..", "", "x\0y", 7, ["x"]])
def test_weights_index_cannot_point_outside_the_folder(part, huggingface_folder):
    Path("climbed.bin").write_bytes((huggingface_folder / "model.safetensors").read_bytes())
    Path("model").mkdir()
    Path("model/model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": part}}))
    with pytest.raises(CheckpointError, match="does not say where the weights are"):
        read_tensors(Path("model"))


def test_safetensors_header_larger_than_the_file_is_refused():
    for length in (2**63, 2**40, 10**8 - 1):
        Path("evil.safetensors").write_bytes(struct.pack("<Q", length) + b"{" * 1000)
        with pytest.raises(CheckpointError, match="evil.safetensors"):
            Safetensors([Path("evil.safetensors")])


def with_config(folder: Path, change: Callable[[dict], object]) -> Path:
    """A checkpoint with a changed config.json and unchanged weights."""
    changed = Path("model")
    changed.mkdir()
    for file in folder.iterdir():
        (changed / file.name).symlink_to(file)
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (changed / "config.json").unlink()
    (changed / "config.json").write_text(json.dumps(config))
    return changed


ABSURD = [
    lambda c: c["semantic_config"].update(num_layers=9_999_999),
    lambda c: c["semantic_config"].update(hidden_size=9_999_992),
    lambda c: c["fine_acoustics_config"].update(n_codes_total=9_999_999),
    lambda c: c["fine_acoustics_config"].update(n_codes_given=5),
    lambda c: c["coarse_acoustics_config"].update(block_size=10**40),
    lambda c: c["codec_config"].update(num_filters=10**6),
    lambda c: c["codec_config"].update(hidden_size=10**7),
    lambda c: c["codec_config"].update(num_lstm_layers=10**9),
    lambda c: c["codec_config"].update(num_residual_layers=10**9),
    lambda c: c["codec_config"].update(target_bandwidths=[10**12]),
    lambda c: c["codec_config"].update(upsampling_ratios=[2] * 60),
    lambda c: c["codec_config"].update(codebook_size=10**12),
    lambda c: c.update(codec_config=[]),
]


@pytest.mark.parametrize("change", ABSURD)
def test_absurd_sizes_are_refused_before_anything_is_built(change, huggingface_folder):
    from bark_infinity import Bark

    with pytest.raises(CheckpointError) as error:
        assert Bark.load(str(with_config(huggingface_folder, change)), device="cpu", offline=True).codec
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "generation",
    [
        {"semantic_config": {"semantic_rate_hz": 1e-9}},
        {"semantic_config": {"semantic_rate_hz": float("nan")}},
        {"coarse_acoustics_config": {"coarse_rate_hz": 9e6}},
        {"fine_acoustics_config": {"max_fine_history_length": 5000}},
        {"semantic_config": {"max_new_tokens": 10**30}},
    ],
)
def test_extreme_rates_are_refused(generation):
    with pytest.raises(CheckpointError, match="generation_config.json"):
        HuggingFaceCheckpoint("it", {}, generation, {}, None)


def test_tokenizer_larger_than_the_models_vocabulary_is_refused(bark, monkeypatch):
    class Foreign:
        def encode(self, _: str) -> list[int]:
            return [5, 10**6]

    monkeypatch.setattr(bark, "tokenizer", Foreign())
    with pytest.raises(CheckpointError, match="more words"):
        bark.encode("Hello")


# ---- texts and settings ---------------------------------------------------------------------------------------------


def refused(*arguments: str, capfd) -> str:
    """The error message of a command line that exits with 2: one line without control characters."""
    assert main(["--dry_run", *arguments]) == 2
    err = capfd.readouterr().err
    assert "Traceback" not in err and len(err) < 10_000
    assert not any(ord(c) < 32 and c != "\n" for c in err)
    return " ".join(err.split())


FLAGS = ("prompt_file", "from_manifest", "config")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no such devices")
@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("file", ["/dev/zero", ".", "/proc/self/mem"])
def test_devices_and_folders_as_files_are_refused(flag, file, capfd):
    message = refused(f"--{flag}", file, capfd=capfd)
    assert f"--{flag} {file}" in message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
@pytest.mark.parametrize("flag", [flag for flag in FLAGS if flag != "prompt_file"])
def test_pipe_without_a_writer_does_not_block(flag, capfd, monkeypatch):
    monkeypatch.setattr("bark_infinity.files._WRITER_SECONDS", 0.1)
    os.mkfifo("pipe")
    message = refused(f"--{flag}", "pipe", capfd=capfd)
    assert f"--{flag} pipe cannot be read (it is a pipe that nobody writes to)" in message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
def test_pipe_with_a_slow_writer_is_read_to_its_end():
    os.mkfifo("pipe")
    started = threading.Event()

    def write() -> None:
        descriptor = os.open("pipe", os.O_RDWR)  # so that it need not wait for a reader
        with os.fdopen(os.open("pipe", os.O_WRONLY), "w") as file:
            started.set()
            for word in ("One. ", "Two. ", "Three."):
                threading.Event().wait(0.1)
                file.write(word)
                file.flush()
            threading.Event().wait(0.2)
        os.close(descriptor)

    writer = threading.Thread(target=write)
    writer.start()
    started.wait()
    assert read_source(resolve(Options(prompt_file="pipe"))) == "One. Two. Three."
    writer.join()


@pytest.mark.parametrize(("flag", "name"), [("prompt_file", "x.txt"), ("prompt_file", "x.srt"), ("config", "x.toml"), ("from_manifest", "x.json")])  # fmt: skip
def test_files_of_gigabytes_are_refused_without_reading_them(flag, name, capfd):
    with open(name, "wb") as file:
        file.truncate(2**31)  # takes no room on the disk
    assert "more than the" in refused(f"--{flag}", name, capfd=capfd)


def test_endless_standard_input_is_refused(monkeypatch):
    with open("/dev/zero" if Path("/dev/zero").exists() else os.devnull) as endless:
        monkeypatch.setattr(sys, "stdin", endless)
        with pytest.raises(BarkError):
            read_source(resolve(Options(prompt_file="-")))


def test_text_of_one_very_long_line(capfd):
    Path("long.txt").write_text("word " * 20_000 + "a" * 100_000)
    assert main(["--prompt_file", "long.txt", "--dry_run"]) == 0
    Path("nul.txt").write_bytes(b"Hello\0 there.\x1b[31m\xc2\x9b" + b"\0" * 1000)
    capfd.readouterr()
    assert main(["--prompt_file", "nul.txt", "--dry_run"]) == 0
    assert "Hello there." in capfd.readouterr().err


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
def test_other_encodings_are_read_and_reported(encoding, capfd):
    Path("x.srt").write_text(SRT + "Schön", encoding=encoding)
    assert main(["--dry_run", "--prompt_file", "x.srt"]) == 0
    stderr = capfd.readouterr().err
    assert "x.srt is read as" in stderr and "Schön" in stderr
    message = refused("--prompt_file", "x.srt", "--text_encoding", "ascii", capfd=capfd)
    assert "--prompt_file x.srt: it is no ascii" in message


DEEP = ["a = " + "[" * 90_000, "a = " + "{a=" * 60_000, "a" + ".a" * 50_000 + " = 1", "[" + "a." * 50_000 + "a]"]


@pytest.mark.parametrize("text", DEEP)
def test_deeply_nested_settings_are_refused(text, capfd):
    Path("deep.toml").write_text(text)
    assert "--config deep.toml" in refused("--config", "deep.toml", capfd=capfd)


PATHS = (
    "prompt_file", "from_manifest", "history_prompt", "audio_file_as_history_prompt", "bark_speaker_as_the_prompt",
    "output_dir", "render_npz_samples", "model", "model_dir", "convert_model", "custom_audio_processing_function",
)  # fmt: skip


@pytest.mark.parametrize("name", PATHS)
def test_file_names_with_a_nul_character_are_refused(name, capfd):
    """A command line cannot contain one, but a settings file can."""
    text = (
        ""
        if name in ("prompt_file", "from_manifest", "render_npz_samples", "convert_model")
        else 'text_prompt = "Hi"\n'
    )
    text = "" if name == "bark_speaker_as_the_prompt" else text
    Path("nul.toml").write_text(
        f'{text}{name} = "a\\u0000b"\nmodel_dir = "nowhere"\n'
        if name != "model_dir"
        else f'{text}{name} = "a\\u0000b"\n'
    )
    status = main(["--config", "nul.toml", "--offline"])
    err = capfd.readouterr().err
    assert status == 2 and "Traceback" not in err and "\0" not in err


# ---- manifests ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"format": [[1]]},
        {"seed": 10**400},
        {"take": -1},
        {"prompt": 10**4000},
        {"text": "\ud800"},
        {"segments": [{"text": "x", "seeds": {"segment": -1}}]},
        {"segments": [{"text": "x", "seeds": {"__class__": 1}}]},
        {"settings": {"text_temp": float("nan")}},
        {"settings": {"seed": "9" * 100_000}},
        {"settings": {"model": [["deep"]]}},
        {"settings": {"custom_audio_processing_function": "os:system"}},
        {"settings": {"custom_audio_processing_function": {"a": "b"}}},
    ],
)
def test_malicious_manifests_are_refused(change, capfd):
    Path("evil.json").write_text(json.dumps(MANIFEST | change))
    assert "evil.json" in refused("--from_manifest", "evil.json", capfd=capfd)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"format": 1' + "0" * 10_000 + "}", "\0", ""])
def test_manifests_that_break_the_json_parser_are_refused(text, capfd):
    Path("evil.json").write_text(text)
    assert "evil.json is not JSON" in refused("--from_manifest", "evil.json", capfd=capfd)


def test_manifest_cannot_choose_a_file_to_write(capfd):
    settings = {"output_dir": "climbed", "output_filename": "../climbed", "convert_model": "climbed", "config": "x"}
    Path("evil.json").write_text(json.dumps(MANIFEST | {"settings": settings, "text": "../../climbed"}))
    assert main(["--from_manifest", "evil.json", "--dry_run"]) == 0
    assert "climbed/" not in capfd.readouterr().err
    assert not list(Path().rglob("*climbed*"))


# ---- what is shown --------------------------------------------------------------------------------------------------

STEERING = "\x1b]0;title\x07\x1b[31m[red]\r\x08\x9b1m\x7f\u202e\u2066\u200f\u2028"
ALLOWED = set("\n ")


def shown(capfd) -> str:
    out, err = capfd.readouterr()
    bad = [
        c
        for c in out + err
        if (ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u2066\u200f\u2028") and c not in ALLOWED
    ]
    assert bad == []
    return err


def test_control_characters_are_not_sent_to_the_terminal(capfd, make_voice):
    name = f"{STEERING}.npz"
    Path("prompts").mkdir()
    make_voice(2.0).save(f"prompts/{name}")
    console = make_console()
    report_error(console, STEERING)
    warn(console, f"line\nbreak {STEERING}")
    assert "[red]" in shown(capfd)
    assert main(["--text_prompt", f"Hello {STEERING} there", "--dry_run", "--output_dir", STEERING]) == 0
    assert "[red]" in shown(capfd)
    from bark_infinity.cli.tables import show_voices

    show_voices(console, list_voices([Path("prompts")]))
    assert "[red]" in shown(capfd)
    for arguments in (["--history_prompt", STEERING], [f"--{STEERING}"], ["--prompt_file", STEERING]):
        assert main([*arguments, *(["--text_prompt", "x"] if "history" in arguments[0] else [])]) == 2
        shown(capfd)


def test_messages_have_one_line_and_a_maximum_length(capfd):
    report_error(make_console(), "a\nb" + "x" * 10**6)
    err = capfd.readouterr().err
    assert len(err) < 20_000 and "a b" in err


def test_printed_paths_are_exact(capfd):
    from bark_infinity.cli.console import print_result

    print_result(Path("a\x1bb"))
    assert capfd.readouterr().out == "a\x1bb\n"


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no such devices")
def test_compressed_files_are_refused_within_little_memory():
    torch.save({"model": Growing()}, "evil.pt")
    done = limited(
        """
from pathlib import Path
from bark_infinity.errors import BarkError
from bark_infinity.options.settings_file import read_config
from bark_infinity.output.manifest import read_manifest
from bark_infinity.checkpoints.reading import load_pickled
for read, name in ((read_manifest, "/dev/zero"), (read_config, "/dev/zero"), (load_pickled, "evil.pt")):
    try:
        read(Path(name))
    except BarkError as error:
        print("refused", error)
"""
    )
    assert done.stdout.count("refused") == 3, done.stderr
