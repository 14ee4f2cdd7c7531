"""--from_manifest: the clip is reproduced to the last sample or the differences are listed; and untrusted manifests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bark_infinity.cli.main import main, parse
from bark_infinity.errors import UsageError
from bark_infinity.output.manifest import differences, read_manifest

STORY = "A dog walks along the river, slowly and alone. It looks for fish in the cold water. There are none today."
SHORT = ("--semantic_max_gen_duration_s", "0.6")


@pytest.fixture
def perform(capfd, monkeypatch, demo):
    """Run a command line on the demo model, loaded once: (exit status, stdout lines, stderr on one line)."""
    from bark_infinity import bark

    monkeypatch.setattr(bark, "Bark", lambda _: demo)
    monkeypatch.setattr("bark_infinity.checkpoints.loading.load_models", lambda _: None)

    def run(*arguments: str) -> tuple[int, list[str], str]:
        status = main([*arguments, "--device", "cpu"])
        out, err = capfd.readouterr()
        return status, out.splitlines(), " ".join(err.split())

    return run


def sound(path: str) -> np.ndarray:
    return soundfile.read(path)[0]


def manifest_of_a_run(perform, *arguments: str) -> Path:
    """The manifest of the last clip of a run."""
    status, wavs, err = perform("--model", "demo", *SHORT, *arguments)
    assert status == 0, err
    return Path(wavs[-1]).with_suffix(".json")


def changed_copy(path: Path, **changes) -> str:
    content = json.loads(path.read_text(encoding="utf-8"))
    content["settings"] |= changes.pop("settings", {})
    Path("changed.json").write_text(json.dumps(content | changes))
    return "changed.json"


WAYS = [
    ["--text_prompt", "Hello there.", "--seed", "3"],
    ["--text_prompt", STORY, "--split_each_text_prompt_by", "sentence", "--output_iterations", "3"],
    ["--text_prompt", STORY, "--split_each_text_prompt_by", "random", "--single_starting_seed", "5"],
    ["--text_prompt", STORY, "--history_prompt", "someone.npz", "--stable_mode_interval", "0", "--split_character_jitter", "80", "--output_iterations", "2"],
    ["--text_prompt", STORY, "--extra_confused_travolta_mode", "1", "--prompt_text_prefix", "Well,", "--semantic_seed", "0"],
    ["--prompt_file", "lines.txt", "--split_input_into_separate_prompts_by", "line", "--text_temp", "0.4"],
    ["--bark_speaker_as_the_prompt", "someone.npz", "--fine_temp", "0"],
    ["--text_prompt", "Hello.", "--negative_text_prompt", "Bye.", "--mirostat_tau", "6", "--absolute_semantic_history_only"],
    ["--text_prompt", STORY, "--split_each_text_prompt_by", "sentence", "--check_segments", "retry", "--check_min_loudness_db", "0"],
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_clip_is_reproduced_bit_for_bit(perform, make_voice, way):
    make_voice(2.0).save("someone.npz")
    Path("lines.txt").write_text("One line.\nAnother line.\n")
    manifest = manifest_of_a_run(perform, *way)
    status, (again,), err = perform("--from_manifest", str(manifest))
    assert status == 0 and "bit for bit" in err and again != str(manifest.with_suffix(".wav"))
    np.testing.assert_array_equal(sound(again), sound(manifest.with_suffix(".wav")))
    # and once more from the new clip's manifest
    _, _, err = perform("--from_manifest", str(Path(again).with_suffix(".json")))
    assert "bit for bit" in err


def test_flags_beside_from_manifest_override_its_settings(perform):
    manifest = manifest_of_a_run(
        perform, "--text_prompt", STORY, "--seed", "3", "--split_each_text_prompt_by", "sentence"
    )
    status, (other,), err = perform("--from_manifest", str(manifest), "--text_temp", "0.2", "--output_dir", "elsewhere")
    assert status == 0 and "text_temp was 0.7 and is 0.2" in err and Path(other).parent == Path("elsewhere")
    _, (seeded,), _ = perform("--from_manifest", str(manifest), "--seed", "4")
    segments = json.loads(Path(seeded).with_suffix(".json").read_text())["segments"]
    assert {s["seeds"]["segment"] for s in segments} == {4} and len(segments) == 3
    _, (cut,), _ = perform("--from_manifest", str(manifest), "--split_each_text_prompt_by", "line")
    assert len(json.loads(Path(cut).with_suffix(".json").read_text())["segments"]) == 1


def test_differences_from_the_manifest_are_listed(perform, make_voice):
    make_voice(2.0).save("someone.npz")
    manifest = manifest_of_a_run(perform, "--text_prompt", "Hello.", "--history_prompt", "someone.npz")
    content = json.loads(manifest.read_text())
    changed = changed_copy(
        manifest, audio_sha256="0" * 64, versions=content["versions"] | {"torch": "1.0"}, machine={"threads": 99}
    )
    make_voice(2.0, seed=1).save("someone.npz")
    status, wavs, err = perform("--from_manifest", changed)
    assert status == 0 and len(wavs) == 1
    for part in ("versions torch was 1.0", "machine threads was 99", "the voice is a different one"):
        assert part in err, part
    assert "text_temp" not in err and "transformers was" not in err
    old = json.loads(manifest.read_text())
    assert differences(old, old) == []
    other = old | {"segments": [old["segments"][0] | {"text": "Bye."}]}
    assert differences(other, old) == ["texts, seeds or settings of segments differ"]


@pytest.mark.parametrize(
    ("original_flags", "flags"),
    [
        (["--text_temp", "0.5"], ["--text_temp", "0.1"]),
        (["--waveform_temp", "0.5"], ["--waveform_temp", "0.1"]),
        (["--mirostat_tau", "9"], ["--use_mirostat_sampling", "--mirostat_tau", "12"]),
        (["--use_mirostat_sampling"], ["--use_mirostat_sampling", "false"]),
        (["--confused_travolta_mode", "--semantic_max_gen_duration_s", "5"], ["--confused_travolta_mode", "false"]),
        (["--seed", "3"], ["--single_starting_seed", "9"]),
        (["--semantic_top_p", "0.5"], ["--semantic_inverted_p", "0.5"]),
        (["--negative_text_prompt", "Bye."], ["--negative_text_prompt_logits_scale", "1.5"]),
        (["--split_character_max_length", "60"], ["--split_character_max_length", "30"]),
        (["--text_temp", "0.5", "--semantic_temp", "0.4"], ["--text_temp", "0.1"]),
        (["--text_temp", "0.5", "--semantic_top_k", "1"], ["--semantic_top_k", "none"]),
        (
            ["--split_each_text_prompt_by", "sentence"],
            ["--bark_speaker_as_the_prompt", "someone.npz", "--dry_run", "false"],
        ),
    ],
)
def test_flags_override_settings_derived_from_those_in_the_manifest(perform, make_voice, original_flags, flags):
    make_voice(2.0).save("someone.npz")
    seeds = () if "--seed" in original_flags else ("--single_starting_seed", "6")
    manifest = manifest_of_a_run(perform, "--text_prompt", STORY, *original_flags, *seeds)
    status, wavs, err = perform("--from_manifest", str(manifest), *flags)
    assert status == 0 and "bit for bit" not in err and "what differs" in err
    assert not np.array_equal(sound(wavs[0]), sound(manifest.with_suffix(".wav")))


def test_settings_are_layered_and_printed_with_a_manifest(perform, capfd):
    manifest = manifest_of_a_run(perform, "--text_prompt", STORY, "--text_temp", "0.5", "--seed", "3")
    assert main(["--from_manifest", str(manifest), "--semantic_temp", "0.2", "--print_config"]) == 0
    Path("c.toml").write_text(capfd.readouterr().out)
    read = parse(["--config", "c.toml"])
    assert (read.text_temp, read.semantic_temp, read.seed, read.from_manifest) == (0.5, 0.2, 3, str(manifest))


def test_voice_beside_the_manifest_is_found(perform, make_voice):
    Path("kept").mkdir()
    make_voice(2.0).save("kept/someone.npz")
    how = ("--history_prompt", "someone", "--output_dir", "kept")
    manifest = manifest_of_a_run(perform, "--text_prompt", "Hello.", *how)
    _, _, err = perform("--from_manifest", str(manifest), "--output_dir", "elsewhere")
    assert "bit for bit" in err


def test_file_names_that_are_not_utf8_are_written_and_read(perform, make_voice):
    make_voice(2.0).save("v\udcff.npz")
    manifest = manifest_of_a_run(
        perform, "--text_prompt", "Hello.", "--history_prompt", "v\udcff.npz", "--output_dir", "a\udcfe"
    )
    _, _, err = perform("--from_manifest", str(manifest), "--output_dir", "b")
    assert "bit for bit" in err
    assert perform("--from_manifest", changed_copy(manifest, text="\ud800"))[0] == 2


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_manifest_with_a_windows_editors_encoding_is_read(perform, encoding):
    manifest = manifest_of_a_run(perform, "--text_prompt", "Grüße.")
    Path("saved.json").write_bytes(manifest.read_text(encoding="utf-8").replace("\n", "\r\n").encode(encoding))
    assert read_manifest("saved.json").content == read_manifest(str(manifest)).content


def test_manifest_of_a_cloned_voice_asks_for_history_prompt(perform, make_voice):
    manifest = manifest_of_a_run(perform, "--text_prompt", "Hello.")
    cloned = changed_copy(manifest, settings={"audio_file_as_history_prompt": "/etc/passwd"})
    status, _, err = perform("--from_manifest", cloned)
    assert status == 2 and "as --history_prompt" in err
    make_voice(2.0).save("someone.npz")
    assert perform("--from_manifest", cloned, "--history_prompt", "someone.npz")[0] == 0


def test_text_splits_only_shows_the_manifests_segments(perform):
    manifest = manifest_of_a_run(perform, "--text_prompt", STORY, "--split_each_text_prompt_by", "random")
    texts = [segment["text"] for segment in json.loads(manifest.read_text())["segments"]]
    assert perform("--from_manifest", str(manifest), "--text_splits_only")[1] == texts


# ---- output names ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [[], ["--regenerate", "1"], ["--restitch"]])
def test_reproduced_clip_is_saved_beside_the_original(perform, tmp_path, monkeypatch, way):
    """With the original's folder, name and format, each of which a flag can override."""
    how = ("--output_filename", "ch.flac", "--output_dir", "out")
    monkeypatch.setenv("COLUMNS", "300")  # paths stay whole
    manifest = str(manifest_of_a_run(perform, "--text_prompt", "Hello.", *how).absolute())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for flags, path in (
        ([], tmp_path / "out" / "ch_1.flac"),
        ([], tmp_path / "out" / "ch_2.flac"),
        (["--output_dir", "."], Path("ch.flac")),
        (["--output_dir", "bark_samples"], Path("bark_samples/ch.flac")),
        (["--output_filename", "new"], tmp_path / "out" / "new.flac"),
        (["--output_filename", "other.ogg"], tmp_path / "out" / "other.ogg"),
        (["--output_format", "ogg"], tmp_path / "out" / "ch_3.ogg"),
        (["--output_filename", "./mine.wav"], Path("mine.wav")),
    ):
        status, out, err = perform("--from_manifest", manifest, *way, *flags)
        assert status == 0 and [Path(p) for p in out] == [path] and path.exists(), err
    before = set(tmp_path.rglob("*"))
    _, _, err = perform("--from_manifest", manifest, *way, "--dry_run")
    assert "ch_4.flac" in err and set(tmp_path.rglob("*")) == before


