"""--audition: the same text in several voices, one clip each, and a page to hear them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile

from bark_infinity.cli.main import main
from bark_infinity.errors import UsageError
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.output.audition_page import AuditionedClip, format_page, write_audition_page
from bark_infinity.run.audition import auditioned_voices

SHORT = ["--model", "demo", "--seed", "1", "--fine_temp", "0", "--semantic_max_gen_duration_s", "0.3"]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_PROBE = """<script>
const press = key => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
const wait = ms => new Promise(done => setTimeout(done, ms));
const state = () => [chosen, ...players.map(player => !player.paused)];
(async () => {
  const seen = [];
  await wait(500);
  for (const key of [" ", "j", "j", "j", "k", " "]) { press(key); await wait(200); seen.push(state()); }
  const lengths = players.map(player => player.duration);
  document.title = JSON.stringify({ seen, lengths, errors: players.map(player => player.error !== null) });
})();
</script></body>"""


@pytest.fixture(autouse=True)
def voices(make_voice):
    Path("bark_voices").mkdir()
    for k, name in enumerate(("anna", "bob")):
        make_voice(3.0, seed=k).save(f"bark_voices/{name}.npz")


def audition(*arguments: str, text: str = "Hello") -> tuple[int, list[dict]]:
    """The exit status, and the manifests of the clips in the order of their names."""
    status = main([*SHORT, "--text_prompt", text, *arguments])
    return status, [json.loads(path.read_text()) for path in sorted(Path("bark_samples").glob("*.json"))]


# ---- clips ----------------------------------------------------------------------------------------------------------


def test_text_is_spoken_in_each_voice_as_it_is_alone(capfd):
    """In one batch, from the same seed; the tokens are those of a run with --history_prompt."""
    status, clips = audition("--audition", "anna,bob")
    assert status == 0
    out = capfd.readouterr().out.splitlines()
    names = ["Hello-SPK-anna.wav", "Hello-SPK-bob.wav", "audition.html"]
    assert sorted(Path(line).name for line in out) == sorted(names)
    for voice, clip in zip(("anna", "bob"), clips, strict=True):
        alone = [
            *SHORT,
            "--text_prompt",
            "Hello",
            "--history_prompt",
            voice,
            "--output_dir",
            "alone",
            "--output_filename",
            voice,
        ]
        assert main(alone) == 0
        assert json.loads(Path(f"alone/{voice}.json").read_text())["audio_sha256"] == clip["audio_sha256"]


def test_drawn_seed_is_the_same_in_all_voices():
    assert main([*SHORT[:2], *SHORT[4:], "--audition", "anna,bob", "--text_prompt", "Hello"]) == 0
    seeds = {json.loads(path.read_text())["seed"] for path in Path("bark_samples").glob("*.json")}
    assert len(seeds) == 1


def test_several_prompts_and_takes_are_auditioned():
    status, clips = audition(
        "--audition",
        "anna,bob",
        "--split_input_into_separate_prompts_by",
        "line",
        "--output_iterations",
        "2",
        text="One.\nTwo.",
    )
    assert status == 0 and len(clips) == 8
    names = sorted(path.stem for path in Path("bark_samples").glob("*.json"))
    assert names[:2] == ["1_One-SPK-anna", "1_One-SPK-anna_1"] and "2_Two-SPK-bob_1" in names
    page = Path("bark_samples/audition.html").read_text()
    rows = re.findall(r"<b>(\w+)</b>.*?src=\"([^\"]+)\"", page)
    assert len(rows) == 8 and all(f"SPK-{voice}" in source for voice, source in rows)


def test_other_speakers_of_a_script_keep_their_voices(make_voice):
    make_voice(3.0, seed=5).save("bark_voices/carl.npz")
    Path("play.txt").write_text("+++\n[cast]\nAnna = 'bob'\n+++\nAnna: One dog.\n\nTwo cats.\n")
    assert main([*SHORT, "--prompt_file", "play.txt", "--audition", "anna,carl"]) == 0
    manifests = [json.loads(path.read_text()) for path in Path("bark_samples").glob("*.json")]
    assert {tuple(segment["speaker"] for segment in clip["segments"]) for clip in manifests} == {
        ("Anna", "anna"),
        ("Anna", "carl"),
    }


def test_clip_is_made_again_from_its_manifest(capfd):
    audition("--audition", "anna,bob")
    assert main(["--model", "demo", "--from_manifest", "bark_samples/Hello-SPK-bob.json"]) == 0
    assert "bit for bit" in capfd.readouterr().err


def test_name_of_the_file_has_the_voice_too():
    audition("--audition", "anna,bob", "--output_filename", "mine")
    assert {path.name for path in Path("bark_samples").glob("*.wav")} == {"mine-SPK-anna.wav", "mine-SPK-bob.wav"}


def test_interrupted_audition_goes_on_and_its_page_has_all_clips(monkeypatch, capfd):
    from bark_infinity.bark import Bark

    stream = Bark.stream

    def stop_after_one(*arguments):
        yield next(stream(*arguments))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Bark, "stream", stop_after_one)
        assert audition("--audition", "anna,bob", "--batch_size", "1")[0] == 130
    assert not Path("bark_samples/audition.html").exists()
    assert audition("--audition", "anna,bob", "--batch_size", "1")[0] == 0
    assert Path("bark_samples/audition.html").read_text().count("<audio") == 2


# ---- which voices ---------------------------------------------------------------------------------------------------


def test_all_are_those_that_suit_the_model_without_the_output_folder(make_voice):
    Path("prompts/v2").mkdir(parents=True)
    make_voice(2.0).save("prompts/v2/de_speaker_1.npz")
    Path("bark_samples").mkdir()
    make_voice(2.0).save("bark_samples/clip.npz")
    Path("bark_voices/eve").mkdir()
    soundfile.write("bark_voices/eve/a.wav", np.zeros(9), 24_000)
    Path("bark_voices/broken.npz").write_bytes(b"PK")
    assert list(auditioned_voices(resolve(Options(audition="all"))).values()) == [
        "anna",
        "bob",
        "eve",
        "v2/de_speaker_1",
    ]
    assert list(auditioned_voices(resolve(Options(audition="all", model="demo"))).values()) == [
        "demo_female",
        "demo_male",
    ]


def test_names_as_speakers_are_unlike_each_other():
    named = auditioned_voices(resolve(Options(audition="a/x.npz, b/x.npz,v2/en_speaker_6,1|2:[],a/x.npz,99.npz")))
    assert list(named.values()) == ["a/x.npz", "b/x.npz", "v2/en_speaker_6", "1|2:[]", "99.npz"]
    assert len(named) == 5 and list(named)[:3] == ["x", "Voice 2", "en_speaker_6"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--audition", "anna,,bob"], "takes voices with commas"),
        (["--audition", "anna,nobody"], "--audition: there is no voice 'nobody'"),
        (["--audition", "anna", "--history_prompt", "bob"], "exclude each other"),
        (["--audition", "anna", "--cast", "anna=bob"], "the cast has anna too"),
    ],
)
@pytest.mark.parametrize("show", [[], ["--dry_run"]])
def test_voices_that_cannot_be_auditioned_are_refused(capfd, arguments, message, show):
    assert audition(*arguments, *show, text="anna: Hello")[0] == 2
    assert message in " ".join(capfd.readouterr().err.split())


def test_no_voices_at_all_are_an_error():
    shutil.rmtree("bark_voices")
    with pytest.raises(UsageError, match="there is no voice for large"):
        auditioned_voices(resolve(Options(audition="all")))


# ---- the page -------------------------------------------------------------------------------------------------------


def test_everything_on_the_page_is_escaped_and_nothing_comes_from_elsewhere():
    clips = [AuditionedClip('<b>"x"</b>&', "5 < 6 & <script>", Path("x/a b#1%'\".wav"))]
    page = format_page(clips)
    assert "<script>alert" not in page and page.count("<script>") == 1 and "5 &lt; 6 &amp; &lt;script&gt;" in page
    (source,) = re.findall(r'src="([^"]*)"', page)
    assert unquote(unescape(source)) == "a b#1%'\".wav"
    assert "http" not in page.replace("http-equiv", "") and "default-src 'none'" in page


def test_pages_are_not_overwritten():
    clips = [AuditionedClip("anna", "Hello", Path("a.wav"))]
    assert [write_audition_page(Path(), clips).name for _ in range(2)] == ["audition.html", "audition_1.html"]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_page_plays_in_chromium_by_keys(tmp_path):
    """From a folder, under names that have to be quoted; the policy of the page does not keep its own clips out."""
    clips = []
    for k in range(3):
        path = tmp_path / f"clip {k} 100% #{k}.wav"
        soundfile.write(path, 0.1 * np.sin(np.arange(24_000 * (k + 1)) / 9), 24_000)
        clips.append(AuditionedClip(f"voice {k}", "Hello", path))
    page = write_audition_page(tmp_path, clips)
    page.write_text(page.read_text().replace("</body>", _PROBE))
    command = [
        CHROMIUM,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--autoplay-policy=no-user-gesture-required",
    ]
    command += ["--virtual-time-budget=8000", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    result = json.loads(unescape(re.search("<title>(.*)</title>", dom)[1]))
    assert result["lengths"] == pytest.approx([1, 2, 3], abs=0.01) and not any(result["errors"])
    no = False
    assert result["seen"] == [
        [0, True, no, no],
        [1, no, True, no],
        [2, no, no, True],
        [2, no, no, True],  # the last one from its beginning
        [1, no, True, no],
        [1, no, no, no],
    ]
