"""Writes that come at the same time share one; each still gets what it would get alone."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from infra.store.gathering import CROWD, FEW, Gathering

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
        group = gathering._gathered
        if group is not None and len(group.items) == waiting:
            return
        pause.wait(0.001)
    pytest.fail(f"{waiting} should wait.")


def together(disk: Disk, items: Sequence[str]) -> list[Future[int]]:
    """Write items that all come while as many as possible are being written."""
    gathering = Gathering(disk.write)
    with ThreadPoolExecutor(FEW + len(items)) as threads:
        first = [threads.submit(gathering.write, f"first {n}") for n in range(FEW)]
        for _ in first:
            assert disk.busy.acquire(timeout=SECONDS)
        rest = []
        for number, item in enumerate(items, 1):
            rest.append(threads.submit(gathering.write, item))
            wait_for(gathering, number)
        disk.go_on.set()
    assert {each.result() for each in first} <= {*disk.numbers.values()}
    assert gathering._writing == 0
    return rest


def later(disk: Disk) -> list[list[str]]:
    """What was written together, but for those who came first; there is no order between them."""
    return sorted(group for group in disk.groups if not group[0].startswith("first"))


def test_who_comes_alone_is_written_at_once() -> None:
    disk = Disk()
    disk.go_on.set()
    gathering = Gathering(disk.write)
    assert [gathering.write("one"), gathering.write("two")] == [1, 2]
    assert disk.groups == [["one"], ["two"]]


def test_who_waits_is_written_together_and_gets_a_number_of_its_own() -> None:
    disk = Disk()
    items = [f"item {number}" for number in range(7)]
    written = together(disk, items)
    assert later(disk) == [items]
    assert [each.result() for each in written] == [disk.numbers[item] for item in items]


def test_in_a_crowd_one_writes_and_the_others_wait_for_it() -> None:
    disk = Disk()
    gathering = Gathering(disk.write)
    gathering._usually_here = 4.0 * CROWD
    with ThreadPoolExecutor(FEW) as threads:
        threads.submit(gathering.write, "first")
        assert disk.busy.acquire(timeout=SECONDS)
        for number in range(1, FEW):
            threads.submit(gathering.write, f"item {number}")
            wait_for(gathering, number)
        disk.go_on.set()
    assert disk.groups == [["first"], ["item 1", "item 2", "item 3"]]


def test_when_a_group_fails_only_who_is_to_blame_is_told() -> None:
    disk = Disk()
    good, bad, other = together(disk, ["good", "bad", "other"])
    assert [good.result(), other.result()] == [disk.numbers["good"], disk.numbers["other"]]
    with pytest.raises(ValueError, match=r"\['bad'\]"):
        bad.result()
    assert later(disk) == [["bad"], ["good"], ["good", "bad", "other"], ["other"]]


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
    assert (gathering._gathered, gathering._writing, gathering._here) == (None, 0, 0)
