"""Every stage against transformers with the same weights, and against the slow plain loop of tests/plain.py."""

from __future__ import annotations

import numpy as np
import plain
import pytest
import torch
from rows import coarse_row, fine_row, oracle_semantic, prompt_of, random_semantic, semantic_row

from bark_infinity import Bark
from bark_infinity.model.attention import attend_causally
from bark_infinity.model.sampling import RowRandom
from bark_infinity.stages.semantic import SemanticRow

TEXTS = ["Hello there.", "A much longer sentence, with commas, for the second row of the batch!", "x"]


@pytest.fixture(scope="module", params=["huggingface", "suno"])
def either(request, huggingface_folder, suno_folder) -> Bark:
    """The same weights read from each layout."""
    folder = huggingface_folder if request.param == "huggingface" else suno_folder
    return Bark.load(str(folder), device="cpu", dtype="float32")


def semantic_tokens(bark, *rows) -> list[np.ndarray]:
    return [result.tokens for result in bark.run_stage("semantic", rows)]


# ---- transformers, greedy -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [None, 3.0, 9.0])
def test_semantic_tokens_equal_transformers(either, oracle, make_voice, seconds):
    voice = seconds and make_voice(seconds)
    rows = [semantic_row(either, text, voice, temperature=0, min_eos_p=None) for text in TEXTS]
    ours = semantic_tokens(either, *rows)
    for row, tokens in zip(rows, ours, strict=True):
        expected = oracle_semantic(oracle, row.text_ids, voice)
        assert 20 < len(expected) < 700
        np.testing.assert_array_equal(tokens, expected)


@pytest.mark.parametrize("seconds", [None, 2.0, 9.0])
def test_coarse_tokens_equal_transformers(either, oracle, make_voice, seconds):
    voice, semantic = seconds and make_voice(seconds), random_semantic(150)
    ours = either.run_stage("coarse", [coarse_row(semantic, voice, temperature=0)])[0]
    g = oracle.generation_config
    theirs = oracle.coarse_acoustics.generate(
        torch.from_numpy(semantic)[None], g.semantic_config, g.coarse_acoustics_config, history_prompt=prompt_of(voice)
    )
    expected = theirs.reshape(-1, 2).T.numpy() - np.array([[10_000], [11_024]])
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize(("frames", "seconds"), [(200, None), (200, 3.0), (1100, 9.0), (1600, None)])
def test_fine_codes_equal_transformers(either, oracle, make_voice, frames, seconds):
    voice, coarse = seconds and make_voice(seconds), np.random.default_rng(2).integers(0, 1024, (2, frames))
    ours = either.run_stage("fine", [fine_row(coarse, voice, temperature=0)])[0]
    g, ids = oracle.generation_config, coarse + np.array([[10_000], [11_024]])
    theirs = oracle.fine_acoustics.generate(
        torch.from_numpy(ids.T.reshape(1, -1).copy()),
        g.semantic_config,
        g.coarse_acoustics_config,
        g.fine_acoustics_config,
        history_prompt=prompt_of(voice),
    )
    np.testing.assert_array_equal(ours, theirs[0].numpy())


def test_logits_equal_transformers(either, oracle):
    ids = torch.randint(0, 10_000, (2, 300), generator=torch.Generator().manual_seed(4))
    for stage, theirs in (("semantic", oracle.semantic), ("coarse", oracle.coarse_acoustics)):
        model = either.stages[stage].model
        with torch.inference_mode():
            hidden = model(model.token_embedding(ids), torch.arange(300), attend_causally)
            torch.testing.assert_close(
                model.logits(hidden, 0, 10_001), theirs(ids).logits[..., :10_001], atol=1e-4, rtol=1e-4
            )
    codes = torch.randint(0, 1024, (2, 1024, 8), generator=torch.Generator().manual_seed(5))
    model = either.stages["fine"].model
    with torch.inference_mode():
        for book in range(2, 8):
            ours = model.logits(model(codes, book), book, 1024)
            theirs = oracle.fine_acoustics(book, codes).logits[..., :1024]
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_audio_equals_transformers(either, oracle):
    codes = np.random.default_rng(3).integers(0, 1024, (8, 120))
    expected = oracle.codec_decode(torch.from_numpy(codes)[None])[0].detach().numpy()
    ours = either.decode([codes])[0]
    assert ours.shape == (120 * 320,)
    np.testing.assert_allclose(ours, expected, atol=1e-4)
    assert ours.std() > 1e-3


# ---- the plain loop, sampled ----------------------------------------------------------------------------------------