def test_clip_with_the_ending_of_a_document_in_its_name_is_reproduced(perform):
    manifest = manifest_of_a_run(perform, "--text_prompt", "Hello.", "--output_filename", "out/ch.wav")
    for path in manifest.parent.iterdir():
        path.rename(path.with_name(f"ch.docx{path.suffix}"))
    _, out, err = perform("--from_manifest", str(manifest.with_name("ch.docx.json")))
    assert out == ["bark_samples/out/ch.wav"], err


def test_output_settings_of_a_file_apply_unless_they_are_defaults(perform, capfd):
    manifest = manifest_of_a_run(perform, "--text_prompt", "Hello.", "--output_dir", "out", "--output_filename", "ch")
    main(["--print_config", "--device", "cpu"])
    Path("printed.toml").write_text(capfd.readouterr().out)
    Path("mine.toml").write_text('output_dir = "mine"\noutput_iterations = 3\n')
    for file, path in (("printed.toml", "out/ch_1.wav"), ("mine.toml", "mine/ch.wav")):
        _, out, err = perform("--config", file, "--from_manifest", str(manifest))
        assert out == [path], err


# ---- voices ---------------------------------------------------------------------------------------------------------


def test_voice_is_found_beside_the_manifest_by_its_tokens(perform, make_voice, tmp_path, monkeypatch):
    make_voice(2.0).save("someone.npz")
    manifest = manifest_of_a_run(perform, "--text_prompt", "Hello.", "--history_prompt", "someone.npz").absolute()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert "there is no voice" in perform("--from_manifest", str(manifest))[2]
    (tmp_path / "someone.npz").rename(manifest.with_name("someone.npz"))
    make_voice(2.0, seed=1).save("someone.npz")  # a different voice of the same name in the current folder
    _, _, err = perform("--from_manifest", str(manifest))
    assert "bit for bit" in err
    _, _, err = perform("--from_manifest", str(manifest), "--history_prompt", "someone.npz")
    assert "the voice is a different one" in err


