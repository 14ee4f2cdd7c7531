"""The demo's training recipe in miniature: every stage trains for two steps, and the exported model computes what was trained."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.fx.experimental._config
from transformers import BarkModel

from bark_infinity import Bark, Voice
from bark_infinity.model.tokenizer import Tokenizer
from training import __main__ as recipe
from training import coarse, codec, export, fine, latents, loop, semantic, settings, speech
from training import tokens as t
from training.durations import Durations
from training.pronunciation import PHONES, Phone
from training.speech import Clips, Corpus, Utterance

IN_ONE_PROCESS = pytest.mark.xdist_group("training")  # the folder is created once
SENTENCES = ("Hello there, little one.", "The cat sat down.", "Go on!")


def utterance(text: str, seconds: float = 2.5) -> Utterance:
    """An utterance whose words have two phones each, between two pauses."""
    count = len(text.split())
    words = np.array([-1, *np.repeat(np.arange(count), 2), -1], np.int16)
    phones = np.array([0, *(np.arange(2 * count) % 40 + 5), 1], np.uint8)  # the first five are silent
    return Utterance(text, phones, words, np.linspace(0.1, seconds, len(phones), dtype=np.float32))


def tone(seconds: float, pitch: float) -> np.ndarray:
    at = np.arange(round(seconds * 24_000)) / 24_000
    return (6_000 * sum(np.sin(2 * np.pi * pitch * k * at) / k for k in range(1, 9))).astype(np.int16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Synthetic corpora, and every stage trained for two steps by the recipe's own command."""
    folder = tmp_path_factory.mktemp("work")
    for name in ("all", "numbered", "salads", "short"):
        Corpus(folder, name).write([utterance(text) for text in SENTENCES] * 2)
    spoken = [(i % 2, utterance(SENTENCES[i % 3]), tone(2.5, 100 + 7 * i)) for i in range(14)]
    Clips(folder).write(spoken)
    tiny = {
        "SEMANTIC": settings.Shape(1, 192, 2),
        "COARSE": settings.Shape(1, 160, 2),
        "FINE": settings.Shape(1, 64, 1),
        "CODEC_FILTERS": 2,
        "N_HELD_CLIPS": 1,
        "VOICES": tuple(replace(one, sample=SENTENCES[i]) for i, one in enumerate(settings.VOICES)),
    }
    tiny |= {f"{stage}_SCHEDULE": settings.Schedule(2, 1e-3) for stage in ("SEMANTIC", "DECODER", "COARSE", "FINE")}
    tiny |= {name: 500 for name in vars(settings) if name.endswith("_POSITIONS")}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in tiny.items():
            patch.setattr(settings, name, value)
        patch.setattr(recipe, "DEMO", folder / "demo")
        recipe.main(["all", "--folder", str(folder)])
        yield folder


@IN_ONE_PROCESS
def test_exported_model_loads_in_transformers_and_here(folder):
    model, loading_info = BarkModel.from_pretrained(folder / "demo", output_loading_info=True)
    assert all(map(export.is_left_out, loading_info["missing_keys"])) and not loading_info["unexpected_keys"]
    assert json.loads((folder / "demo" / "generation_config.json").read_text())["semantic_config"]["do_sample"]
    bark = Bark.load(str(folder / "demo"), device="cpu")
    generation = bark.speak("Hello.", voice=Voice.load(folder / "demo" / "voices" / "demo_male.npz"), seed=1)
    assert np.isfinite(generation.audio).all() and len(generation.audio) % 320 == 0


@IN_ONE_PROCESS
def test_exported_semantic_stage_computes_what_was_trained(folder):
    ours = loop.load_trained(folder, "semantic", semantic.Semantic())
    theirs = export.model_of(folder).semantic
    example = semantic.Example(np.arange(5) + t.TEXT_OFFSET, np.arange(40, 60), np.arange(100, 130), brisk=False)
    batch = semantic.collate([example], t.MAX_TEXT)
    with torch.no_grad():
        table = theirs.input_embeds_layer
        prefix = table(batch.prefix) + table(batch.history)
        spoken_embeddings = table(torch.cat([batch.infer, batch.semantic[:, :-1]], 1))
        logits = theirs(inputs_embeds=torch.cat([prefix, spoken_embeddings], 1)).logits[0, t.MAX_TEXT :]
        expected = settings.SEMANTIC_SHARPNESS * ours.hidden(batch) @ ours.head().T
    assert torch.allclose(logits, expected, atol=1e-4) and expected.std() > 0.01


