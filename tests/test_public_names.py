"""The package's public names: the same for programs, editors and type checkers, without importing torch before use."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bark_infinity
from bark_infinity import Bark, Generation, Seeds, Segment, Voice
from bark_infinity.voices.history import History

ROOT = Path(__file__).parents[1]
MODULES = ("bark_infinity", "bark_infinity.api", "bark_infinity.generation")
needs_jedi = pytest.mark.skipif(importlib.util.find_spec("jedi") is None, reason="jedi is not installed")


def imported_for_type_checkers(module: str) -> set[str]:
    """Names that a module imports under `if TYPE_CHECKING`, each as itself, which makes it public."""
    tree = ast.parse(Path(importlib.import_module(module).__file__).read_text(encoding="utf-8"))
    blocks = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    aliases = [alias for block in blocks for line in block.body for alias in line.names]
    assert all(alias.asname == alias.name for alias in aliases)
    return {alias.name for alias in aliases}


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_exists(module):
    found = importlib.import_module(module)
    for name in found.__all__:
        assert getattr(found, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = found.nonsense
    assert set(found.__all__) >= imported_for_type_checkers(module)


def test_type_checkers_see_what_is_imported_on_first_use():
    assert imported_for_type_checkers("bark_infinity") == set(bark_infinity._HOMES)
    assert imported_for_type_checkers("bark_infinity.api") == set(bark_infinity.api.__all__)
    assert imported_for_type_checkers("bark_infinity.generation") == set(bark_infinity.generation._FUNCTIONS)


@needs_jedi
def test_editors_complete_public_names():
    import jedi

    project = jedi.Project(ROOT)

    def completions(code: str) -> set[str]:
        return {found.name for found in jedi.Script(code, project=project).complete()}

    assert {name for name in bark_infinity.__all__ if not name.startswith("_")} <= completions(
        "import bark_infinity\nbark_infinity."
    )
    assert {"speak", "generate", "stream"} <= completions("from bark_infinity import Bark\nBark.load('demo').")
    assert "semantic_to_waveform" in completions("from bark_infinity.api import semantic_to_")


def test_constants_of_the_originals_modules_need_no_torch():
    code = (
        "import sys, bark_infinity.api\n"
        "from bark_infinity import SUPPORTED_LANGS\n"
        "from bark_infinity.generation import ALLOWED_PROMPTS, SAMPLE_RATE, SUPPORTED_LANGS as same\n"
        "assert same is SUPPORTED_LANGS and len(same) == 13 and same[0] == ('English', 'en')\n"
        "assert len(ALLOWED_PROMPTS) == 261 and 'v2/en_speaker_6' in ALLOWED_PROMPTS and SAMPLE_RATE == 24_000\n"
        "assert not {'torch', 'numpy', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_functions_of_the_originals_modules_are_ours():
    from bark_infinity import drop_in
    from bark_infinity.api import semantic_to_waveform
    from bark_infinity.generation import generate_text_semantic, preload_models

    assert semantic_to_waveform is drop_in.semantic_to_waveform
    assert (generate_text_semantic, preload_models) == (drop_in.generate_text_semantic, drop_in.preload_models)
    assert list(inspect.signature(semantic_to_waveform).parameters)[:2] == ["semantic_tokens", "history_prompt"]


def test_no_repr_shows_arrays(make_voice, demo):
    voice = make_voice(8.0)
    audio = np.zeros(24_000, np.float32)
    assert repr(voice) == "Voice(8.0 s, 399 semantic tokens, 599 frames)"
    assert repr(History.of_voice(voice)) == "History(399 semantic tokens, 599 coarse frames, 599 fine frames)"
    generation = Generation(voice, audio, 3, {}, ended=False)
    assert repr(generation) == f"Generation(1.0 s of audio, {voice!r}, without an end, 3 ids not spoken)"
    assert (
        repr(Segment("Hello.", seeds=Seeds(5)))
        == f"Segment('Hello.', {History.of_voice(None)!r}, seeds={{'segment': 5}})"
    )
    assert len(repr(Segment("word " * 1000, History.of_voice(voice), semantic=voice.semantic))) < 250
    assert repr(demo) == "Bark('demo', float32 on cpu)"
    assert Voice.__repr__ is not object.__repr__ and isinstance(demo, Bark)
