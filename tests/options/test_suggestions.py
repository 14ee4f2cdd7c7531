"""Suggestions for unknown flags: names from other programs and earlier versions point to the flag here."""

from __future__ import annotations

import pytest

from bark_infinity.cli.main import main, parse
from bark_infinity.errors import UsageError
from bark_infinity.options import suggestions
from bark_infinity.options.settings_file import read_config
from bark_infinity.options.table import flags

OWN = {name for line in flags() for name in (line.name, *line.aliases)}


def test_suggested_flags_exist_and_no_foreign_name_is_one_of_ours():
    """Every foreign name points to an existing flag and is not itself a flag."""
    lists = [names.split() for names in suggestions._ELSEWHERE.values()]
    others = [*sum(lists, []), *suggestions._WITH_VALUE, *suggestions._NOT_HERE]
    assert len(others) == len(set(others)) and not OWN & set(others)
    assert suggestions._ELSEWHERE.keys() <= {line.name for line in flags()}
    for meant in suggestions._WITH_VALUE.values():
        flag, value = meant.split()
        line = next(line for line in flags() if line.name == flag)
        assert value in line.choices and f"{flag}_value" in OWN


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        # Coqui TTS
        ("--speaker_wav=me.wav", "--audio_file_as_history_prompt"),
        ("--model_name", "--model"),
        ("--list_speaker_idxs", "--list_speakers"),
        ("--use_cuda", "--device"),
        ("--language_idx", "reads the language from the text"),
        # Piper, eSpeak
        ("--output_file", "--output_filename"),
        ("--length-scale", "speed and pitch are those of the voice"),
        ("--sentence-silence", "--add_silence_between_segments"),
        ("-w", "--output_filename"),
        ("-f", "--prompt_file"),
        # OpenAI's API
        ("--voice", "--history_prompt"),
        ("--response_format", "--output_format"),
        # earlier versions
        ("--split_by_words", "--split_each_text_prompt_by word, with --split_each_text_prompt_by_value"),
        ("--split_by_lines", "--split_each_text_prompt_by line"),
        ("--iterations", "--output_iterations"),
        ("--filename", "--output_filename"),
        ("--stable_mode", "--stable_mode_interval"),
        ("--keep_generating", "--extra_confused_travolta_mode"),
        ("--specific_npz_file", "--history_prompt"),
        ("--use_smaller_model", "--use_smaller_models"),
        # the beginning of a name, and typing errors
        ("--hist", "--history_prompt"),
        ("--split_char", "--split_character_goal_length or --split_character_max_length"),
        ("--txt_prompt", "--text_prompt"),
        ("--temprature", "--text_temp"),
        ("--Voice", "--history_prompt"),
        ("--out", "--output_filename"),
        # the same words in another order or number, a word more, a word less
        ("--text_prompt_prefix", "--prompt_text_prefix?"),
        ("--text_prompt_suffix", "--prompt_text_suffix?"),
        ("--prompts", "--text_prompt?"),
        ("--speakers_list", "--list_speakers?"),
        ("--file_prompt", "--prompt_file?"),
        ("--prompt_prefix", "--prompt_text_prefix?"),
        ("--text_prompt_file", "--text_prompt or --prompt_file?"),
        ("--goal_length", "--split_character_goal_length?"),
        ("--paragraph_silence", "--add_silence_between_paragraphs?"),
        ("--model_small", "--use_smaller_models?"),
        ("--split_by_words_value", "--split_each_text_prompt_by word, with --split_each_text_prompt_by_value"),
    ],
)
def test_error_suggests_the_flag_meant(written, meant):
    with pytest.raises(UsageError) as error:
        parse(["--text_prompt", "Hello", written, "3"])
    assert str(error.value).startswith("there is no flag -") and meant in str(error.value)


@pytest.mark.parametrize("written", ["--xyzzy", "-z", "--q9", "--pages", "--sound", "--srt"])
def test_unrecognisable_flag_gets_no_suggestion(written):
    with pytest.raises(UsageError, match="--help lists what there is"):
        parse([written])


def test_a_settings_file_gets_the_same_suggestions(tmp_path):
    (tmp_path / "a.toml").write_text('voice = "announcer"')
    with pytest.raises(UsageError, match="no setting voice; did you mean history_prompt?"):
        read_config(str(tmp_path / "a.toml"))


def test_aliases_are_accepted():
    options = parse(["--text", "Hello", "--out_path", "x.wav", "--speaker", "announcer"])
    assert (options.text_prompt, options.output_filename, options.history_prompt) == ("Hello", "x.wav", "announcer")
    assert parse(["--speaker_idx", "announcer"]).history_prompt == "announcer"


@pytest.mark.parametrize("flag", ["--history_prompt", "--bark_speaker_as_the_prompt"])
@pytest.mark.parametrize("name", ["rec.wav", "somewhere/REC.M4A"])
def test_recording_given_as_a_voice_suggests_cloning(flag, name, capsys, tmp_path):
    (tmp_path / "rec.wav").write_bytes(b"RIFF")
    text = [] if flag == "--bark_speaker_as_the_prompt" else ["--text_prompt", "Hello"]
    assert main([*text, flag, name, "--dry_run"]) == 2
    stderr = " ".join(capsys.readouterr().err.split())
    assert (
        stderr
        == f"error: {name} is a recording and no voice file; clone its voice with --audio_file_as_history_prompt {name}"
    )


def test_voice_given_as_a_recording_suggests_history_prompt(make_voice, tmp_path):
    from bark_infinity.errors import VoiceError
    from bark_infinity.voices.recording import read_recording

    make_voice(2.0).save(tmp_path / "bob.npz")
    with pytest.raises(VoiceError, match="voice file and no recording; give it as --history_prompt"):
        read_recording(tmp_path / "bob.npz")
