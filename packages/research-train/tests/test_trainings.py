"""Several trainings at once: which comes next, and how long all will take."""

import pytest
from research_train.evidence.trainings import NeededRun, Setting, Work

SHORT, LONG, NEW = (Setting("tiny", (f"model={name}",)) for name in ("short", "long", "new"))


def needed(setting, seed, seconds=None):
    return NeededRun(setting, seed, seconds=seconds)


def test_what_was_never_run_comes_first_then_the_longest():
    waiting = [needed(SHORT, 0, 2.0), needed(LONG, 0, 60.0), needed(NEW, 0), needed(LONG, 1, 60.0)]
    work = Work(waiting, jobs=2)
    order = [work.take_next() for _ in range(4)]
    assert [(each.setting, each.seed) for each in order] == [
        (NEW, 0),
        (LONG, 0),
        (LONG, 1),
        (SHORT, 0),
    ]
    assert not work.waiting


def test_what_was_learned_in_this_session_counts_more_than_a_past_run():
    work = Work([needed(SHORT, 1, 2.0), needed(LONG, 1, 60.0)], jobs=2)
    work.seconds = {SHORT: 90.0}
    assert work.take_next().setting == SHORT


def test_the_time_left_is_shared_by_the_jobs_and_unknown_where_anything_is():
    work = Work([needed(LONG, 0, 60.0), needed(SHORT, 0, 2.0)], jobs=2)
    assert work.seconds_left() == pytest.approx(31.0)
    work.waiting.append(needed(NEW, 0))
    assert work.seconds_left() is None
    work.seconds[NEW] = 10.0
    assert work.seconds_left() == pytest.approx(36.0)
