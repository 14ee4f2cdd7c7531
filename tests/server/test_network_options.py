"""What a client of the server may set."""

from __future__ import annotations

import pytest
from fake_server import make_services
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bark_infinity.errors import BarkError
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options, flags
from bark_infinity.server.network_options import (
    ALLOWED,
    CHECKED,
    REFUSED,
    OptionError,
    network_flags,
    network_options,
    unusable_characters,
)

NAMES = tuple(line.name for line in flags())


@pytest.fixture
def services(tmp_path, make_voice):
    (tmp_path / "voices").mkdir()
    make_voice().save(tmp_path / "voices" / "bob.npz")
    make_voice().save(tmp_path / "secret.npz")
    return make_services(tmp_path)


def read(services, **options):
    return network_options(options, services.names, services.defaults)


def upload(services, name: str, content: bytes):
    with services.uploads.receive(name) as incoming:
        incoming.write(content)
        return incoming.complete()


def test_every_flag_is_decided_once():
    """A new flag is refused until somebody puts it into one of the three."""
    decided = {name: [name in group for group in (ALLOWED, CHECKED, REFUSED)].count(True) for name in NAMES}
    assert {name for name, n in decided.items() if n != 1} == set()


def test_only_flags_are_decided():
    assert set(NAMES) == {*ALLOWED, *CHECKED, *REFUSED}


def test_no_flag_with_a_path_is_taken_as_it_is():
    assert not {line.name for line in flags() if line.path} & ALLOWED


def test_refused_flags_are_named(services):
    for name in REFUSED:
        with pytest.raises(OptionError, match=rf"--{name} is not for clients of the server; \w+") as raised:
            read(services, **{name: "x"})
        assert raised.value.flag == name


@pytest.mark.parametrize(
    "name", ["model", "output_dir", "config", "custom_audio_processing_function", "prompt_file", "cluster"]
)
def test_refused_flags_are_refused_under_every_name(services, name):
    for spelled in (name.upper(), name.replace("_", "-")):
        with pytest.raises(OptionError, match="not for clients"):
            read(services, **{spelled: "x"})


def test_values_are_texts_or_typed(services):
    given = {
        "text-temp": "0.5",
        "seed": 7,
        "speak_titles": False,
        "loudness": "podcast",
        "semantic_top_k": None,
        "top_p": 1,
    }
    with pytest.raises(OptionError, match="no setting top_p"):
        network_options(given, services.names, services.defaults)
    del given["top_p"]
    options = network_options(given, services.names, services.defaults)
    assert options == {"text_temp": 0.5, "seed": 7, "speak_titles": False, "loudness": "podcast"}


@pytest.mark.parametrize(
    "name, value",
    [
        ("seed", -1), ("seed", "a"), ("seed", 1.5), ("seed", 10**30), ("text_temp", float("nan")), ("text_temp", "inf"),
        ("output_format", "exe"), ("speak_titles", "maybe"), ("candidates", 1_000), ("output_iterations", 100_000),
        ("add_silence_between_segments", 3600), ("book_title", "x" * 20_000), ("book_title", "a\0b"), ("book_title", "\ud800"),
        ("split_each_text_prompt_by", "regex"), ("split_input_into_separate_prompts_by", "REGEX"), ("seed", [1]), ("seed", {}),
        ("recognizer", "whisper:large"), ("recognizer", "/etc"), ("seed", True), ("speak_titles", 1),
    ],
)  # fmt: skip
def test_wrong_values_name_the_flag(services, name, value):
    with pytest.raises(OptionError, match=rf"--{name}\b") as raised:
        read(services, **{name: value})
    assert raised.value.flag == name


def test_flag_under_two_names(services):
    with pytest.raises(OptionError, match="--history_prompt is given twice"):
        read(services, history_prompt="bob", speaker="bob")


PATHS = [
    "/etc/passwd",
    "../secret",
    "../secret.npz",
    "..\\secret",
    "~/x.npz",
    "C:\\x.npz",
    "voices/../secret.npz",
    "\\\\host\\x",
    "file:///x",
    "secret.npz",
    ".uploads/x",
    "a\0b",
    "",
    "x" * 999,
]


@pytest.mark.parametrize("name", sorted(CHECKED))
def test_no_path_is_taken_for_a_name(services, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)  # where secret.npz lies
    for path in PATHS:
        if name == "output_filename" and path in ("secret.npz", ""):
            continue  # a name like another, and none
        with pytest.raises(OptionError):
            read(services, **{name: f"Anna={path}" if name == "cast" else path})
            pytest.fail(f"{path!r} is taken")


def test_voices_by_name(services, tmp_path):
    (tmp_path / "voices" / "rita").mkdir()
    (tmp_path / "voices" / "rita" / "take.wav").write_bytes(b"RIFF")
    for voice in ("bob", "v2/en_speaker_6", "announcer", "random", "rita"):
        assert read(services, speaker=voice) == {"history_prompt": voice}
    assert read(services, cast="Anna=bob, Bob = v2/en_speaker_1") == {"cast": "Anna=bob,Bob=v2/en_speaker_1"}
    assert read(services, audition="bob,v2/en_speaker_1")["audition"] == "bob,v2/en_speaker_1"
    assert read(services, audition="all") == {"audition": "all"}


def test_uploads_by_id_and_by_name(services, tmp_path):
    voice = upload(services, "mine.npz", (tmp_path / "secret.npz").read_bytes())
    for name in (voice.id, "mine.npz", str(voice.path)):
        assert read(services, history_prompt=name) == {"history_prompt": str(voice.path)}
    assert read(services, cast=f"Anna={voice.id}") == {"cast": f"Anna={voice.path}"}
    words = upload(services, "words.toml", b'[words]\nNguyen = "Win"\n')
    assert read(services, pronunciations=words.id) == {"pronunciations": str(words.path)}
    with pytest.raises(OptionError, match="no uploaded image"):
        read(services, cover=words.id)


def test_recognizer_of_the_server(tmp_path):
    services = make_services(tmp_path, recognizer="whisper:tiny")
    assert read(services, recognizer="whisper:tiny") == {"recognizer": "whisper:tiny"}
    assert read(services, recognizer="off") == {"recognizer": "off"}
    with pytest.raises(OptionError, match="is not one of off, pocketsphinx, whisper:tiny"):
        read(services, recognizer="whisper:base")


def test_unusable_characters():
    assert unusable_characters("Ünïcode 😀\n") is None
    assert "NUL" in (unusable_characters("a\0") or "")
    assert "surrogates" in (unusable_characters("\udfff") or "")


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.lists(st.integers(), max_size=2)
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([line.name for line in network_flags()]), VALUES, max_size=4))
def test_what_is_taken_can_be_resolved_or_is_refused(services, given):
    """Whatever a client sends: options of the right types, or an error of the program."""
    try:
        options = network_options(given, services.names, services.defaults)
        resolve(Options.from_settings(options))
    except BarkError:
        return
    assert {line.name for line in flags() if line.name in options} == options.keys()
