"""Which worker gets which segments: sizes, deadlines, duplicates, failures; and how well a simulated cluster is used."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bark_infinity.run.dispatch import MAX_TRIES, SEGMENTS_PER_ROW, Batch, Dispatcher
from benchmarks.cluster import Faults, Machine, Simulation


def dispatcher(segments: int, **rows: int) -> Dispatcher:
    """A dispatcher with so many queued segments and these workers."""
    made = Dispatcher()
    for name, own in rows.items():
        made.add_worker(name, own)
    for ticket in range(segments):
        made.submit(ticket)
    return made


def by_worker(batches: list[Batch]) -> dict[str, Batch]:
    return {batch.worker: batch for batch in batches}


def finish(made: Dispatcher, batch: Batch, now: float) -> list[int]:
    """End a batch; the segments that it was the first to finish."""
    return [batch.tickets[place] for place in made.finished(batch.number, now)]


def test_batches_are_full_and_in_order_while_there_are_many_segments():
    batches = dispatcher(100, a=4, b=8).assign(0.0)
    assert [batch.tickets for batch in batches] == [tuple(range(8)), tuple(range(8, 24))]


def test_few_segments_are_shared_by_all_workers():
    batches = dispatcher(4, a=16, b=16, c=16, d=16).assign(0.0)
    assert [len(batch.tickets) for batch in batches] == [1, 1, 1, 1]


def test_faster_workers_get_more_of_the_last_segments():
    made = dispatcher(64, fast=16, slow=16)
    first = by_worker(made.assign(0.0))
    finish(made, first["fast"], 10.0)
    finish(made, first["slow"], 40.0)
    for ticket in range(100, 120):
        made.submit(ticket)
    sizes = {name: len(batch.tickets) for name, batch in by_worker(made.assign(40.0)).items()}
    assert sum(sizes.values()) == 20 and sizes["fast"] > sizes.get("slow", 0)


def test_late_batch_is_given_to_another_and_the_first_answer_counts():
    made = dispatcher(100, a=1, b=1)
    slow, quick = made.assign(0.0)
    taken_at = None
    for now in range(10, 400, 10):  # 10 s are usual
        assert finish(made, quick, float(now)) == list(quick.tickets)
        (quick,) = made.assign(float(now))
        if quick.tickets == slow.tickets:
            taken_at = taken_at or now
    assert taken_at is not None and 90 < taken_at < 200
    assert finish(made, slow, 410.0) == []
    assert [batch.worker for batch in made.assign(410.0)] == [slow.worker]  # it is used again


def test_overdue_batch_is_duplicated_once_another_worker_is_idle():
    made = dispatcher(2, a=1, b=1)
    slow, quick = made.assign(0.0)
    finish(made, quick, 10.0)
    (copy,) = made.assign(12.0)
    assert (copy.worker, copy.tickets) == (quick.worker, slow.tickets)
    assert finish(made, slow, 13.0) == list(slow.tickets) and finish(made, copy, 22.0) == [] and made.n_open == 0


def test_frozen_worker_gets_nothing_until_it_answers():
    made = dispatcher(4, a=1, b=1)
    frozen, quick = made.assign(0.0)
    finish(made, quick, 1.0)
    (again,) = made.assign(500.0)
    finish(made, again, 501.0)
    for ticket in range(10, 20):
        made.submit(ticket)
    assert {batch.worker for batch in made.assign(502.0)} == {quick.worker}


def test_worker_that_is_late_for_long_is_to_be_removed():
    made = dispatcher(40, a=4)
    (batch,) = made.assign(0.0)
    finish(made, batch, 20.0)
    made.assign(20.0)
    for now in range(21, 600):
        assert not made.assign(float(now)) and not made.hung  # late after 120 s
    assert made.n_queued == 32
    made.assign(625.0)
    assert made.hung == ("a",)
    assert made.remove_worker("a") == () and made.n_queued == 32 and not made.hung


def test_fast_idle_worker_duplicates_a_slow_batch():
    made = dispatcher(64, fast=16, slow=16)
    first = by_worker(made.assign(0.0))
    finish(made, first["fast"], 5.0)
    finish(made, first["slow"], 100.0)
    for ticket in range(100, 104):
        made.submit(ticket)
    made._workers["fast"].rows = 1  # so that the slow one is needed
    made.assign(100.0)
    made._workers["fast"].rows = 16
    fast, slow = (made._workers[name].batch for name in ("fast", "slow"))
    assert fast is not None and slow is not None
    finish(made, fast, 103.0)
    (copy,) = made.assign(104.0)
    assert copy.worker == "fast" and set(copy.tickets) == set(slow.tickets)
    assert finish(made, copy, 106.0) == list(copy.tickets) and finish(made, slow, 200.0) == []


def test_poisoned_segment_is_tried_on_three_workers_then_given_up_alone():
    made, poison, given_up, tried, done = dispatcher(32, a=16, b=16, c=16), 5, [], [], set()
    for now in range(1000):
        for batch in made.assign(float(now)):
            if poison in batch.tickets:
                tried.append((batch.worker, len(batch.tickets)))
                given_up += made.failed(batch.number)
            else:
                done |= set(finish(made, batch, now + 0.5))
    assert given_up == [poison] and done == set(range(32)) - {poison} and made.n_open == 0
    assert len({worker for worker, _ in tried}) == MAX_TRIES
    sizes = [size for _, size in tried]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] == 1


def test_one_worker_alone_tries_again_itself():
    made = dispatcher(1, a=4)
    for _ in range(MAX_TRIES - 1):
        (batch,) = made.assign(0.0)
        assert made.failed(batch.number) == ()
    (batch,) = made.assign(0.0)
    assert made.failed(batch.number) == (0,)


def test_segments_of_a_lost_worker_go_to_another():
    made = dispatcher(16, a=8, b=8)
    lost, other = made.assign(0.0)
    assert made.remove_worker(lost.worker) == () and made.n_workers == 1
    finish(made, other, 1.0)
    done = []
    for now in range(2, 10):
        for batch in made.assign(float(now)):
            assert batch.worker == other.worker
            done += finish(made, batch, now + 0.5)
    assert sorted(done) == sorted(lost.tickets)
    assert made.finished(lost.number, 99.0) == ()  # an answer from the grave


def test_out_of_memory_halves_the_batches_of_that_worker_only():
    made = dispatcher(100, a=8, b=8)
    a, _ = made.assign(0.0)
    assert made.out_of_memory(a.number) == ()
    assert (made.rows_of("a"), made.rows_of("b")) == (4, 8)
    (again,) = made.assign(1.0)
    assert again.tickets == a.tickets[: SEGMENTS_PER_ROW * 4]
    for _ in range(2):
        made.out_of_memory(again.number)
        (again,) = made.assign(1.0)
    assert made.rows_of("a") == 1


def test_segment_that_fits_nowhere_is_given_up():
    made, given_up = dispatcher(1, a=1, b=1), ()
    for _ in range(MAX_TRIES):
        (batch,) = made.assign(0.0)
        given_up += made.out_of_memory(batch.number)
    assert given_up == (0,)


def test_withdrawn_segments_are_not_started():
    made = dispatcher(10, a=2)
    for ticket in range(9):
        made.withdraw(ticket)
    (batch,) = made.assign(0.0)
    assert batch.tickets == (9,) and made.n_queued == 0
    made.withdraw(9)
    assert finish(made, batch, 1.0) == [] and made.n_open == 0


EVENT = st.sampled_from(["finish"] * 6 + ["fail", "memory", "die", "join", "wait", "withdraw"])


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(1, 40), st.integers(1, 5), st.sets(st.integers(0, 39), max_size=3))
def test_whatever_happens_no_segment_is_lost_and_none_is_finished_twice(data, segments, workers, poison):
    """Poisoned segments fail every batch with them; nothing else is ever given up by failures of the batch alone."""
    made, now = dispatcher(segments, **{f"w{k}": 1 + k for k in range(workers)}), 0.0
    running: dict[int, Batch] = {}
    ends: dict[int, str] = {}

    def end(tickets, how: str) -> None:
        for ticket in tickets:
            assert ticket not in ends, "a segment ended twice"
            ends[ticket] = how

    def lose(worker: str) -> None:
        end(made.remove_worker(worker), "given up")
        for number in [number for number, batch in running.items() if batch.worker == worker]:
            del running[number]

    n_joined, names = workers, [f"w{k}" for k in range(workers)]
    for step in range(400):
        started = made.assign(now)
        assert len({batch.worker for batch in (*running.values(), *started)}) == len(running) + len(started)
        running |= {batch.number: batch for batch in started}
        if made.n_open == 0:
            break
        event = data.draw(EVENT) if step < 60 else "finish"
        now += data.draw(st.sampled_from([0.1, 5.0, 1000.0])) if step < 60 else 5.0
        if event == "join" or not names:
            names.append(f"w{n_joined}")
            made.add_worker(names[-1], 2)
            n_joined += 1
        elif event == "withdraw" and step < 60:
            ticket = data.draw(st.integers(0, segments - 1))
            made.withdraw(ticket)
            ends.setdefault(ticket, "withdrawn")
        elif event == "die":
            lose(names.pop(data.draw(st.integers(0, len(names) - 1))))
        elif running and event != "wait":
            batch = running.pop(data.draw(st.sampled_from(sorted(running))) if step < 60 else min(running))
            if event == "memory":
                end(made.out_of_memory(batch.number), "given up")
            elif event == "fail" or poison & set(batch.tickets):
                end(made.failed(batch.number), "given up")
            else:
                end(finish(made, batch, now), "finished")
    assert set(ends) == set(range(segments)) and made.n_open == made.n_queued == 0
    assert not poison & {ticket for ticket, how in ends.items() if how == "finished"}


# ---- simulated clusters ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("faults", "least"), [(Faults(), 0.95), (Faults(deaths_per_hour=0.3, stragglers=0.001), 0.92)])
def test_hundred_workers_are_used_to_95_percent(faults, least):
    """For half an hour; batches that are lost or slow are part of the second one's rest."""
    simulation = Simulation([Machine()] * 100, 40_000, driver_s=0.01, faults=faults)
    assert simulation.run().efficiency > least
    assert set(simulation.finished) == {1}


def test_different_workers_beside_each_other_are_used_fully():
    machines = [Machine(64, 60.0)] * 4 + [Machine(16, 300.0)] * 8 + [Machine(1, 40.0, 0.0)] * 8
    simulation = Simulation(machines, 6_000, driver_s=0.001)
    assert simulation.run().efficiency > 0.9
    assert set(simulation.finished) == {1}


def test_driver_is_the_limit_where_results_come_faster_than_it_saves_them():
    outcome = Simulation([Machine(batch_s=10.0)] * 60, 6_000, driver_s=0.01).run()
    assert outcome.driver_load > 0.8 and outcome.efficiency < 0.7