DRAWS = [
    {},
    {"temperature": 1.1, "top_k": 40},
    {"temperature": 0.5, "top_p": 0.6},
    {"temperature": 0.9, "top_k": 30, "top_p": 0.8},
    {"temperature": 0},
]


def plain_names(draws: dict) -> dict:
    return {"temp" if name == "temperature" else name: value for name, value in draws.items()}


@pytest.mark.parametrize("draws", DRAWS)
@pytest.mark.parametrize("cached", [True, False])
def test_semantic_rows_of_a_batch_equal_the_plain_loop(bark, oracle, make_voice, draws, cached):
    voices = [None, make_voice(2.0), make_voice(9.0, seed=1)]
    max_s = None if cached else 0.3
    rows = [
        semantic_row(bark, text, voice, seed, use_kv_caching=cached, max_gen_duration_s=max_s, **draws)
        for seed, (text, voice) in enumerate(zip(TEXTS, voices, strict=True))
    ]
    batch = semantic_tokens(bark, *rows)
    for seed, (row, voice) in enumerate(zip(rows, voices, strict=True)):
        torch.manual_seed(seed)
        history = None if voice is None else voice.semantic
        expected = plain.semantic(oracle, row.text_ids, history, max_s=max_s, **plain_names(draws))
        np.testing.assert_array_equal(batch[seed], expected)


@pytest.mark.parametrize("draws", DRAWS)
def test_coarse_rows_of_a_batch_equal_the_plain_loop(bark, oracle, make_voice, draws):
    voices = [None, make_voice(1.3), make_voice(9.0, seed=1), make_voice(0.5, seed=2)]
    lengths = [45, 61, 1, 30]
    rows = [
        coarse_row(random_semantic(n, seed), voice, seed, **draws)
        for seed, (n, voice) in enumerate(zip(lengths, voices, strict=True))
    ]
    batch = bark.run_stage("coarse", rows)
    for seed, (row, voice) in enumerate(zip(rows, voices, strict=True)):
        torch.manual_seed(seed)
        history = () if voice is None else (voice.semantic, voice.coarse)
        expected = plain.coarse(oracle, row.semantic, *history, **plain_names(draws))
        np.testing.assert_array_equal(batch[seed], expected)


@pytest.mark.parametrize(("history", "window"), [(60, 60), (300, 120), (630, 138), (61, 7)])
def test_coarse_windows_of_other_sizes_equal_the_plain_loop(bark, oracle, make_voice, history, window):
    voice, sizes = make_voice(5.0), {"max_coarse_history": history, "sliding_window_len": window}
    rows = [coarse_row(random_semantic(n, n), voice, n, **sizes) for n in (41, 20)]
    for row, ours in zip(rows, bark.run_stage("coarse", rows), strict=True):
        torch.manual_seed(len(row.semantic))
        expected = plain.coarse(oracle, row.semantic, voice.semantic, voice.coarse, max_history=history, window=window)
        np.testing.assert_array_equal(ours, expected)


def test_coarse_without_cache_equals_with_it(bark, make_voice):
    def codes(cached: bool) -> list[np.ndarray]:
        how = {"temperature": 0, "use_kv_caching": cached}
        return bark.run_stage("coarse", [coarse_row(random_semantic(n, n), make_voice(3.0), **how) for n in (25, 12)])

    for fast, slow in zip(codes(True), codes(False), strict=True):
        np.testing.assert_array_equal(fast, slow)


def test_fine_rows_of_a_batch_equal_the_plain_loop(bark, oracle, make_voice):
    voices = [None, make_voice(2.0), make_voice(9.0, seed=1), None, make_voice(9.0)]
    coarse = [np.random.default_rng(n).integers(0, 1024, (2, n)) for n in (80, 1500, 700, 1024, 1)]
    rows = [fine_row(codes, voice, seed) for seed, (codes, voice) in enumerate(zip(coarse, voices, strict=True))]
    batch = bark.run_stage("fine", rows)
    for seed, (codes, voice) in enumerate(zip(coarse, voices, strict=True)):
        torch.manual_seed(seed)
        np.testing.assert_array_equal(batch[seed], plain.fine(oracle, codes, None if voice is None else voice.fine))


def test_a_long_clip_in_one_stage_call(bark, oracle):
    semantic = random_semantic(1050)  # 21 s: 53 coarse windows, 3 fine ones
    torch.manual_seed(7)
    coarse = bark.run_stage("coarse", [coarse_row(semantic)])[0]
    fine = bark.run_stage("fine", [fine_row(coarse)])[0]
    assert coarse.shape == (2, 1578) and fine.shape == (8, 1578)
    np.testing.assert_array_equal(fine[:2], coarse)
    assert fine.min() >= 0 and fine.max() < 1024
    torch.manual_seed(7)
    np.testing.assert_array_equal(coarse[:, :50], plain.coarse(oracle, semantic, limit=100))