def test_cloned_voice_is_found_beside_the_manifest(perform, make_voice):
    make_voice(2.0).save("me.npz")
    manifest = manifest_of_a_run(perform, "--text_prompt", "Hello.", "--history_prompt", "me.npz")
    content = json.loads(manifest.read_text())
    del content["settings"]["history_prompt"]
    content["settings"]["audio_file_as_history_prompt"] = "me.wav"
    manifest.write_text(json.dumps(content))
    assert "cloned from me.wav" in perform("--from_manifest", str(manifest))[2]
    make_voice(2.0, seed=1).save(manifest.with_name("me.npz"))
    Path("me.npz").rename(manifest.with_name("me_1.npz"))
    status, _, err = perform("--from_manifest", str(manifest))
    assert status == 0 and "bit for bit" in err


@pytest.mark.parametrize("setting", ["history_prompt", "bark_speaker_as_the_prompt"])
@pytest.mark.parametrize(
    "place",
    ["../../etc/passwd", "/etc/passwd", "~/v.npz", "a/../../v.npz", "C:\\v.npz", "\\\\host\\v.npz", "//host/v.npz", "..\\v.npz"],
)  # fmt: skip
def test_voice_path_outside_the_folder_is_not_opened(perform, make_voice, monkeypatch, setting, place):
    manifest = manifest_of_a_run(perform, "--text_prompt", "Hello.")
    changed = changed_copy(manifest, settings={setting: place})
    opened = []
    monkeypatch.setattr("bark_infinity.voices.npz.open_voice_file", lambda path: opened.append(path))
    for more in ([], ["--dry_run"], ["--text_splits_only"]):
        status, out, err = perform("--from_manifest", changed, *more)
        assert status == 2 and not out and f"give it as --{setting}" in err and not opened
    assert perform("--from_manifest", changed, "--restitch", "--dry_run")[0] == 0


