"""--history_prompt random: a new voice that can be spoken with again by its name, the same one where a run is resumed or seeded."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bark_infinity import Voice, narrate
from bark_infinity.bark import Bark
from bark_infinity.cli.main import main
from bark_infinity.errors import VoiceError
from bark_infinity.options.table import Options
from bark_infinity.run import random_voice
from bark_infinity.run.random_voice import make_voice, name_of_voice

SHORT = ["--model", "demo", "--fine_temp", "0", "--semantic_max_gen_duration_s", "0.3", "--history_prompt", "random"]


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """One short sentence, because the Babbler of the tests never stops early."""
    monkeypatch.setattr(random_voice, "_LEAST_SECONDS", 0.1)
    stream = Bark.stream

    def brief(self, segments, settings, *more):
        import dataclasses

        semantic = dataclasses.replace(settings.semantic, max_gen_duration_s=0.3)
        return stream(self, segments, dataclasses.replace(settings, semantic=semantic), *more)

    monkeypatch.setattr(Bark, "stream", brief)


def speak(*arguments: str, text: str = "Hello") -> dict:
    """The manifest of the clip that a command line makes."""
    before = set(Path("bark_samples").glob("*.json"))
    assert main([*SHORT, "--text_prompt", text, *arguments]) == 0
    (manifest,) = set(Path("bark_samples").glob("*.json")) - before
    return json.loads(manifest.read_text()) | {"file": manifest.name}


def test_names_can_be_spoken_and_belong_to_seed_and_model():
    names = {name_of_voice(seed, model) for seed in range(500) for model in ("large", "demo")}
    assert len(names) > 990
    assert all(re.fullmatch("([bdklmnrv][aeiou]){3}[nlrs]?", name) for name in names)
    assert name_of_voice(7, "large") == name_of_voice(7, "large") != name_of_voice(7, "demo")


def test_every_run_has_a_new_voice_that_its_name_speaks_in_again(capfd):
    first, second = speak(), speak()
    names = [manifest["settings"]["history_prompt"] for manifest in (first, second)]
    assert names[0] != names[1]
    files = [Path("bark_voices", f"{name}.npz") for name in names]
    assert sorted(Path("bark_voices").iterdir()) == sorted(files)
    for manifest, name, file in zip((first, second), names, files, strict=True):
        assert manifest["voice"] == {"name": name, "sha256": Voice.load(file).digest()}
        assert f"SPK-{name}" in manifest["file"]
    assert f"--history_prompt {names[0]} speaks in it again" in " ".join(capfd.readouterr().err.split())
    again = speak("--history_prompt", names[0], "--seed", str(first["seed"]), text="Hello")
    assert again["voice"]["sha256"] == first["voice"]["sha256"]


def test_seed_gives_the_same_name_and_voice_whatever_is_said():
    one = speak("--seed", "5")
    other = speak("--seed", "5", "--text_temp", "0.3", text="Something else.")
    assert one["voice"] == other["voice"] and len(list(Path("bark_voices").iterdir())) == 1


def test_another_voice_of_that_name_is_not_overwritten(make_voice):
    name = name_of_voice(5, "demo")
    make_voice(2.0).save(_in_folder(name))
    before = _in_folder(name).read_bytes()
    assert speak("--seed", "5")["voice"]["name"] == f"{name}_1"
    assert _in_folder(name).read_bytes() == before


def test_all_prompts_and_speakers_without_a_voice_share_the_new_one():
    Path("play.txt").write_text("+++\n[cast]\nAnna = {text_temp = 0.6}\n+++\nAnna: One dog.\nTwo cats.\n")
    assert main([*SHORT, "--prompt_file", "play.txt"]) == 0
    (file,) = Path("bark_samples").glob("*.json")
    manifest = json.loads(file.read_text())
    assert manifest["cast"]["Anna"]["sha256"] == manifest["voice"]["sha256"]


def test_interrupted_run_goes_on_in_the_same_voice(monkeypatch, capfd):
    command = [*SHORT, "--prompt_file", "two.txt", "--split_each_text_prompt_by", "line", "--batch_size", "1"]
    Path("two.txt").write_text("One dog.\nTwo cats.\n")
    stream = Bark.stream
    calls = []

    def stop_after_voice_and_first_segment(*arguments):
        for item in stream(*arguments):
            calls.append(item)
            yield item
            if len(calls) == 2:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Bark, "stream", stop_after_voice_and_first_segment)
        assert main(command) == 130
    assert main(command) == 0
    assert "1 of 2 segments were done" in " ".join(capfd.readouterr().err.split())
    assert len(list(Path("bark_voices").iterdir())) == 1


def test_clip_is_made_again_in_its_voice(capfd):
    first = speak("--output_filename", "first")
    assert main(["--model", "demo", "--from_manifest", "bark_samples/first.json"]) == 0
    assert "bit for bit" in capfd.readouterr().err and first["settings"]["history_prompt"] != "random"
    speak("--output_filename", "second", "--voice_dir", "mine")
    assert main(["--model", "demo", "--from_manifest", "bark_samples/second.json"]) == 0
    assert "bit for bit" in capfd.readouterr().err


def test_dry_run_names_the_voice_and_writes_nothing(capfd):
    assert main([*SHORT, "--text_prompt", "Hello", "--seed", "5", "--dry_run"]) == 0
    error = " ".join(capfd.readouterr().err.split())
    name = name_of_voice(5, "demo")
    assert f"a new voice would be made and kept as bark_voices/{name}.npz" in error and f"SPK-{name}" in error
    assert not list(Path().iterdir())


def test_narrate_makes_one_too(demo):
    narration = narrate(demo, "Hello", "random", seed=5, options=Options(semantic_max_gen_duration_s=0.3))
    assert len(narration.audio)
    assert [path.stem for path in Path("bark_voices").iterdir()] == [name_of_voice(5, "demo")]


def test_voice_speaks_the_language_of_the_text(monkeypatch):
    said = []

    class Listening:
        def stream(self, segments, *_):
            said.append(segments[0].text)
            return iter([(0, type("Generation", (), {"voice": Voice.load(_demo_voice())})())])

    for text in (
        "Es war einmal ein König, der hatte eine Tochter.",
        "むかしむかし、あるところに",
        "Once upon a time there was a king who had a daughter.",
    ):
        make_voice(Listening(), 1, text)
    assert ["Guten" in said[0], "こんばんは" in said[1], "Good evening" in said[2]] == [True] * 3


def test_model_that_says_nothing_is_an_error_after_some_tries():
    class Silent:
        seeds: list = []

        def stream(self, segments, *_):
            self.seeds.append(segments[0].seeds.segment)
            voice = Voice.load(_demo_voice())
            return iter(
                [
                    (
                        0,
                        type(
                            "Generation",
                            (),
                            {"voice": Voice(voice.semantic[:0], voice.coarse[:, :0], voice.fine[:, :0])},
                        )(),
                    )
                ]
            )

    with pytest.raises(VoiceError, match="no voice came out in 4 tries"):
        make_voice(Silent(), 1, "Hello")
    assert len(set(Silent.seeds)) == 4


def _in_folder(name: str) -> Path:
    Path("bark_voices").mkdir(exist_ok=True)
    return Path("bark_voices", f"{name}.npz")


def _demo_voice() -> Path:
    from bark_infinity.voices.library import DEMO_VOICES

    return DEMO_VOICES / "demo_male.npz"


def test_all_shards_speak_in_one_voice():
    """That of the first text of the whole run."""
    Path("two.txt").write_text("Der Hund ist nicht hier, und ich habe ihn nicht gesehen.\nThe cat sat on the mat.\n")
    for shard in ("1/2", "2/2"):
        arguments = ["--prompt_file", "two.txt", "--split_input_into_separate_prompts_by", "line", "--seed", "3"]
        assert main([*SHORT, *arguments, "--shard", shard]) == 0
    assert len(list(Path("bark_voices").iterdir())) == 1
