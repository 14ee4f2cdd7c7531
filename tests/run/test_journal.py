"""The journal: a run killed at any moment resumes where it stopped and gives the files of an uninterrupted run."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from audio_files import png
from fakes import VOICE, Counting, Hashing, dialogue, recipe_of, voice_of

from bark_infinity.cli.signals import Stopped, stopping
from bark_infinity.errors import OutputError
from bark_infinity.narration import ClipSource, Job
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.output.clip_files import clip_keys, save_clips
from bark_infinity.run import locks
from bark_infinity.run.clips import Clip, FailedClip, FinishedSegment
from bark_infinity.run.journal import ClipJournal, KeptSegment, RunJournal
from bark_infinity.run.planning import ClipPlan, SegmentPlan
from bark_infinity.run.recipe import Recipe
from bark_infinity.seeds import Seeds
from bark_infinity.voices.voice import Voice

OUT = Path("out")
LINES = "A first line.\nA second line.\nThe third one.\nAnd a fourth.\nThe fifth.\nA last line."
FEW = LINES[: LINES.index("The fifth") - 1]
SHORT = {"split_each_text_prompt_by": "line", "semantic_max_gen_duration_s": 0.1, "batch_size": 2, "seed": 5}

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@pytest.fixture
def demo() -> Hashing:
    """Stands in for a model, which would take a hundred times as long; `test_bark.py` tests a real one."""
    return Hashing()


def run(bark, text: str | None = LINES, folder: Path = OUT, **options) -> list[Clip | FailedClip]:
    """Run a command as the command line does; its finished and failed clips."""
    return [result for result in job(bark, text, folder, **options).run() if isinstance(result, (Clip, FailedClip))]


def job(bark, text: str | None = LINES, folder: Path = OUT, **options) -> Job:
    resolved = resolve(Options(model="demo", text_prompt=text, output_dir=str(folder), **SHORT | options))
    return Job(resolved, ClipSource(resolved), Recipe.from_options(resolved, bark))


def sounds(folder: Path = OUT) -> dict[str, str]:
    """The digest of each finished clip's audio, by file name."""
    return {path.name: json.loads(path.read_text())["audio_sha256"] for path in folder.glob("*.json")}


def n_finished(folder: Path = OUT) -> int:
    """The number of finished segments, which a resumed run need not generate again."""
    whole = sum(len(json.loads(path.read_text())["segments"]) for path in folder.glob("*.json"))
    partial = [path for path in folder.glob("[!.]*.partial") if not is_named(path)]
    return whole + sum(len(list(path.glob("segments/*.npz"))) for path in partial)


def is_named(partial: Path) -> bool:
    """True when the clip's files already have their final names, so only its folder is left to remove."""
    naming = partial / "naming.json"
    moves = json.loads(naming.read_text())["moves"] if naming.exists() else [("", "not named")]
    return all((partial.parent / name).exists() for _, name in moves)


WRITES = ("fsync", "link", "replace", "rename", "unlink", "mkdir", "rmdir")


def counting_writes(act: Callable[[int], None]) -> None:
    """From now on, call `act` with a running number before and after each change of the file system."""
    number = 0

    def counted(write):
        def call(*arguments, **more):
            nonlocal number
            act(number := number + 1)
            done = write(*arguments, **more)
            act(number := number + 1)
            return done

        return call

    for name in WRITES:
        setattr(os, name, counted(getattr(os, name)))


def in_child(work: Callable[[], None]) -> int:
    """Run `work` in a forked process; its exit status."""
    if not (child := os.fork()):
        try:
            work()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_at(moment: int, bark, how: signal.Signals = signal.SIGKILL, **options) -> None:
    """A run that receives the signal at the given change of the file system."""

    def work():
        counting_writes(lambda number: number == moment and os.kill(os.getpid(), how))
        try:
            with stopping():
                run(bark, **options)
        except Stopped as stopped:
            os._exit(stopped.status)
        os._exit(0)

    assert in_child(work) == (-how if how == signal.SIGKILL else 128 + how)


def n_writes_of_a_run(bark, **options) -> int:
    """The number of moments at which `killed_at` can stop a run."""
    reader, writer = os.pipe()

    def work():
        last = [0]
        counting_writes(lambda number: last.__setitem__(0, number))
        run(bark, folder=Path("counted"), **options)
        os.write(writer, str(last[0]).encode())
        os._exit(0)

    assert in_child(work) == 0
    return int(os.read(reader, 100))


