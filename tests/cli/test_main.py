"""The command line end to end: stdout, stderr, exit codes, files, and every kind of bad input."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bark_infinity import Voice
from bark_infinity.cli.main import main, parse
from bark_infinity.errors import UsageError
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.run.planning import plan_clips

START = Path(__file__).parents[2] / "bark_perform.py"


def shell(*arguments: str, **more) -> subprocess.CompletedProcess:
    """The program in a process of its own."""
    return subprocess.run([sys.executable, str(START), *arguments], capture_output=True, text=True, timeout=120, **more)


@pytest.fixture
def perform(capfd):
    """Run a command line on the demo model in this process: (exit status, stdout lines, stderr)."""

    def run(*arguments: str, model: str = "demo") -> tuple[int, list[str], str]:
        status = main(["--model", model, "--device", "cpu", *arguments])
        out, err = capfd.readouterr()
        return status, out.splitlines(), err

    return run


def manifest(wav: str) -> dict:
    return json.loads(Path(wav).with_suffix(".json").read_text(encoding="utf-8"))


# ---- interactive use ------------------------------------------------------------------------------------------------


def test_command_prints_the_path_of_an_existing_file(perform, tmp_path):
    status, (path,), err = perform("--text_prompt", "hi")
    assert status == 0 and (tmp_path / path).is_file()
    assert "made" in err and "warning" not in err
    stem = tmp_path / "bark_samples" / "hi-SPK-random"
    assert {p.name for p in stem.parent.iterdir()} == {f"{stem.name}{end}" for end in (".wav", ".npz", ".json")}
    assert Voice.load(f"{stem}.npz").seconds == pytest.approx(soundfile.info(f"{stem}.wav").duration)


def test_path_goes_to_a_pipe_and_progress_to_the_terminal(tmp_path):
    """stderr is a terminal, stdout is not: `wav=$(python bark_perform.py ...)`. The path is UTF-8 in any locale."""
    pty = pytest.importorskip("pty", reason="Windows has no pseudo-terminals of this kind")
    master, terminal = pty.openpty()
    environment = os.environ | {"PYTHONIOENCODING": "cp1252"}
    command = [sys.executable, str(START), "--model", "demo", "--text_prompt", "hi 你好世界"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=terminal)
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # a terminal raises this when its writer has closed it
        while piece := os.read(master, 4096):
            shown += piece
    out, _ = process.communicate(timeout=60)
    os.close(master)
    assert process.returncode == 0 and (tmp_path / out.decode("utf-8").strip()).is_file() and "你好世界" in out.decode()
    assert b"0/1 segment" in shown


def test_closed_pipe_is_not_an_error(tmp_path):
    (tmp_path / "prompts").mkdir()
    for n in range(3000):
        (tmp_path / "prompts" / f"{n:0100}.npz").touch()
    command = [sys.executable, str(START), "--list_speakers"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, **pipes) as process:
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read() and process.wait(timeout=60) in (0, 1)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--list_speakers"], ["--dry_run", "--text_prompt", "hi"], ["--nonsense"]]
)
def test_commands_without_a_model_do_not_import_torch(tmp_path, arguments):
    code = f"import sys, bark_infinity.cli.main as c; sys.argv = ['x', *{arguments!r}]\ntry: c.main()\nfinally: print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=path_env())
    assert result.stdout, result.stderr
    assert not {"torch", "transformers", "nltk"} & set(result.stdout.split())
    assert not list(tmp_path.iterdir())


def path_env() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(START.parent)}


def test_interrupted_run_keeps_finished_segments(tmp_path):
    (tmp_path / "many.txt").write_text("".join(f"This is line number {n}.\n" for n in range(200)))
    arguments = ["--model", "demo", "--prompt_file", "many.txt", "--split_input_into_separate_prompts_by", "line"]
    command = [sys.executable, str(START), *arguments, "--batch_size", "1"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        first = process.stdout.readline().strip()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and err.count("the same command goes on") == 1 and "Traceback" not in err
    assert soundfile.info(tmp_path / first).frames > 0
    assert not [p for p in (tmp_path / "bark_samples").iterdir() if p.suffix == ".tmp"]


# ---- a long clip ----------------------------------------------------------------------------------------------------


def test_forty_sentences_with_a_voice_make_one_clip(perform, make_voice, tmp_path):
    make_voice(6.0).save(tmp_path / "someone.npz")
    text = " ".join(
        f"This is sentence number {n}, which tells of a dog that walked along a river." for n in range(1, 41)
    )
    (tmp_path / "story.txt").write_text(text)
    arguments = ["--prompt_file", "story.txt", "--split_each_text_prompt_by", "sentence"]
    arguments += ["--history_prompt", "someone.npz", "--seed", "3"]
    status, (wav,), _ = perform(*arguments, "--add_silence_between_segments", "0.1")
    assert status == 0
    samples, rate = soundfile.read(wav, dtype="int16")
    content = manifest(wav)
    assert rate == 24_000 and [s["text"].split(",")[0] for s in content["segments"]] == [
        f"This is sentence number {n}" for n in range(1, 41)
    ]
    end = 0
    for segment in content["segments"]:
        start, stop = (round(segment[name] * rate) for name in ("start", "end"))
        assert start == end + (2_400 if end else 0) and stop - start == segment["frames"] * 320
        assert not samples[end:start].any() and samples[start:stop].std() > 10
        assert segment["history"]["semantic_tokens"] == 256
        end = stop
    assert end == len(samples) and content["seconds"] == pytest.approx(len(samples) / rate, abs=1e-6)
    with np.load(Path(wav).with_suffix(".segments.npz")) as tokens:
        assert tokens["fine_prompt_39"].shape == (8, content["segments"][39]["frames"])


def test_clip_is_reproduced_from_its_manifest(perform):
    text = (
        "A first sentence that is long enough to stand alone here. And a second sentence that is as long as the first."
    )
    status, (first,), _ = perform(
        "--text_prompt", text, "--split_character_goal_length", "60", "--split_character_max_length", "70"
    )
    assert status == 0 and len(manifest(first)["segments"]) == 2
    again = manifest(first)["settings"] | {"single_starting_seed": manifest(first)["seed"]}
    _, (second,), _ = perform(*(f"--{name}={value}" for name, value in again.items() if name != "model"))
    assert second.endswith("_1.wav")
    np.testing.assert_array_equal(soundfile.read(first)[0], soundfile.read(second)[0])


def test_wav_carries_title_seed_and_settings(perform):
    _, (wav,), _ = perform("--text_prompt", "Hello", "--seed", "77", "--text_temp", "0.6")
    with soundfile.SoundFile(wav) as sound:
        assert sound.title == "Hello" and "seed 77" in sound.comment and "--text_temp 0.6" in sound.comment


def test_takes_and_names_never_collide(perform):
    arguments = ["--text_prompt", "Hello", "--output_iterations", "3", "--seed", "5", "--output_filename", "take"]
    status, wavs, _ = perform(*arguments)
    assert status == 0 and [Path(w).name for w in wavs] == ["take.wav", "take_1.wav", "take_2.wav"]
    assert len({manifest(w)["seed"] for w in wavs}) == 3 and manifest(wavs[0])["seed"] == 5
    _, more, _ = perform(*arguments)
    assert [Path(w).name for w in more] == ["take_3.wav", "take_4.wav", "take_5.wav"]
    np.testing.assert_array_equal(soundfile.read(wavs[1])[0], soundfile.read(more[1])[0])


def test_clip_is_used_as_a_voice(perform):
    _, (wav,), _ = perform("--text_prompt", "Hello there", "--output_filename", "mine", "--seed", "5")
    status, (next_wav,), _ = perform("--text_prompt", "And again", "--history_prompt", "mine")
    assert status == 0 and manifest(next_wav)["segments"][0]["history"]["fine_frames"] > 0
    assert "-SPK-mine" in next_wav
    perform("--text_prompt", "No voice", "--output_filename", "none", "--always_save_speaker", "false")
    assert not Path("bark_samples/none.npz").exists()


def test_prompts_from_standard_input(tmp_path):
    result = shell(
        "--model",
        "demo",
        "--prompt_file",
        "-",
        "--split_input_into_separate_prompts_by",
        "line",
        cwd=tmp_path,
        input="One line.\n\nTwo lines.\n",
    )
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 2


def test_text_beyond_256_ids_is_reported(perform, huggingface_folder):
    text = "a b " * 200
    status, (wav,), err = perform(
        "--text_prompt", text, "--split_each_text_prompt_by", "line", model=str(huggingface_folder)
    )
    assert status == 0 and "144 of the text's tokens" in " ".join(err.split())
    assert manifest(wav)["segments"][0]["ids_cut"] == 144


# ---- commands without audio -----------------------------------------------------------------------------------------


def test_dry_run_shows_the_planned_clips(perform, tmp_path):
    status, out, err = perform(
        "--dry_run", "--text_prompt", "Hello there. [laughs]", "--seed", "42", "--output_iterations", "2"
    )
    assert status == 0 and not out and not list(tmp_path.iterdir())
    for part in ("Hello there. [laughs]", "Hello_there", "42", "2 clips"):
        assert part in err


def test_list_speakers_prints_names(perform, make_voice):
    Path("prompts/v2").mkdir(parents=True)
    make_voice(6.0).save("prompts/v2/de_speaker_1.npz")
    Path("prompts/broken.npz").write_text("no voice")
    status, out, err = perform("--list_speakers")
    assert status == 0 and out == [
        "broken",
        "v2/de_speaker_1",
        "demo_female",
        "demo_male",
    ]  # stdout is a pipe: names alone
    assert "German" in err and "6.0" in err and "no voice" in err and "announcer" in err


# ---- bad input ------------------------------------------------------------------------------------------------------

BAD = [
    (["--text_prompt", ""], "--text_prompt has no text"),
    (["--text_prompt", "...!"], "nothing to say"),
    (["--prompt_file", "absent.txt"], "absent.txt does not exist"),
    (["--prompt_file", "."], "cannot be read"),
    (["--text_prompt", "a", "--prompt_file", "b"], "exclude each other"),
    (["--history_prompt", "v2/en_speaker_66"], "v2/en_speaker_6"),
    (["--history_prompt", "nowhere/voice.npz"], "no voice file"),
    (["--history_prompt", "latin.txt"], "no .npz voice file"),
    (["--fine_temp", "-0.1"], "--fine_temp must be 0.0 or more"),
    (["--text_temp", "nan"], "--text_temp must be"),
    (["--text_temp", "warm"], "--text_temp takes a number"),
    (["--semantic_top_p", "1.5"], "--semantic_top_p must be between"),
    (["--coarse_max_coarse_history", "59"], "between 60 and 630"),
    (["--coarse_sliding_window_len", "200"], "over 768 together"),
    (["--stable_mode_interval", "-1"], "--stable_mode_interval must be 0 or more"),
    (["--coarse_prev_segment_weight", "1.1"], "--coarse_prev_segment_weight must be between"),
    (["--split_character_goal_length", "300"], "is over --split_character_max_length"),
    (["--seed", "1", "--single_starting_seed", "2"], "exclude each other"),
    (["--seed", "-1"], "--seed must be between"),
    (["--dtype", "int4"], "auto, float32, bfloat16"),
    (["--dry_run", "maybe"], "--dry_run takes true"),
    (["--txt_temp", "1"], "did you mean --text_temp"),
    (["loose"], "belongs to no flag"),
    (["--output_filename", "-x"], "--output_filename=-value"),
    (["--output_dir", "latin.txt/x"], "--output_dir"),
    (["--output_filename", "./latin.txt/y.wav"], "--output_filename"),
    (["--output_filename", "y.aac"], "choose one of wav"),
    (["--output_filename", "y.ogg", "--output_format", "mp3"], "contradict each other"),
    (["--output_dir", "x" * 300], "--output_dir"),
    (["--prompt_file", "~nobody_here/x"], "does not exist"),
    (["--text_prompt", "caf\udce9"], "is not UTF-8"),
    (["--offline", "--force_reload"], "exclude each other"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_input_gives_a_one_line_error_and_no_files(perform, tmp_path, arguments, message):
    (tmp_path / "latin.txt").write_bytes("caf\xe9".encode("latin-1"))
    if "--text_prompt" not in arguments and "--prompt_file" not in arguments:
        arguments = ["--text_prompt", "Hello", *arguments]
    status, out, err = perform(*arguments)
    assert status == 2 and not out
    assert message in " ".join(err.split()) and err.startswith("error: ") and err.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["latin.txt"]


def test_debug_shows_the_traceback(perform):
    assert "Traceback" in perform("--text_prompt", "", "--loglevel", "debug")[2]
    assert "Traceback" not in perform("--text_prompt", "", "--loglevel", "info")[2]


@pytest.mark.parametrize("model", ["absent-model", "folder", ".", "x" * 300, "é/x", "a..b/-c", "~nobody_here/x"])
def test_bad_models_give_a_one_line_error(perform, tmp_path, model):
    (tmp_path / "folder").mkdir()
    status, out, err = perform("--text_prompt", "Hello", "--offline", model=model)
    assert status == 2 and not out and err.startswith("error: ") and "--model" in err
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_offline_without_a_model_suggests_three_remedies(perform):
    status, _, err = perform("--text_prompt", "Hello", "--offline", model="large")
    assert status == 2 and all(way in err for way in ("connect once", "--model a folder", "--model demo"))


def test_clipping_gain_gives_one_warning_per_clip_with_a_fitting_gain(perform):
    arguments = ["--text_prompt", "Hello there.\nGood bye.", "--split_each_text_prompt_by", "line", "--seed", "3"]
    arguments += ["--semantic_max_gen_duration_s", "0.3", "--check_segments", "off"]
    status, (wav,), err = perform(*arguments, "--gain_db", "60")
    fitting = re.search(
        r"warning: bark_samples/\S+: \d\S* % of the samples are clipped; --gain_db (\S+) is the most", err
    )
    assert status == 0 and fitting and err.count("clipped") == 1 and manifest(wav)["clipped_samples"] > 100
    again = ["--from_manifest", str(Path(wav).with_suffix(".json")), "--restitch"]
    _, (loud,), err = perform(*again, "--gain_db", "60")
    assert f"--gain_db {fitting[1]} is the most" in err and err.count("clipped") == 1
    _, (fits,), err = perform(*again, "--gain_db", fitting[1])
    assert "clipped" not in err and manifest(fits)["clipped_samples"] == 0 and 0.9 < manifest(fits)["peak"] <= 1


def test_one_failing_prompt_does_not_stop_the_others(perform, monkeypatch):
    from bark_infinity.errors import OutputError
    from bark_infinity.output.clip_files import ClipFiles

    add = ClipFiles.add

    def full_disk(files, segment):
        if segment.plan.text == "Two.":
            raise OutputError("cannot write Two.wav (No space left on device); free space")
        add(files, segment)

    monkeypatch.setattr(ClipFiles, "add", full_disk)
    Path("three.txt").write_text("One.\nTwo.\nThree.\n")
    status, out, err = perform("--prompt_file", "three.txt", "--split_input_into_separate_prompts_by", "line")
    assert status == 1 and len(out) == 2 and "No space left" in err


def test_prompt_without_words_is_skipped_and_reported(perform):
    Path("three.txt").write_text("One line.\n...\nThree lines.\n")
    arguments = ["--prompt_file", "three.txt", "--split_input_into_separate_prompts_by", "line"]
    status, out, err = perform(*arguments)
    assert status == 1 and [Path(w).name for w in out] == ["1_One_line-SPK-random.wav", "3_Three_lines-SPK-random.wav"]
    assert "'...'" in err
    assert perform(*arguments, "--dry_run")[0] == 0


def test_clip_that_cannot_be_saved_leaves_only_resumable_files(perform, monkeypatch):
    from bark_infinity.errors import OutputError
    from bark_infinity.output import clip_files as results

    def full_disk(*_):
        raise OutputError("cannot write (No space left on device); free space")

    monkeypatch.setattr(results, "write_manifest", full_disk)
    status, out, err = perform("--text_prompt", "Hello")
    assert status == 1 and not out and "No space left" in err
    run, clip = sorted(Path("bark_samples").iterdir())  # for resuming when there is space
    assert [path.name.partition("-")[0] for path in (run, clip)] == [".run", "Hello"] and clip.suffix == ".partial"


def test_output_filename_with_folders_is_saved_and_resumed_there(perform, monkeypatch):
    from bark_infinity.errors import OutputError
    from bark_infinity.output import clip_files

    def full_disk(*_):
        raise OutputError("cannot write (No space left on device); free space")

    command = ["--text_prompt", "Hello there.", "--output_filename", "book/one/Chapter 1.flac", "--seed", "5"]
    with monkeypatch.context() as patch:
        patch.setattr(clip_files, "write_manifest", full_disk)
        assert perform(*command)[0] == 1
    assert [path.name for path in Path("bark_samples/book/one").glob("[!.]*")] == ["Chapter 1.partial"]
    status, out, err = perform(*command)
    assert (status, out) == (0, ["bark_samples/book/one/Chapter 1.flac"]) and "1 of 1 segment were done" in err
    assert soundfile.info(out[0]).format == "FLAC"
    assert sorted(p.name for p in Path("bark_samples/book/one").iterdir()) == [
        f"Chapter 1.{end}" for end in ("flac", "json", "npz")
    ]
    # its voice is found by name beside those of the output folder
    assert perform("--text_prompt", "Hi", "--history_prompt", "Chapter 1", *command[2:4], "--dry_run")[0] == 0
    elsewhere = [*command[:2], "--output_filename", str(Path("else/where/x.ogg").absolute())]
    assert perform(*elsewhere)[1] == [str(Path("else/where/x.ogg").absolute())]


def test_settings_with_prompt_in_their_name_are_in_the_metadata(perform):
    _, (wav,), _ = perform("--text_prompt", "Hello", "--prompt_text_prefix", "[music]", "--separate_prompts")
    with soundfile.SoundFile(wav) as sound:
        assert "--prompt_text_prefix [music]" in sound.comment and "--separate_prompts" in sound.comment
    assert manifest(wav)["segments"][0]["text"] == "[music] Hello"
    assert manifest(wav)["stages"]["fine"]["source"] == "the built-in demo model"


@pytest.mark.parametrize("text", ["नमस्ते दुनिया, यह एक लंबा वाक्य है जो बहुत लंबा है।" * 3, "你好世界" * 60, "Hello"])
def test_file_names_keep_the_voice_in_any_script(text):
    stem = plan_clips([text], resolve(Options(history_prompt="v2/en_speaker_6")), 0)[0][0].stem
    assert stem.endswith("-SPK-v2_en_speaker_6") and len(stem.encode()) <= 160


def test_tilde_in_output_dir_works_for_writing_and_finding_voices(perform, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    _, (wav,), _ = perform(
        "--text_prompt", "Hello there", "--output_dir=~/out", "--output_filename", "mine", "--seed", "5"
    )
    assert Path(wav).parent == tmp_path / "out"
    assert perform("--text_prompt", "Again", "--output_dir=~/out", "--history_prompt", "mine")[0] == 0


# ---- parsing --------------------------------------------------------------------------------------------------------


def test_flags_accept_dashes_upper_case_and_aliases():
    options = parse(
        [
            "--Text-Prompt=a-b --c",
            "--USE_SMALL_MODELS",
            "--OFFLOAD_CPU",
            "no",
            "--x-coarse-history-alignment-hack",
            "-4",
        ]
    )
    assert options.text_prompt == "a-b --c" and options.use_smaller_models is True and options.offload_cpu is False
    assert options.coarse_history_time_alignment_hack == -4


def test_markup_in_a_text_is_printed_literally(perform):
    status, _, err = perform("--dry_run", "--text_prompt", "[red]Hello[/red] [laughs] [/b]")
    assert status == 0 and "[red]Hello[/red] [laughs] [/b]" in err
    with pytest.raises(UsageError, match=r"\[red\]"):
        parse(["--dtype", "[red]x[/red]"])