@IN_ONE_PROCESS
def test_exported_coarse_stage_computes_what_was_trained(folder):
    ours = loop.load_trained(folder, "coarse", coarse.Coarse())
    theirs = export.model_of(folder).coarse_acoustics
    clip = codec.coded_clips(folder)[1][0]
    batch = coarse.collate([coarse.clip_tokens(clip)], 256)
    with torch.no_grad():
        ids = torch.cat([batch.semantic, torch.tensor([[t.COARSE_INFER]]), batch.codes[:, :-1]], 1)
        logits = theirs(ids).logits[0, 256:]
        expected = ours(batch)[0] @ ours.head(settings.COARSE_SHARPNESS).T
    assert torch.allclose(logits, expected, atol=1e-4) and expected.std() > 0.01


def test_interrupted_training_resumes_with_the_same_result(tmp_path):
    def learned(name: str, *steps: int) -> torch.Tensor:
        for until in steps:
            torch.manual_seed(1)
            model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 1))

            def loss_of(rng, _, model=model):
                x = torch.from_numpy(rng.standard_normal((8, 4))).float()
                return {"loss": (model(x) - x.sum(1, keepdim=True)).square().mean()}

            schedule = settings.Schedule(until, 0.01, warm_up=1, falling=1e-9)
            loop.train(tmp_path, name, model, loop.optimisers(model, model, 1.0), schedule, loss_of, dict)
        return model[0].weight.detach()

    whole = learned("whole", 9)
    assert torch.equal(learned("parts", 4, 9), whole) and not torch.equal(learned("short", 4), whole)


def test_character_ids_are_the_tokenizers():
    tokenizer = Tokenizer.from_vocabulary(t.VOCABULARY)
    for text in (
        "Hello, I'm here!",
        'He said "no" (twice)...',
        "In 1984 $5 ♪ don't CAFÉ naïve 23rd",
        "well-known; a:b",
    ):
        assert [i for word in text.split() for i in t.characters(word)] == tokenizer.encode(text)