# ---- ends and limits ------------------------------------------------------------------------------------------------


def test_speech_ends_when_the_end_is_drawn_or_likely(bark, oracle):
    row = lambda **settings: semantic_row(bark, "Hello there.", seed=3, **settings)  # noqa: E731
    length = {p: len(semantic_tokens(bark, row(min_eos_p=p))[0]) for p in (None, 0.9, 0.2, 0.001)}
    for p, n in length.items():
        torch.manual_seed(3)
        assert n == len(plain.semantic(oracle, row().text_ids, None, min_eos_p=p))
    assert length[0.001] < length[0.2] <= length[0.9]
    full = semantic_tokens(bark, row(allow_early_stop=False))[0]
    assert len(full) == 768


def test_max_gen_duration_keeps_the_token_that_exceeds_it(bark):
    row = semantic_row(bark, "Hello", seed=1, max_gen_duration_s=0.5, allow_early_stop=False)
    tokens = semantic_tokens(bark, row)[0]
    assert len(tokens) == 25  # 24 tokens are 0.481 s, 25 are 0.501 s


def test_history_limit_keeps_only_the_end_of_a_voice(bark, make_voice):
    voice = make_voice(9.0)
    row = semantic_row(bark, "Hello", voice, 1, history_limit=40)
    cut = SemanticRow(row.text_ids, voice.semantic[-40:], RowRandom(1))
    none = SemanticRow(row.text_ids, voice.semantic[:0], RowRandom(2))
    rows = [row, cut, semantic_row(bark, "Hello", voice, 2, history_limit=0), none]
    limited, of_cut, without_history, of_none = semantic_tokens(bark, *rows)
    np.testing.assert_array_equal(limited, of_cut)
    np.testing.assert_array_equal(without_history, of_none)


def test_alignment_drops_tokens_from_the_end_of_the_coarse_history(bark, make_voice):
    voice = make_voice(5.0)
    codes = {
        n: bark.run_stage("coarse", [coarse_row(random_semantic(20), voice, temperature=0, alignment=n)])[0]
        for n in (0, -2, -4)
    }
    assert not np.array_equal(codes[0], codes[-2]) and not np.array_equal(codes[-2], codes[-4])


def test_rows_without_speech_stay_empty_beside_others(bark):
    empty, rows = np.zeros(0, np.int64), [random_semantic(9), np.zeros(0, np.int64), random_semantic(1)]
    coarse = bark.run_stage("coarse", [coarse_row(row) for row in rows])
    assert [codes.shape[1] for codes in coarse] == [13, 0, 1]
    fine = bark.run_stage("fine", [fine_row(codes) for codes in coarse])
    assert [codes.shape for codes in fine] == [(8, 13), (8, 0), (8, 1)]
    assert bark.run_stage("coarse", [coarse_row(empty)])[0].shape == (2, 0)


def test_progress_counts_to_its_total(bark):
    seen = []
    rows = [coarse_row(random_semantic(n)) for n in (30, 5)]
    bark.run_stage("coarse", rows, lambda stage, done, total: seen.append((stage, done, total)))
    assert seen[-1] == ("coarse", 104, 104) and [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)


def test_uninitialised_memory_is_not_read(bark, make_voice, monkeypatch):
    """Allocators return used memory: rows of unequal length must not read what other rows left in it."""
    rows = [coarse_row(random_semantic(20), voice, seed=1) for voice in (None, make_voice(5.0))]
    expected = bark.run_stage("coarse", rows)
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *a, **k: empty(*a, **k).fill_(torch.nan))
    rows = [coarse_row(random_semantic(20), voice, seed=1) for voice in (None, make_voice(5.0))]
    for ours, theirs in zip(bark.run_stage("coarse", rows), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_long_clip_with_a_voice_equals_transformers(bark, oracle, make_voice):
    voice, semantic = make_voice(9.0), random_semantic(1_010)  # 20 s
    ours = bark.run_stage("coarse", [coarse_row(semantic, voice, temperature=0)])[0]
    g = oracle.generation_config
    theirs = oracle.coarse_acoustics.generate(
        torch.from_numpy(semantic)[None], g.semantic_config, g.coarse_acoustics_config, history_prompt=prompt_of(voice)
    )
    np.testing.assert_array_equal(ours, theirs.reshape(-1, 2).T.numpy() - np.array([[10_000], [11_024]]))
