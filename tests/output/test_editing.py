"""Plans of clips with other texts of single segments."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from fakes import VOICE, Hashing

from bark_infinity.errors import TextError, UsageError
from bark_infinity.narration import ClipSource, Job
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.output.editing import edit
from bark_infinity.output.manifest import read_manifest
from bark_infinity.output.recorded import with_manifest
from bark_infinity.run.planning import SegmentCutter
from bark_infinity.run.recipe import Recipe

TEXT = "One is here. Two is here. Three is here."
CUT = {"split_each_text_prompt_by": "sentence", "semantic_max_gen_duration_s": 0.3, "output_filename": "a"}


def make(text: str = TEXT, **options) -> str:
    """Make a clip; returns its manifest."""
    resolved = resolve(Options(text_prompt=text, output_dir="out", **{**CUT, **options}))
    source = ClipSource(resolved)
    voices = dict.fromkeys(source.voices, VOICE)
    list(Job(source.options, source, Recipe.from_options(source.options, Hashing(), VOICE, voices=voices)).run())
    return "out/a.json"


def edited(path: str, texts: dict[int, str]) -> ClipSource:
    options = resolve(Options.from_settings(with_manifest({"from_manifest": path}, path, has_folder=False)))
    source = ClipSource(options, edits=texts)
    source.plan()
    return source


def test_only_edited_segments_are_new_and_the_others_keep_their_seeds():
    path = make()
    source = edited(path, {1: "Four is here.", 2: "Three is here."})
    assert source.mends and source.mended is not None
    plan = source.mended.plan
    assert [s.text for s in plan.segments] == ["One is here.", "Four is here.", "Three is here."]
    assert source.mended.unchanged == {0: 0, 2: 2} and plan.text == "One is here. Four is here. Three is here."
    recorded = read_manifest(path)
    assert [s.seeds for s in plan.segments] == [seeds for _, seeds in recorded.segments]
    assert [s.settled for s in plan.segments] == [True, False, True]
    assert [s.pause.kind for s in plan.segments] == [part.pause.kind for part in recorded.parts]


def test_long_texts_are_cut_and_empty_ones_left_out():
    source = edited(make(), {0: "Four is here. Five is here.", 1: ""})
    assert source.mended is not None
    first, second, third = source.mended.plan.segments
    assert [first.text, second.text, third.text] == ["Four is here.", "Five is here.", "Three is here."]
    assert first.seeds.segment != second.seeds.segment and source.mended.unchanged == {2: 2}
    assert source.mended.plan.text == "Four is here. Five is here. Three is here."


def test_pronunciations_and_affixes_stay_and_are_applied():
    Path("words.toml").write_text('[words]\nTwo = "Tway"\nFour = "Fower"\n')
    path = make(pronunciations="words.toml", prompt_text_prefix="So,", prompt_text_suffix="Yes.")
    source = edited(
        path, {0: "So, One is here. Yes.", 1: "So, Four is here. Yes.", 2: "Three is here."}
    )  # as it is shown
    assert source.mended is not None and source.mended.unchanged == {0: 0, 2: 2}
    segment = source.mended.plan.segments[1]
    assert segment.text == "So, Fower is here. Yes." and segment.written == "So, Four is here. Yes."
    assert source.mended.plan.text == "One is here. Four is here. Three is here."
    assert source.mended.plan.script is not None and source.mended.plan.script.pronunciations.entries


def test_text_that_is_not_found_in_the_script_makes_a_new_one():
    path = make()
    content = json.loads(Path(path).read_text())
    Path(path).write_text(json.dumps({**content, "text": "Something else."}))
    source = edited(path, {1: "Four is here."})
    assert source.mended is not None
    assert source.mended.plan.text == "One is here.\n\nFour is here.\n\nThree is here."


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({0: "One [pause:1s] here."}, "the new text of segment 1 has a tag"),
        ({0: "[pause:1s]"}, "the new text of segment 1 has a tag"),
        ({0: "..."}, "nothing to say"),
        ({0: "", 1: " ", 2: "\n"}, "no segment with a text is left"),
    ],
)
def test_what_cannot_be_spoken_is_refused(texts, message):
    path = make()
    with pytest.raises(TextError, match=message):
        edited(path, texts)


def test_clip_of_tokens_has_no_text():
    path = make()
    manifest = read_manifest(path)
    spoken = dataclasses.replace(manifest, settings={"bark_speaker_as_the_prompt": "voice.npz"})
    with pytest.raises(UsageError, match="has no text"):
        edit(spoken, {0: "x"}, manifest.options, SegmentCutter(manifest.options))