def test_semantic_tokens_encode_phone_onset_and_text_position():
    one = utterance("Hi you.", 1.2)
    words = [t.characters(word) for word in one.text.split()]
    place = t.places(words, one.words)
    assert place.tolist() == [0, 0, 1, 2, 4, 5]  # "Hi" is read at 0 and 1, "you" at 2 to 4, the last pause at the stop
    timed, lasting = (
        t.tokens_at_times(one.phones, place, one.ends),
        t.tokens_of_durations(one.phones, place, np.arange(1, 7)),
    )
    assert len(timed) == int(1.2 * 49.9) and len(lasting) == 21
    for tokens in (timed, lasting):
        assert t.phones_of(tokens) == [t.PHONES[i] for i in one.phones[1:-1]]
        begins = tokens // t.N_PLACES % 2 == 1
        assert begins.sum() == len(one.phones)
        assert (tokens[begins] % t.N_PLACES == place // t.CHARACTERS_PER_PLACE).all()
    assert np.diff(np.flatnonzero(begins)).tolist() == [1, 2, 3, 4, 5]


def test_phone_duration_is_the_teachers_mean_in_its_context():
    words = np.array([-1, 0, 0, 1, -1], np.int16)

    def spoken(last: float) -> Utterance:
        return Utterance("", np.array([0, 5, 6, 6, 0], np.uint8), words, np.cumsum([0.2, 0.1, last, 0.06, 0.001]))

    durations = Durations([spoken(last) for last in (0.14, 0.16) for _ in range(3)])
    assert durations.of(spoken(9.0)).tolist() == [10, 5, 7, 3, 1]  # 0.15 s at 49.9 tokens: 7.485
    strange = Utterance("", np.array([6, 9], np.uint8), np.array([0, 0], np.int16), np.zeros(2))
    assert durations.of(strange).tolist() == [5, 1]  # the phone's mean in any context; a phone never seen


def test_joined_utterances_have_one_pause_between():
    pair = [utterance("Hi you."), utterance("Go on!")]
    example = semantic._example(random.Random(0), pair, None, None, clean=True)
    assert len(example.semantic) == sum(len(one.phones) for one in pair) - 1
    assert (example.text - t.TEXT_OFFSET).tolist() == [i for w in ["Hi", "you.", "Go", "on!"] for i in t.characters(w)]


def test_rewritten_texts_keep_their_words():
    rng = random.Random(0)
    words = ["Well,", "he", "said", "that", "we", "should", "go", "home", "now."]
    for _ in range(300):
        written = semantic._rewritten(rng, words)
        assert [w.strip(".,;:!\"'()").lower() for w in written] == [w.strip(".,").lower() for w in words]


@pytest.mark.parametrize(("pitch", "harmonics"), [(100.0, range(2, 9)), (195.0, range(1, 2))])
def test_latents_contain_the_phase_of_the_fundamental_even_if_it_is_missing(pitch, harmonics):
    voice = settings.VOICES[int(pitch > 150)]
    assert voice.fundamental_missing == (1 not in harmonics)
    at = torch.arange(24_000) / 24_000
    sound = sum(0.3 * torch.cos(2 * np.pi * pitch * n * at) for n in harmonics)
    found = latents.latents(sound, voice)[10:60, latents.N_MELS :]
    middles = (torch.arange(10, 60) * latents.HOP + latents.HOP // 2)[:, None] + torch.tensor(latents.PHASE_AT)
    angle = 2 * np.pi * pitch / 24_000 * middles
    expected = torch.stack([angle.cos(), -angle.sin()], 2).flatten(1)
    assert (found / latents.PHASE_WEIGHT - expected).abs().max() < 0.1


def test_codes_approximate_the_latents():
    points = torch.randn(3_000, latents.WIDTH, generator=torch.Generator().manual_seed(0))
    books = latents.codebooks(points)
    rest = [
        (points - latents.decoded(latents.coded(points, books)[:n], books) / latents.SCALE).square().mean()
        for n in (2, 5, 8)
    ]
    assert rest[0] > 1.2 * rest[1] > 1.4 * rest[2]


def test_utterance_needs_a_phone_of_every_word():
    phones = [Phone("pau", 0.1, -1, -1), Phone("ɪ", 0.2, 0, 0), Phone("n", 0.3, 0, 0), Phone(".", 0.5, -1, -1)]
    assert speech.utterance("In 1984.", phones) is None
    one = speech.utterance("In.", phones)
    assert one.words.tolist() == [-1, 0, 0, -1] and [PHONES[i] for i in one.phones] == ["pau", "ɪ", "n", "."]


def test_misheard_codes_are_neighbours_of_the_right_ones_in_the_first_codebook():
    books = torch.arange(1024.0).expand(8, 1024)[..., None]  # alike are those with ids close by
    rng = np.random.default_rng(0)
    codes = t.N_SEMANTIC + rng.integers(0, 1024, 300) + 1024 * (np.arange(300) % 2)
    batch = coarse.collate([coarse.ClipTokens(rng.integers(0, t.N_SEMANTIC, 100), codes)] * 40)
    misheard = coarse.Windows([], books)._with_neighbours(rng, batch.codes)
    wrong = misheard != batch.codes
    assert not wrong[:, 1::2].any()
    assert 0.8 < wrong[:, ::2].float().mean() / (settings.COARSE_MISHEARD / 2) < 1.2
    assert (misheard - batch.codes)[wrong].abs().max() <= 8
    assert misheard.min() >= t.N_SEMANTIC and misheard[:, ::2].max() < t.N_SEMANTIC + 1024


@IN_ONE_PROCESS
@pytest.mark.parametrize("module", [semantic, coarse, fine])
def test_training_step_uses_only_the_device(folder, monkeypatch, module):
    """torch's `meta` device refuses operations with another device, as a GPU would. EnCodec cannot run on it."""
    losses = []

    def step(folder, name, model, optimisers, schedule, loss_of, judge, **_):
        loss = loss_of(np.random.default_rng(0), 10**6)["loss"]
        loss.backward()
        losses.append(loss)
        assert all(p.grad is None or p.grad.is_meta for p in model.parameters())

    monkeypatch.setattr(module, "DEVICE", torch.device("meta"))
    monkeypatch.setattr(module, "train", step)
    with torch.fx.experimental._config.patch(meta_nonzero_assume_all_nonzero=True):
        module.learn(folder)
    assert losses[0].is_meta
