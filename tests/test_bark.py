"""Bark: segments of a batch are independent, each seed starts its own stage, and the original's functions give its results."""

from __future__ import annotations

import dataclasses

import numpy as np
import plain
import pytest
import torch

import bark_infinity
from bark_infinity import Bark, Seeds, Segment, Settings, Voice
from bark_infinity.errors import TextError, UsageError, VoiceError
from bark_infinity.model.devices import Placement, on_device
from bark_infinity.model.sampling import RowRandom
from bark_infinity.stages.coarse import CoarseSettings
from bark_infinity.stages.fine import FineSettings
from bark_infinity.stages.semantic import SemanticRow, SemanticSettings
from bark_infinity.stages.slots import Slots
from bark_infinity.voices.history import History

TEXT = "Hello there, General."


@pytest.fixture
def drop_in(huggingface_folder):
    """The original's functions on the tiny model."""
    bark_infinity.preload_models(model=str(huggingface_folder), device="cpu", dtype="float32")
    return bark_infinity


def plain_clip(oracle, ids, voice: Voice | None, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All three stages of the plain loop from one seed, as the original runs them."""
    torch.manual_seed(seed)
    semantic = plain.semantic(oracle, ids, None if voice is None else voice.semantic)
    coarse = plain.coarse(oracle, semantic, *(() if voice is None else (voice.semantic, voice.coarse)))
    return semantic, coarse, plain.fine(oracle, coarse, None if voice is None else voice.fine)


@pytest.mark.parametrize("seconds", [None, 8.0])
def test_seeded_tokens_equal_the_originals(bark, oracle, drop_in, make_voice, seconds):
    voice = seconds and make_voice(seconds)
    expected = plain_clip(oracle, bark.encode(TEXT), voice, seed=11)

    torch.manual_seed(11)
    tokens, audio = drop_in.generate_audio(TEXT, voice, silent=True, output_full=True)
    for name, array in zip(("semantic_prompt", "coarse_prompt", "fine_prompt"), expected, strict=True):
        np.testing.assert_array_equal(tokens[name], array)
    generation = bark.speak(TEXT, voice, seed=11)
    np.testing.assert_array_equal(generation.voice.fine, expected[2])
    np.testing.assert_array_equal(generation.audio, audio)


def test_segments_of_a_batch_equal_single_segments(bark, make_voice):
    texts = ["One.", "A second segment that is longer than the first.", "Three?", "The fourth one, with a voice."]
    voices = [None, make_voice(2.0), None, make_voice(8.0, seed=3)]
    segments = [Segment(t, History.of_voice(v), Seeds(k)) for k, (t, v) in enumerate(zip(texts, voices, strict=True))]
    for segment, together in zip(segments, bark.generate(segments), strict=True):
        alone = bark.generate([segment])[0]
        np.testing.assert_array_equal(together.voice.fine, alone.voice.fine)
        np.testing.assert_allclose(together.audio, alone.audio, atol=1e-6)


def test_no_segments_give_no_generations(bark):
    assert bark.generate([]) == []


def test_segments_with_different_settings_run_in_one_batch(bark, make_voice, monkeypatch):
    """Each stage runs once, and every segment has the tokens that it has alone: with and without words, text or history."""
    short = SemanticSettings(max_gen_duration_s=0.4)
    steered = dataclasses.replace(short, negative_logits_scale=0.5, repeat_penalty=0.7)
    window = CoarseSettings(max_coarse_history=90, sliding_window_len=20, top_k=50)
    own = [
        None,
        Settings(dataclasses.replace(short, temperature=0.0), CoarseSettings(0.0), FineSettings(0.0)),
        Settings(steered, window, FineSettings(1.0), negative_text="Go away."),
        Settings(short, CoarseSettings(top_p=0.5)),
        Settings(dataclasses.replace(short, statistics=True), negative_text="No."),
    ]
    texts = ["One.", None, "Three, and more.", "Four?", "Five", "Six."]
    segments = [
        Segment(text, History.of_voice(make_voice(1.0 + k, seed=k) if k % 2 else None), Seeds(k), settings=own[k % 5])
        for k, text in enumerate(texts)
    ]
    segments.append(Segment("words", History.of_voice(None), Seeds(9), make_voice(0.5).semantic, own[3]))
    usual = Settings(short)
    alone = [bark.generate([segment], usual)[0] for segment in segments]
    stages = []
    run_stage = bark.run_stage
    monkeypatch.setattr(bark, "run_stage", lambda name, *more: stages.append(name) or run_stage(name, *more))
    for rows in (2, None):
        stages.clear()
        for together, single in zip(bark.generate(segments, usual, rows=rows), alone, strict=True):
            np.testing.assert_array_equal(together.voice.fine, single.voice.fine)
            np.testing.assert_array_equal(together.voice.semantic, single.voice.semantic)
            assert together.statistics == single.statistics and together.ended == single.ended
            np.testing.assert_allclose(together.audio, single.audio, atol=1e-6)
        assert stages == ["semantic", "coarse"]


def test_batch_size_is_that_of_the_largest_rows(bark, monkeypatch):
    """Rows with a negative text take twice the memory."""
    sizes = []
    generate = Bark.run_stage
    monkeypatch.setattr(Bark, "rows_at_once", lambda _, settings: 6 if settings.negative_text is None else 3)
    monkeypatch.setattr(Bark, "run_stage", lambda *given: sizes.append(given[-1]) or generate(*given))
    short = Settings(SemanticSettings(max_gen_duration_s=0.1))
    mixed = [Segment("Hi."), Segment("Hi.", settings=dataclasses.replace(short, negative_text="Go."))]
    bark.generate(mixed, short)
    bark.generate(mixed[:1], short)
    assert sizes == [3, 3, 6, 6]


def test_stage_seed_changes_only_its_stage(bark):
    say = lambda **seeds: bark.generate([Segment(TEXT, seeds=Seeds(**seeds))])[0].voice  # noqa: E731
    plain_run, coarse_run = say(segment=1), say(segment=1, coarse=9)
    np.testing.assert_array_equal(plain_run.semantic, coarse_run.semantic)
    assert not np.array_equal(plain_run.coarse, coarse_run.coarse)
    np.testing.assert_array_equal(say(segment=5, semantic=2).semantic, say(segment=6, semantic=2).semantic)
    one, other = say(segment=1, fine=3), say(segment=1, fine=4)
    np.testing.assert_array_equal(one.coarse, other.coarse)
    assert not np.array_equal(one.fine, other.fine)


def test_long_text_is_truncated_and_the_lost_tokens_counted(bark):
    long = "a" + " b" * 300
    (generation,) = bark.generate([Segment(long, seeds=Seeds(1))])
    assert generation.cut_ids == 301 - 256
    np.testing.assert_array_equal(generation.voice.semantic, bark.speak("a" + " b" * 255, seed=1).voice.semantic)


def test_speech_that_ends_at_once_gives_a_silent_result(bark):
    at_once = Settings(SemanticSettings(min_eos_p=0.0))
    silent, spoken = bark.generate([Segment("Hi")], at_once)[0], bark.speak("Hi", seed=1)
    assert silent.silent and silent.audio.shape == (0,) and silent.voice.fine.shape == (8, 0)
    assert not spoken.silent


def test_empty_text_is_refused(bark):
    with pytest.raises(TextError):
        bark.speak("  \n ")


# ---- the original's functions ---------------------------------------------------------------------------------------


def test_functions_return_the_originals_types(drop_in, tmp_path):
    semantic = drop_in.text_to_semantic(TEXT, silent=True)
    coarse = drop_in.generate_coarse(semantic, silent=True, use_kv_caching=True)
    fine = drop_in.generate_fine(coarse)
    audio = drop_in.codec_decode(fine)
    assert (semantic.dtype, coarse.dtype, fine.dtype, audio.dtype) == (np.int64, np.int64, np.int32, np.float32)
    assert semantic.ndim == 1 and coarse.shape[0] == 2 and fine.shape[0] == 8 and audio.shape == (fine.shape[1] * 320,)
    full = {"semantic_prompt": semantic, "coarse_prompt": coarse, "fine_prompt": fine}
    drop_in.save_as_prompt(tmp_path / "mine.npz", full)
    torch.manual_seed(1)
    from_path = drop_in.generate_audio("Go on", str(tmp_path / "mine.npz"), silent=True)
    for same in (full, Voice.load(tmp_path / "mine.npz")):
        torch.manual_seed(1)
        np.testing.assert_array_equal(drop_in.generate_audio("Go on", same, silent=True), from_path)


def test_semantic_to_waveform_accepts_any_tokens(drop_in):
    tokens, audio = drop_in.semantic_to_waveform(np.arange(60), silent=True, output_full=True)
    assert tokens["fine_prompt"].shape == (8, 90) and audio.shape == (90 * 320,)


def test_min_eos_p_none_disables_the_end_by_probability(drop_in):
    torch.manual_seed(1)
    long = drop_in.generate_text_semantic(TEXT, min_eos_p=None, silent=True, use_kv_caching=True)
    torch.manual_seed(1)
    assert len(drop_in.generate_text_semantic(TEXT, min_eos_p=0.001, silent=True, use_kv_caching=True)) < len(long)


def test_loading_does_not_use_the_default_generator(huggingface_folder):
    torch.manual_seed(1)
    state = torch.get_rng_state()
    assert bark_infinity.Bark.load(str(huggingface_folder), device="cpu").codec
    assert torch.equal(torch.get_rng_state(), state)


def test_loaded_model_is_not_loaded_again(drop_in, huggingface_folder, monkeypatch):
    from bark_infinity import drop_in as module

    loaded = []
    monkeypatch.setattr(module, "load_models", loaded.append)
    drop_in.preload_models(model=str(huggingface_folder), device="cpu", dtype="float32")
    assert not loaded


def test_environment_variables_apply_to_python(monkeypatch):
    from bark_infinity import drop_in as module

    choices = []
    monkeypatch.setattr(module, "load_models", choices.append)
    monkeypatch.setattr(module, "Bark", lambda models: "a Bark")
    monkeypatch.setattr(module, "_session", module._Session())
    monkeypatch.setenv("SUNO_USE_SMALL_MODELS", "1")
    monkeypatch.setenv("SUNO_OFFLOAD_CPU", "true")
    bark_infinity.preload_models(coarse_use_gpu=False)
    assert choices[0].small_stages == {"semantic", "coarse", "fine"} and choices[0].offload is True
    assert choices[0].cpu_stages == {"coarse"} and choices[0].model == "large"


def test_generate_fine_continues_any_number_of_codebooks(drop_in):
    codes = np.random.default_rng(1).integers(0, 1024, (5, 40))
    fine = drop_in.generate_fine(codes)
    np.testing.assert_array_equal(fine[:5], codes)
    assert fine.shape == (8, 40) and fine.max() < 1024
    one = drop_in.generate_fine(codes[:1])
    np.testing.assert_array_equal(one[:1], codes[:1])
    assert one.max() < 1024


def test_presets_are_loaded_with_the_models_hub_settings(huggingface_folder, monkeypatch):
    from bark_infinity.checkpoints import hub

    cached_repo, caches = hub.CachedRepo, set()

    def watched(repo, cache):
        caches.add(str(cache))
        return cached_repo(repo, cache)

    monkeypatch.setattr(hub, "CachedRepo", watched)
    bark = bark_infinity.Bark.load(str(huggingface_folder), device="cpu", offline=True, model_dir="mine")
    with pytest.raises(VoiceError, match="offline is set"):
        bark.speak("Hi", voice="v2/en_speaker_6")
    assert caches == {"mine"}


@pytest.mark.parametrize(
    "call",
    [
        lambda b: b.generate_coarse(np.array([1.5, 2.5])),
        lambda b: b.generate_fine(np.zeros((8, 4), int)),
        lambda b: b.generate_coarse(np.array([10_000])),
        lambda b: b.generate_coarse(np.arange(20), max_coarse_history=700),
        lambda b: b.generate_coarse(np.arange(20), sliding_window_len=200),
        lambda b: b.generate_fine(np.zeros((2, 0), int)),
        lambda b: b.codec_decode(np.full((8, 4), 1024)),
        lambda b: b.save_as_prompt("voice.txt", {}),
    ],
)
def test_wrong_arguments_are_refused(drop_in, call):
    with pytest.raises(UsageError):
        call(drop_in)


def test_wrong_voices_are_refused(drop_in):
    with pytest.raises(VoiceError):
        drop_in.generate_audio("Hi", {"semantic_prompt": np.arange(5)}, silent=True)


def test_progress_is_shown_unless_silent(drop_in, capfd, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich draws on terminals alone
    drop_in.generate_fine(np.zeros((2, 5), int), silent=True)
    assert capfd.readouterr().err == ""
    drop_in.generate_fine(np.zeros((2, 5), int), silent=False)
    assert "fine" in capfd.readouterr().err


# ---- devices --------------------------------------------------------------------------------------------------------


class Recorder:
    """A model that only records the devices it is moved to."""

    def __init__(self):
        self.moves: list[str] = []

    def to(self, device: torch.device) -> None:
        self.moves.append(device.type)


def test_offloaded_model_is_on_the_gpu_only_while_in_use():
    model, gpu = Recorder(), torch.device("cuda")
    with pytest.raises(ZeroDivisionError), on_device(model, Placement(gpu, torch.float32, offload=True)):
        assert model.moves == ["cuda"]
        _ = 1 / 0
    assert model.moves == ["cuda", "cpu"]
    with on_device(model, Placement(gpu, torch.float32)):
        pass
    assert len(model.moves) == 2


def test_steps_of_a_narrow_model_take_one_thread(bark, two_threads, monkeypatch):
    """Of several the others would wait longer than they work, and on a busy machine for a core. What the caller does
    between steps has all of them."""
    in_steps, between = [], []
    step = Slots.step

    def observed(slots: Slots, tokens: torch.Tensor) -> torch.Tensor:
        in_steps.append(torch.get_num_threads())
        return step(slots, tokens)

    monkeypatch.setattr(Slots, "step", observed)
    bark.run_stage(
        "semantic",
        [SemanticRow(bark.encode("Hi."), np.zeros(0, int), RowRandom(0), SemanticSettings(max_gen_duration_s=0.1))],
        lambda *_: between.append(torch.get_num_threads()),
    )
    assert set(in_steps) == {1} and set(between) == {2} and torch.get_num_threads() == 2


def test_placement_follows_the_flags(monkeypatch):
    from bark_infinity.checkpoints import loading
    from bark_infinity.checkpoints.reading import STAGES, StageWeights
    from bark_infinity.model.choices import Choices
    from bark_infinity.model.gpt import GPTConfig

    weights = {s: StageWeights(GPTConfig(1, 1, 1, 1, 1, 1), {"x": torch.empty(2**30, device="meta")}) for s in STAGES}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    for free, offloads in ((16 * 2**30, False), (4 * 2**30, True)):
        monkeypatch.setattr(loading, "free_memory", lambda _, free=free: free)
        places = loading._place(weights, loading.ModelChoice(cpu_stages=frozenset({"fine", "codec"})), Choices(None))
        assert {stage: place.device.type for stage, place in places.items()} == {
            "semantic": "cuda",
            "coarse": "cuda",
            "fine": "cpu",
            "codec": "cpu",
        }
        assert places["semantic"].dtype == torch.bfloat16 and places["fine"].dtype == torch.float32
        assert places["semantic"].offload is offloads and places["fine"].offload is False
    forced = loading._place(weights, loading.ModelChoice(offload=True), Choices(None))
    assert forced["coarse"].offload and forced["coarse"].resting.type == "cpu"


def test_absent_devices_are_refused():
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA GPU here")
    from bark_infinity.model.devices import choose_device

    assert choose_device("auto", enable_mps=False).type == "cpu"
    with pytest.raises(UsageError, match="--device cuda"):
        choose_device("cuda")


def test_number_of_rows_depends_on_free_memory(bark, monkeypatch):
    from bark_infinity import bark as module

    monkeypatch.setattr(module, "free_memory", lambda _: 2**40)
    assert bark.rows_at_once() == 16
    monkeypatch.setattr(module, "free_memory", lambda _: 0)
    assert bark.rows_at_once() == 1
    cache = module.cache_bytes_per_row(bark.stages["semantic"].model)  # the same as the coarse stage's
    monkeypatch.setattr(module, "_FINE_BYTES_PER_ROW", 1)
    monkeypatch.setattr(module, "free_memory", lambda _: 2 * 8 * cache)
    assert (bark.rows_at_once(), bark.rows_at_once(Settings(negative_text="Bye."))) == (8, 4)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_gpu_gives_the_same_greedy_tokens(huggingface_folder, bark):
    greedy = Settings(SemanticSettings(0), CoarseSettings(0), FineSettings(0))
    gpu = bark_infinity.Bark.load(str(huggingface_folder), device="cuda", dtype="float32", offload=True)
    np.testing.assert_array_equal(
        gpu.speak(TEXT, settings=greedy).voice.fine, bark.speak(TEXT, settings=greedy).voice.fine
    )


# ---- segments without words, or with tokens in place of a text ----------------------------------------------------------


def test_segment_without_text_fills_its_window(bark, make_voice):
    history = History.of_voice(make_voice(6.0))
    segments = [
        Segment("Hello.", history, Seeds(1)),
        Segment(None, history, Seeds(2)),
        Segment("Bye.", history, Seeds(3)),
    ]
    settings = Settings(semantic=SemanticSettings(min_eos_p=0.001))
    together = bark.generate(segments, settings)
    assert len(together[1].voice.semantic) == 768 > len(together[0].voice.semantic)
    for segment, generation in zip(segments, together, strict=True):
        np.testing.assert_array_equal(bark.generate([segment], settings)[0].voice.fine, generation.voice.fine)
    endless = dataclasses.replace(settings.semantic, allow_early_stop=False)
    row = SemanticRow([], make_voice(6.0, seed=1).semantic, RowRandom(2), endless)
    (other,) = bark.run_stage("semantic", [row])
    assert not np.array_equal(other.tokens, together[1].voice.semantic)


def test_given_semantic_tokens_are_used_unchanged(bark, make_voice):
    """As in the original's semantic_to_waveform, the seed starts the coarse stage."""
    tokens, history = make_voice(2.0).semantic, History.of_voice(make_voice(6.0, seed=1))
    segments = [Segment("words", history, Seeds(4), tokens), Segment("Hello.", history, Seeds(4))]
    from_tokens, from_text = bark.generate(segments)
    np.testing.assert_array_equal(from_tokens.voice.semantic, tokens)
    assert from_tokens.voice.fine.shape[1] == int(len(tokens) * 75 / 49.9) and not np.array_equal(
        from_text.voice.semantic, tokens
    )
    np.testing.assert_array_equal(bark.generate(segments[:1])[0].voice.fine, from_tokens.voice.fine)
    with pytest.raises(VoiceError, match="another model's"):
        bark.generate([Segment("words", history, Seeds(4), np.array([10_000]))])


def test_negative_text_changes_the_tokens(bark):
    settings = Settings(semantic=SemanticSettings(negative_logits_scale=0.5), negative_text="Go away.")
    generations = [bark.generate([Segment("Hello.", seeds=Seeds(4))], s)[0] for s in (settings, Settings())]
    assert not np.array_equal(generations[0].voice.semantic, generations[1].voice.semantic)
    with pytest.raises(TextError):
        bark.generate([Segment("Hello.")], dataclasses.replace(settings, negative_text=" "))
