"""Kill -9 and freezing of everything, under load, on a real broker: nothing lost, nothing twice."""

import json
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.faults.schedule import KINDS, TARGETS

ROOT = Path(__file__).parents[2]


class Played(NamedTuple):
    """What `make faults` told: a line for each round and one for all, and how it ended."""

    rounds: list[dict[str, Any]]
    summary: dict[str, Any]
    status: int


def faults(*arguments: str) -> Played:
    """Do what `make faults` does; what it says is shown when the test fails."""
    command = [sys.executable, "-m", "tests.faults", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr[-8000:])
    *rounds, summary = map(json.loads, done.stdout.splitlines())
    return Played(rounds, summary, done.returncode)


def test_faults_at_random_moments_lose_and_double_nothing(our_own_broker: None) -> None:
    played = faults("--rounds", "20", "--also", "outage", "rebalance", "wire", "--seconds", "2")
    assert (played.status, played.summary["violated_rounds"]) == (0, [])
    assert len(played.rounds) == 23
    hit = {(each["target"].partition("-")[0], each["kind"])
           for told in played.rounds for each in told["faults"]}  # fmt: skip
    assert hit == {*product(TARGETS, KINDS), ("follower", "leave"), ("wire", "cut")}
    assert played.summary["events"] > 200, "Hardly anything happened."


@pytest.mark.faults
@pytest.mark.parametrize("brokers", ["1", "3"])
def test_faults_at_many_random_moments_lose_and_double_nothing(
    our_own_broker: None, brokers: str
) -> None:
    assert faults("--rounds", "200", "--brokers", brokers).status == 0


@pytest.mark.faults
@pytest.mark.parametrize(
    ("name", "brokers", "seconds"),
    [("outage", "1", "60"), ("outage", "1", "150"), ("rebalance", "1", "60"), ("wire", "1", "60"),
     ("stop", "1", "60"), ("leader", "3", "60")],
)  # fmt: skip
def test_a_minute_of_one_fault_and_more_loses_and_doubles_nothing(
    our_own_broker: None, name: str, brokers: str, seconds: str
) -> None:
    """Producers give up after two minutes, if they are not told otherwise."""
    long = ("--rounds", "0", "--also", name, "--seconds", seconds, "--brokers", brokers)
    assert faults(*long).status == 0


class TestControl:
    """In a class, so that it may run beside the rounds, in another process."""

    def test_a_checkpoint_outside_the_transaction_is_noticed(
        self, database_url: str, bootstrap: str
    ) -> None:
        """Followers that note their progress after the rows, not with them, are found out."""
        given = ("--database", database_url, "--kafka", bootstrap)
        played = faults("--rounds", "20", "--control", "--only", "follower", *given)
        assert played.status == 1
        told = " ".join(played.rounds[-1]["violations"])
        found = ("not applied exactly once", "are parked", "are not what the store makes of them")
        assert any(each in told for each in found), told
