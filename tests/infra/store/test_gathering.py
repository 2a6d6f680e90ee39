"""Writes that come at the same time share one; each still gets what it would get alone."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from infra.store.gathering import CROWD, Gathering

SECONDS = 10


class Disk:
    """Remembers what was written together; holds while told to, and refuses odd things."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.numbers: dict[str, int] = {}
        self.go_on = threading.Event()
        self.busy = threading.Semaphore(0)

    def write(self, items: Sequence[str]) -> list[int]:
        self.busy.release()
        assert self.go_on.wait(SECONDS)
        self.groups.append(list(items))
        if "bad" in items:
            raise ValueError(items)
        for item in items:
            self.numbers[item] = len(self.numbers) + 1
        return [self.numbers[item] for item in items]


def wait_for(gathering: Gathering[str], waiting: int) -> None:
    pause = threading.Event()
    for _ in range(SECONDS * 1000):
        if gathering._queue.qsize() == waiting:
            return
        pause.wait(0.001)
    pytest.fail(f"{waiting} should wait.")


def crowded(disk: Disk) -> Gathering[str]:
    """Give a place where many usually are."""
    gathering = Gathering(disk.write)
    gathering._usually_here = 100.0 * CROWD
    return gathering


def together(disk: Disk, items: Sequence[str]) -> list[Future[int]]:
    """Write items that all come while the first is being written."""
    gathering = crowded(disk)
    with ThreadPoolExecutor(1 + len(items)) as threads:
        first = threads.submit(gathering.write, "first")
        assert disk.busy.acquire(timeout=SECONDS)
        rest = []
        for number, item in enumerate(items, 1):
            rest.append(threads.submit(gathering.write, item))
            wait_for(gathering, number)
        disk.go_on.set()
    assert first.result() == 1
    return rest


def test_who_comes_alone_is_written_at_once_without_another_thread() -> None:
    disk = Disk()
    disk.go_on.set()
    gathering = Gathering(disk.write)
    assert [gathering.write("one"), gathering.write("two")] == [1, 2]
    assert disk.groups == [["one"], ["two"]]
    assert gathering._thread is None


def test_a_few_write_at_once() -> None:
    disk = Disk()
    gathering = Gathering(disk.write)
    with ThreadPoolExecutor(CROWD - 1) as threads:
        written = [threads.submit(gathering.write, f"{n}") for n in range(CROWD - 1)]
        for _ in written:
            assert disk.busy.acquire(timeout=SECONDS)
        disk.go_on.set()
    assert sorted(disk.groups) == [[f"{n}"] for n in range(CROWD - 1)]
    assert [each.result() for each in written] == [disk.numbers[f"{n}"] for n in range(CROWD - 1)]


def test_who_waits_is_written_together_and_gets_a_number_of_its_own() -> None:
    disk = Disk()
    items = [f"item {number}" for number in range(7)]
    written = together(disk, items)
    assert disk.groups == [["first"], items]
    assert [each.result() for each in written] == [disk.numbers[item] for item in items]


def test_when_a_group_fails_only_who_is_to_blame_is_told() -> None:
    disk = Disk()
    good, bad, other = together(disk, ["good", "bad", "other"])
    assert [good.result(), other.result()] == [disk.numbers["good"], disk.numbers["other"]]
    with pytest.raises(ValueError, match=r"\['bad'\]"):
        bad.result()
    assert sorted(disk.groups) == [
        ["bad"],
        ["first"],
        ["good"],
        ["good", "bad", "other"],
        ["other"],
    ]


def test_the_thread_of_a_crowd_ends_with_it_and_the_next_one_gets_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("infra.store.gathering.IDLE_SECONDS", 0.01)
    disk = Disk()
    disk.go_on.set()
    gathering = crowded(disk)
    for number in (1, 2):
        assert gathering.write(f"{number}") == number
        thread = gathering._thread
        if thread is not None:
            thread.join(SECONDS)
        assert gathering._thread is None
        gathering._usually_here = 100.0 * CROWD


def test_nobody_is_left_waiting_in_a_crowd() -> None:
    disk = Disk()
    disk.go_on.set()
    gathering = Gathering(disk.write)
    items = [f"{number}" if number % 50 else "bad" for number in range(2000)]
    with ThreadPoolExecutor(16) as threads:
        written = [threads.submit(gathering.write, item) for item in items]
    failed = [each for each in written if each.exception()]
    assert len(failed) == 40
    assert len(disk.numbers) == 1960
    assert (gathering._queue.qsize(), gathering._here) == (0, 0)