def test_voice_elsewhere_is_used_if_given_as_a_flag_or_also_here(perform, make_voice, tmp_path, monkeypatch):
    make_voice(2.0).save("v.npz")
    how = ("--text_prompt", "Hello.", "--history_prompt", str(tmp_path / "v.npz"))
    manifest = manifest_of_a_run(perform, *how).absolute()
    _, _, err = perform("--from_manifest", str(manifest))  # in the current folder
    assert "bit for bit" in err
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    status, _, err = perform("--from_manifest", str(manifest))
    assert status == 2 and f"give it as --history_prompt {tmp_path / 'v.npz'}" in err.replace("- ", "-")
    _, _, err = perform("--from_manifest", str(manifest), "--history_prompt", str(tmp_path / "v.npz"))
    assert "bit for bit" in err
    make_voice(2.0).save("v.npz")
    _, _, err = perform("--from_manifest", str(manifest))
    assert "bit for bit" in err


# ---- untrusted manifests --------------------------------------------------------------------------------------------


def test_manifest_cannot_run_code_or_choose_where_to_write(perform):
    manifest = manifest_of_a_run(perform, "--text_prompt", "Hello.")
    Path("evil.py").write_text("open('ran', 'w')\ndef f(context): pass\n")
    places = {
        "output_dir": "climbed",
        "output_filename": "climbed",
        "model_dir": "climbed",
        "render_npz_samples": "climbed",
    }
    more = {
        "output_format": "mp4",
        "output_format_ffmpeg_parameters": "-y climbed",
        "hoarder_mode": True,
        "config": "x",
    }
    status, (wav,), _ = perform("--from_manifest", changed_copy(manifest, settings=places | more))
    assert status == 0 and wav == "changed_1.wav"
    assert not [p for p in Path().rglob("*") if "climbed" in p.name]
    function = changed_copy(manifest, settings={"custom_audio_processing_function": "evil.py:f"})
    status, _, err = perform("--from_manifest", function)
    assert status == 2 and "the function evil.py:f, which is not run unasked" in err and not Path("ran").exists()
    assert perform("--from_manifest", function, "--custom_audio_processing_function", "evil.py:f")[0] == 0
    assert Path("ran").exists()