@forks
@pytest.mark.parametrize("interval", [0, 1, 3])
def test_run_killed_at_any_moment_resumes_and_gives_the_same_files(demo, interval):
    how = {"text": FEW, "stable_mode_interval": interval, "output_iterations": 2, "hoarder_mode": interval == 3}
    whole = Counting(demo)
    run(whole, folder=Path("whole"), **how)
    wanted = sorted(sounds(Path("whole")).values())
    assert len(wanted) == 2 and whole.n_spoken == 8
    moments = range(1, n_writes_of_a_run(demo, **how))
    for k, moment in enumerate(random.Random(interval).sample(moments, 8)):
        folder = Path(f"killed_{k}")
        killed_at(moment, demo, folder=folder, **how)
        finished, again = n_finished(folder), Counting(demo)
        run(again, folder=folder, **how)
        assert again.n_spoken == 8 - finished, f"killed at {moment}"
        assert sorted(sounds(folder).values()) == wanted, f"killed at {moment}"
        assert {p.suffix for p in folder.iterdir()} <= {".wav", ".npz", ".json", ".segments"}, f"killed at {moment}"


@forks
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_run_interrupted_at_any_moment_resumes_and_gives_the_same_files(demo, how):
    run(demo, FEW, folder=Path("whole"))
    moments = range(1, n_writes_of_a_run(demo, text=FEW))
    for k, moment in enumerate(random.Random(int(how)).sample(moments, 6)):
        folder = Path(f"stopped_{k}")
        killed_at(moment, demo, how, text=FEW, folder=folder)
        finished, again = n_finished(folder), Counting(demo)
        run(again, FEW, folder=folder)
        assert again.n_spoken == 4 - finished, f"stopped at {moment}"
        assert sounds(folder) == sounds(Path("whole")), f"stopped at {moment}"
        assert {p.suffix for p in folder.iterdir()} == {".wav", ".npz", ".json"}, f"stopped at {moment}"


