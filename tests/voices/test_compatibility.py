"""A voice is accepted by the models whose tokens it holds; other models refuse it and name voices that suit."""

from __future__ import annotations

import numpy as np
import pytest

from bark_infinity import Bark
from bark_infinity import constants as c
from bark_infinity.checkpoints.finding import DEMO
from bark_infinity.cli.main import main
from bark_infinity.errors import VoiceError
from bark_infinity.voices import compatibility
from bark_infinity.voices.compatibility import check_compatible, models_of
from bark_infinity.voices.library import DEMO_VOICES, list_voices
from bark_infinity.voices.voice import Voice

PUBLISHED = c.SEMANTIC_VOCAB_SIZE


@pytest.fixture
def real_demo(monkeypatch):
    """The demo's own vocabulary, which conftest sets to that of the babbler."""
    monkeypatch.setitem(compatibility.SEMANTIC_VOCAB_SIZES, "demo", compatibility.DEMO_SEMANTIC_VOCAB_SIZE)


@pytest.fixture(scope="module")
def speaking_demo() -> Bark:
    """The demo itself, all of it loaded."""
    loaded = Bark.load(str(DEMO), device="cpu")
    assert loaded.codec
    return loaded


def demo_voice() -> Voice:
    return Voice.load(DEMO_VOICES / "demo_male.npz")


def test_demo_vocabulary_size_matches_its_checkpoint():
    import json

    config = json.loads((DEMO / "generation_config.json").read_text())
    assert config["semantic_config"]["semantic_vocab_size"] == compatibility.DEMO_SEMANTIC_VOCAB_SIZE


def test_models_of_a_voice_are_inferred_from_its_tokens(make_voice, shared_voices):
    assert models_of(demo_voice().semantic) == "demo"
    assert models_of(make_voice(4.0).semantic) == "large, small"
    assert models_of(np.array([5, 5, 6])) == ""  # silence: any model's
    for path in shared_voices.rglob("*.npz"):
        assert models_of(Voice.load(path).semantic) == "large, small", path


@pytest.mark.parametrize(
    ("manifest", "models"),
    [
        ('{"model": "demo"}', "demo"),
        ('{"model": "small"}', "large, small"),
        ('{"model": "somebody/bark"}', "somebody/bark"),
        ('{"segment": 1, "clip": {"model": "demo"}}', "demo"),
        ('{"model": 5}', ""),
        ('{"model": "a\\nb"}', ""),
        ('{"clip": 5}', ""),
        ("[]", ""),
        ("no JSON", ""),
        (None, ""),
    ],
)
def test_short_clips_are_listed_with_the_model_of_their_manifest(make_voice, tmp_path, manifest, models):
    """Their few tokens do not show which model they are from."""
    voice = make_voice(1.0)
    short = Voice(np.full_like(voice.semantic, 5), voice.coarse, voice.fine)
    short.save(tmp_path / "short.npz")
    voice.save(tmp_path / "real.npz")
    for name in ("short", "real"):
        if manifest is not None:
            (tmp_path / name).with_suffix(".json").write_text(manifest)
    listed = {found.name: found.models for found in list_voices([tmp_path])}
    assert listed == {"short": models, "real": "large, small"}


def test_no_second_of_a_published_voice_is_taken_for_a_demo_voice(shared_voices):
    for path in shared_voices.rglob("*.npz"):
        semantic = Voice.load(path).semantic
        for start in range(len(semantic) - 49):  # a second
            assert models_of(semantic[start : start + 50]) != "demo", path


def test_voice_of_another_model_is_refused_naming_suitable_voices(make_voice):
    check_compatible(demo_voice(), "it", "demo", compatibility.DEMO_SEMANTIC_VOCAB_SIZE)
    check_compatible(make_voice(3.0), "it", "large", PUBLISHED)
    with pytest.raises(VoiceError, match="^the voice x was made for another model.*suit large: Bark's presets"):
        check_compatible(demo_voice(), "the voice x", "large", PUBLISHED)
    with pytest.raises(VoiceError, match="beyond the 2528 that demo knows.*suit demo: demo_male, demo_female"):
        check_compatible(make_voice(3.0), "the voice x", "demo", compatibility.DEMO_SEMANTIC_VOCAB_SIZE)


@pytest.mark.parametrize(
    ("model", "voice", "suitable"),
    [
        ("large", "demo_male", "v2/en_speaker_6"),
        ("small", "demo_female", "v2/en_speaker_6"),
        ("demo", "v2/en_speaker_6", "demo_male"),
        ("demo", "announcer", "demo_female"),
        ("demo", "other.npz", "demo_female"),
    ],
)
@pytest.mark.parametrize("more", [(), ("--dry_run",)])
def test_command_line_refuses_incompatible_voice_before_loading_a_model(
    real_demo, make_voice, monkeypatch, capsys, model, voice, suitable, more
):
    monkeypatch.setenv("COLUMNS", "500")
    monkeypatch.setattr("bark_infinity.cli.commands.speak", None)
    make_voice(3.0).save("other.npz")
    assert main(["--model", model, "--history_prompt", voice, "--text_prompt", "Hello.", *more]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: the voice {voice} was made for") and error.count("error") == 1
    assert suitable in error.partition(f"voices that suit {model}: ")[2]


def test_speak_refuses_incompatible_voice_without_downloading_the_preset(speaking_demo, monkeypatch, make_voice):
    monkeypatch.setattr(speaking_demo.hub, "preset", None)
    for voice in ("v2/en_speaker_6", make_voice(3.0)):
        with pytest.raises(VoiceError, match="demo_male, demo_female"):
            speaking_demo.speak("Hello.", voice=voice)


def test_published_model_refuses_demo_voices(bark):
    for voice in ("demo_male", demo_voice(), demo_voice().prompts()):
        with pytest.raises(VoiceError, match="the demo model's tokens"):
            bark.speak("Hello.", voice=voice)


def test_demo_voices_are_found_by_name_from_any_folder(speaking_demo, tmp_path):
    generation = speaking_demo.speak("Hello.", voice="demo_female", seed=1)
    assert generation.audio.size and not list(tmp_path.iterdir())