CHANGES = [
    {"format": 2},
    {"segments": []},
    {"segments": "none"},
    {"segments": [{"text": 3, "seeds": {}}]},
    {"segments": [{"text": "a", "seeds": {"segment": -1}}]},
    {"segments": [{"text": "a", "seeds": {"segment": True}}]},
    {"segments": [{"text": "a", "seeds": {"nonsense": 1}}]},
    {"segments": [{"text": "a", "seeds": {}, "pause": {"kind": "verse"}}]},
    {"segments": [{"text": "a", "seeds": {}, "pause": {"kind": "asked", "seconds": -1.0}}]},
    {"segments": [{"text": "a", "seeds": {}, "pause": {"kind": "segment", "sounds": [{"file": 3}]}}]},
    {"segments": [{"text": "a", "seeds": {}, "own_settings": {"model": "x"}}]},
    {"segments": [{"text": "a", "seeds": {}, "speaker": 3}]},
    {"script": "[pauze:1s]"},
    {"lead": []},
    {"segments": [{"text": "a", "seeds": {}, "pause": 1.5}]},
    {"segments": [["text"]]},
    {"text": None},
    {"seed": 2**70},
    {"seed": "4"},
    {"take": 1.5},
    {"settings": {"text_temp": "warm"}},
    {"settings": {"text_temp": [1]}},
    {"settings": {"text_temp": -1.0}},
    {"settings": {"device": "tpu"}},
    {"settings": {"custom_audio_processing_function": 3}},
    {"settings": {"history_prompt": 3.5}},
]


@pytest.mark.parametrize("change", CHANGES)
def test_invalid_manifest_is_refused_in_one_line(perform, change):
    manifest = manifest_of_a_run(perform, "--text_prompt", "Hello.")
    status, out, err = perform("--from_manifest", changed_copy(manifest, **change))
    assert status == 2 and not out and err.startswith("error: ") and err.count("error:") == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON"),
        (b"[1]", "not the manifest"),
        (b"{}", "not the manifest"),
        (b'{"format": 1}', "not the manifest"),
        (b"[" * 100_000, "not JSON"),
        (b'{"format": 1, "text": "\xff"}', "not JSON"),
        (b'{"format": NaN}', "format nan"),
        (b'{"format": ' + b"9" * 5000 + b"}", "JSON|format"),
    ],
)
def test_files_that_are_not_manifests_are_refused(content, message):
    Path("x.json").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_manifest("x.json")
    for name in ("absent.json", "."):
        with pytest.raises(UsageError, match="cannot be read"):
            read_manifest(name)