@forks
def test_run_killed_repeatedly_is_finished_in_the_end(demo):
    moments = random.Random(7)
    total = n_writes_of_a_run(demo)
    for _ in range(5):
        killed_at(moments.randrange(2, total // 3), demo)
    run(demo)
    run(demo, folder=Path("whole"))
    assert sounds() == sounds(Path("whole"))


def killed_while_naming(moment: int, how: signal.Signals, bark, **options) -> bool:
    """A run that receives the signal at the given change of the file system while naming its files; False if it ended before."""

    def work():
        name = ClipJournal.name

        def counted(journal, moves):
            counting_writes(lambda number: number == moment and os.kill(os.getpid(), how))
            name(journal, moves)

        ClipJournal.name = counted
        try:
            with stopping():
                run(bark, **options)
        except Stopped:
            os._exit(7)
        os._exit(0)

    status = in_child(work)
    assert status in (0, 7, -signal.SIGKILL)
    return status != 0


@forks
@pytest.mark.parametrize(
    ("how", "format", "chapters", "apart"), [(signal.SIGKILL, "m4a", True, 2), (signal.SIGTERM, "wav", False, 3)]
)
def test_run_killed_while_naming_files_does_not_generate_again(demo, how, format, chapters, apart):
    options = {"output_format": format, "hoarder_mode": True, "output_filename": "x", "text": "A line.\nAnother."}
    if chapters:
        Path("cover.png").write_bytes(png())
        options |= {"text": "# One\nA line.\n# Two\nAnother.", "script": "dialogue", "chapter_files": True}
        options |= {"cover": "cover.png"}
    run(demo, folder=Path("whole"), **options)
    names = sorted(path.name for path in Path("whole").iterdir())
    assert len(names) == (7 if chapters else 5)
    moment = 1
    while killed_while_naming(moment, how, demo, folder=Path(f"at_{moment}"), **options):
        folder = Path(f"at_{moment}")
        if list(folder.glob(".run-*")):  # else it was done: the same command makes another take
            again = Counting(demo)
            run(again, folder=folder, **options)
            assert again.n_spoken == 0, f"stopped at {moment}"
        assert sorted(path.name for path in folder.iterdir()) == names, f"stopped at {moment}"
        moment += apart
    assert moment > 20


def interrupted_after(n: int, bark):
    """An engine that is interrupted after n segments."""

    class Interrupted(Counting):
        def stream(self, *arguments):
            for generation in super().stream(*arguments):
                yield generation
                if self.n_spoken == n:
                    raise KeyboardInterrupt

    return Interrupted(bark)


def interrupt(n: int, demo, **options) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(interrupted_after(n, demo), **options)


def test_interrupted_run_keeps_its_segments_and_its_random_seed(demo):
    interrupt(3, demo, seed=None)
    (partial,) = OUT.glob("*.partial")
    assert len(list(partial.glob("segments/*.npz"))) == 3 and not (partial / "writing").exists()
    assert sorted(p.name for p in OUT.iterdir() if not p.name.startswith(".")) == [partial.name]
    again = Counting(demo)
    (clip,) = run(again, seed=None)
    assert again.n_spoken == 3 and not list(OUT.glob("*.partial")) and not list(OUT.glob(".*"))
    whole, seed = Counting(demo), clip.plan.seed
    run(whole, folder=Path("whole"), seed=None, single_starting_seed=seed)
    assert set(sounds().values()) == set(sounds(Path("whole")).values())


def test_changed_text_reuses_unchanged_segments(demo):
    interrupt(5, demo, seed=None)
    again = Counting(demo)
    run(again, LINES.replace("third", "changed third"), seed=None)
    assert again.n_spoken == 2  # the changed one and the last


def test_changed_flag_reuses_segments_it_does_not_affect(demo):
    interrupt(4, demo)
    again = Counting(demo)
    run(again, output_format="flac", add_silence_between_segments=0.5)
    assert again.n_spoken == 2
    interrupt(4, demo)
    again = Counting(demo)
    run(again, fine_temp=0.4)
    assert again.n_spoken == 6


@pytest.mark.parametrize("interval", [0, 1, 2])
def test_dialogue_is_resumed_with_the_histories_of_its_speakers(demo, interval):
    how = {"stable_mode_interval": interval, "output_dir": "out", "batch_size": 2}
    options = resolve(Options(**how))
    clip = dataclasses.replace(dialogue("AB-BAC-CBA", **how), prompt_index=0)
    expected = None
    for n in (10, 1, 4, 7):  # finished segments before the run ends
        shutil.rmtree(OUT, ignore_errors=True)
        recipe = recipe_of(demo, VOICE, {"A": voice_of(71), "B": voice_of(72)}, **how)
        key = clip_keys(options, recipe)
        first = save_clips(recipe, [clip], OUT, options, RunJournal.start(OUT, key, 3))
        for _ in zip(range(n), (result for result in first if isinstance(result, FinishedSegment)), strict=False):
            pass
        if n < 10:
            first.close()
            (journal,) = RunJournal.unfinished(OUT, key)
            assert journal.belongs_to([clip])
            again = Counting(demo)
            *_, finished = save_clips(dataclasses.replace(recipe, engine=again), [clip], OUT, options, journal)
            assert again.n_spoken <= 10 - n
        else:
            *_, finished = first
        assert isinstance(finished, Clip)
        expected = expected or finished.audio_sha256
        assert finished.audio_sha256 == expected


def test_changed_voice_of_a_speaker_makes_only_his_segments_again(demo):
    options = resolve(Options(output_dir="out", batch_size=2))
    clip = dataclasses.replace(dialogue("AB-BA-"), prompt_index=0)
    recipe = recipe_of(demo, VOICE, {"A": voice_of(71), "B": voice_of(72)})
    key = clip_keys(options, recipe)
    first = save_clips(recipe, [clip], OUT, options, RunJournal.start(OUT, key, 3))
    for result in first:
        if isinstance(result, FinishedSegment) and result.index == 4:
            break
    first.close()
    others = dataclasses.replace(recipe, voices={**recipe.voices, "A": voice_of(73)})
    assert len({of(clip) for of in (key, clip_keys(options, others), clip_keys(options, recipe_of(demo)))}) == 3
    assert key(dataclasses.replace(clip, segments=clip.segments[::-1])) != key(clip) != key(dialogue("AAAAAA"))
    (journal,) = RunJournal.unfinished(OUT, key)
    again = Counting(demo)
    list(save_clips(dataclasses.replace(others, engine=again), [clip], OUT, options, journal))
    assert again.n_spoken == 3  # his two, and the last one


def test_random_splits_are_the_same_when_resumed(demo):
    how = {"split_input_into_separate_prompts_by": "random", "split_each_text_prompt_by": None, "seed": None}
    interrupt(2, demo, **how)
    before = sounds()
    again = Counting(demo)
    run(again, **how)
    assert len(before) == 2 and before.items() <= sounds().items() and again.n_spoken == len(sounds()) - 2


def test_text_from_a_pipe_is_resumed(demo):
    os.mkfifo("pipe")

    def write() -> None:
        Path("pipe").write_text(LINES)

    for stopped in (True, False):
        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        if stopped:
            interrupt(3, demo, text=None, prompt_file="pipe", seed=None)
        else:
            (clip,) = run(demo, text=None, prompt_file="pipe", seed=None)
            assert len(clip.plan.segments) == 6
        writer.join(timeout=10)


def test_finished_clips_are_not_generated_again_when_resumed(demo):
    how = {"split_input_into_separate_prompts_by": "line", "split_each_text_prompt_by": None, "seed": None}
    interrupt(4, demo, **how)
    before = sounds()
    assert len(before) == 4
    again = Counting(demo)
    run(again, **how)
    assert again.n_spoken == 2 and len(sounds()) == 6 and before.items() <= sounds().items()
    run(again, **how)  # nothing is left to resume: new takes
    assert again.n_spoken == 8 and len(sounds()) == 12


def test_deleted_clip_is_generated_again(demo):
    how = {"split_input_into_separate_prompts_by": "line", "split_each_text_prompt_by": None}
    interrupt(4, demo, **how)
    next(OUT.glob("2_*.wav")).unlink()
    again = Counting(demo)
    run(again, **how)
    assert again.n_spoken == 3


def test_resume_false_removes_the_unfinished_run(demo):
    interrupt(4, demo)
    again = Counting(demo)
    run(again, resume=False)
    assert again.n_spoken == 6 and not list(OUT.glob("*.partial")) and not list(OUT.glob(".*"))


def test_another_text_does_not_disturb_an_unfinished_run(demo):
    interrupt(4, demo)
    other = LINES.replace("line", "word").replace("The", "Some").replace("And", "Or")
    run(demo, other)
    again = Counting(demo)
    run(again)
    assert again.n_spoken == 2


def test_damaged_segment_is_generated_again(demo):
    interrupt(4, demo)
    damaged, other, *_ = OUT.glob("*.partial/segments/*.npz")
    damaged.write_bytes(damaged.read_bytes()[:50])
    other.write_bytes(b"")
    again = Counting(demo)
    run(again)
    run(demo, folder=Path("whole"))
    assert again.n_spoken == 4 and sounds() == sounds(Path("whole"))


def test_concurrent_runs_of_one_command_are_independent(demo):
    """The second starts while the first is running, and neither uses the other's segments."""
    one, two = job(demo).run(), job(demo).run()
    results = [next(one), next(two), next(two), next(one), *two, *one]
    clips = [result for result in results if isinstance(result, Clip)]
    assert len({clip.path for clip in clips}) == 2 and len(set(sounds().values())) == 1
    assert len(results) == 14 and not list(OUT.glob("*.partial")) and not list(OUT.glob(".*"))


@forks
def test_full_disk_keeps_finished_segments(demo):
    """A file size limit simulates it: token files are smaller than the limit, audio files are larger."""
    reader, writer = os.pipe()

    def work():
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
        (failed,) = run(demo, output_format="wav", semantic_max_gen_duration_s=0.5)
        os.write(writer, str(failed.error).encode())
        os._exit(0)

    assert in_child(work) == 0
    error = os.read(reader, 1000).decode()
    assert error.startswith("cannot write out/") and "File too large" in error and "free space" in error
    finished, again = n_finished(), Counting(demo)
    assert finished > 0 and not sounds()
    run(again, output_format="wav", semantic_max_gen_duration_s=0.5)
    assert again.n_spoken == 6 - finished and len(sounds()) == 1


def test_output_folder_deleted_during_the_run_fails_the_clip(demo):
    class Deleting(Counting):
        def stream(self, *arguments):
            for generation in super().stream(*arguments):
                if self.n_spoken == 3:
                    shutil.rmtree(OUT)
                yield generation

    (failed,) = run(Deleting(demo))
    assert (
        "out" in str(failed.error)
        and "No such file" in str(failed.error)
        and "choose another folder" in str(failed.error)
    )


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="nothing is read-only for root")
def test_read_only_folder_raises_output_error(demo):
    OUT.mkdir(mode=0o555)
    with pytest.raises(OutputError, match="cannot write"):
        run(demo)


# ---- on the command line --------------------------------------------------------------------------------------------

PERFORM = [sys.executable, str(Path(__file__).parents[2] / "bark_perform.py"), "--model", "demo", "--batch_size", "1"]
MANY = "\n".join(f"This is line {k} of a text." for k in range(400))


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_signal_stops_the_program_with_a_hint_how_to_resume():
    """By SIGTERM; SIGINT is that of cli/test_main.py."""
    arguments = ("--text_prompt", MANY, "--split_each_text_prompt_by", "line")
    process = subprocess.Popen([*PERFORM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(Path("bark_samples").glob("*.partial/segments/*.npz")):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143 and not out
    assert err.count("the same command goes on") == 1 and "Traceback" not in err
    assert n_finished(Path("bark_samples")) > 0


@forks
def test_lock_is_released_when_its_process_dies(demo):
    reader, writer = os.pipe()
    if not (child := os.fork()):
        try:
            for _ in job(demo).run():
                os.write(writer, b"a segment")
                signal.pause()
        finally:
            os._exit(1)
    os.close(writer)
    assert os.read(reader, 100) == b"a segment"
    (path,) = OUT.glob(".run-*.jsonl")
    assert not list(RunJournal.unfinished(OUT, lambda _: ""))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    (journal,) = RunJournal.unfinished(OUT, lambda _: "")
    journal.close(complete=True)
    assert not path.exists() and not list(OUT.iterdir())


# ---- the folder of a clip -------------------------------------------------------------------------------------------


def plan(n: int) -> ClipPlan:
    return ClipPlan("text", tuple(SegmentPlan(f"s{k}", Seeds(k)) for k in range(n)), 0, 0, 0, "stem")


def test_kept_segment_is_recalled_unchanged(make_voice):
    journal = RunJournal.start(OUT, lambda _: "key", 3)
    clip, voice = journal.clip(plan(2)), make_voice(2.0)
    about = {"seconds_taken": {"semantic": 0.1}, "statistics": None}
    clip.keep("a", KeptSegment(voice, about))
    silent = Voice(np.zeros(0, int), np.zeros((2, 0), int), np.zeros((8, 0), int))
    clip.keep("b", KeptSegment(silent, about))
    assert clip.recall("a").voice.digest() == voice.digest() and clip.recall("a").about == about
    assert clip.recall("b").voice.fine.shape == (8, 0) and clip.recall("c") is None


@pytest.mark.parametrize(
    "arrays",
    [
        {"fine_prompt": np.full((8, 9), 5000)},
        {"fine_prompt": np.zeros((7, 9), int)},
        {"semantic_prompt": np.zeros(3)},
        {"coarse_prompt": np.array([[None]])},
        {"about": np.frombuffer(b"[1]", np.uint8)},
        {"about": np.frombuffer(b"no json", np.uint8)},
    ],
)
def test_invalid_segment_file_is_not_recalled(make_voice, arrays):
    clip = RunJournal.start(OUT, lambda _: "key", 3).clip(plan(1))
    clip.keep("a", KeptSegment(make_voice(2.0), {}))
    good = dict(np.load(clip.folder / "segments" / "a.npz"))
    assert clip.recall("a") is not None
    np.savez(clip.folder / "segments" / "a.npz", **good | arrays)
    assert clip.recall("a") is None


def test_clip_folder_has_one_owner_at_a_time():
    OUT.mkdir()
    first = ClipJournal.create(OUT / "x.partial")
    assert ClipJournal.claim(OUT / "x.partial") is None
    with pytest.raises(FileExistsError):
        ClipJournal.create(OUT / "x.partial")
    assert os.listdir(OUT) == ["x.partial"]
    first.remove()
    assert not os.listdir(OUT) and ClipJournal.claim(OUT / "x.partial") is None
    assert ClipJournal.create(OUT / "x.partial") is not None


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_run_resumes_on_a_file_system_without_locks(demo, monkeypatch, number):
    def refuse(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(locks, "_lock", refuse)
    interrupt(3, demo)
    again = Counting(demo)
    run(again)
    assert again.n_spoken == 3


HEX = "0123456789abcdef"
FOREIGN = {  # by the path in the output folder: content, or None for a folder
    "mine.partial": None,
    ".mine.partial": None,
    "thesis.partial/chapter.txt": "precious",
    ".thesis.partial/chapter.txt": "precious",
    "git.partial/lock": "",
    ".git.partial/lock": "another program's",
    "marked.partial/lock": "bark_infinity",
    f".{HEX}.partial/plan.json": "{}",
    f".bark-infinity-{HEX}.partial/chapter.txt": "precious",
    ".bark-infinity-0.partial": None,
    "run.partial/plan.json": f'{{"run": ".run-{HEX}.jsonl", "place": [0, 0]}}',
    "stem.partial": "a file",
    ".stem.partial": "a file",
    ".run-1.jsonl": '{"format": 1, "seed": 1}\n',
    f".run-{HEX[::-1]}.jsonl": '{"seed": 1}\n',
    ".notes.tmp": "precious",
    ".bark-infinity.tmp": "precious",
}


def tree(folder: Path) -> dict[str, bytes | None]:
    paths = folder.rglob("*")
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in paths}


def test_foreign_files_in_the_output_folder_are_not_touched(demo):
    for name, content in FOREIGN.items():
        path = OUT / name
        (path if content is None else path.parent).mkdir(parents=True, exist_ok=True)
        if content is not None:
            path.write_text(content)
    elsewhere = ClipJournal.create(Path("elsewhere.partial"))
    elsewhere._lock.close()
    (OUT / "link.partial").symlink_to(Path("elsewhere.partial").absolute())
    before, outside = tree(OUT), tree(Path("elsewhere.partial"))
    interrupt(3, demo, output_filename="stem")
    assert before.items() <= tree(OUT).items()
    (clip,) = run(demo, output_filename="stem")
    after = tree(OUT)
    assert before.items() <= after.items() and tree(Path("elsewhere.partial")) == outside
    assert {Path(name).suffix for name in after.keys() - before.keys()} == {".wav", ".npz", ".json"}


def killed_at_every_moment(act: Callable[[], None]) -> Iterator[int]:
    """Call `act` in processes that are killed at its first change of the file system, its second, and so on."""
    for moment in range(1, 1000):

        def work(moment=moment):
            counting_writes(lambda number: number == moment and os.kill(os.getpid(), signal.SIGKILL))
            act()
            os._exit(0)

        status = in_child(work)
        assert status in (0, -signal.SIGKILL)
        yield moment
        if not status:
            return


@forks
def test_remains_of_a_killed_process_are_removed():
    def make_and_remove():
        clip = ClipJournal.create(OUT / "x.partial")
        (clip.folder / "segments").mkdir()
        (clip.folder / "segments" / "a.npz").touch()
        (clip.folder / "writing" / "x.segments").mkdir(parents=True)
        clip.remove()

    OUT.mkdir()
    for moment in killed_at_every_moment(make_and_remove):
        assert not list(RunJournal.unfinished(OUT, lambda _: "")) and not os.listdir(OUT), f"killed at {moment}"
    assert moment > 15


def test_truncated_journal_line_does_not_damage_the_next(demo):
    how = {"split_input_into_separate_prompts_by": "line", "split_each_text_prompt_by": None}
    interrupt(2, demo, **how)
    (path,) = OUT.glob(".run-*")
    path.write_bytes(path.read_bytes()[:-5])
    interrupt(2, demo, **how)
    again = Counting(demo)
    run(again, **how)
    assert again.n_spoken == 3 and len(sounds()) == 7  # one clip's line was lost


def test_invalid_journal_files_do_not_stop_a_run(demo):
    OUT.mkdir()
    (OUT / ".run-1.jsonl").write_bytes(b"\x00 no json")
    (OUT / ".run-2.jsonl").write_text('{"seed": "many"}\n[1]\n')
    (OUT / ".run-3.jsonl").mkdir()
    (OUT / "x.partial").mkdir()
    (OUT / "x.partial" / "plan.json").write_text("[" * 100_000)
    (OUT / "y.partial").write_text("a file")
    (clip,) = run(demo)
    assert clip.path.exists()
