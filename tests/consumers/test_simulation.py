"""Hundreds of simulated lives, each from one seed; and three bugs that they must find.

A seed that fails is lived again with the command that the failure names; `-m slow` tries 10,000.
"""

import os
from contextlib import contextmanager

import pytest

from consumers import follow_kafka, rebuild
from infra.kafka.log import Chain
from infra.read_models import versions as read_models
from infra.read_models.tables import WHOLE_LOG, Moved
from tests.consumers.simulated import Change, Table, Wrong
from tests.consumers.simulation import Simulation

SEEDS = 300
REPLAY = "CRM_TEST_SEED={} .venv/bin/pytest -n0 tests/consumers/test_simulation.py -k one_seed"


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Small pages and frequent saving, so that much can happen between them."""
    monkeypatch.setattr(rebuild, "PAGE", 7)
    monkeypatch.setattr(rebuild.Work, "_is_time_to_save", lambda work: work.at % 2 == 0)


def live(seeds, table=Table) -> None:
    for seed in seeds:
        try:
            Simulation(seed, table).run()
        except Wrong as wrong:
            raise Wrong(f"{wrong}; replay: {REPLAY.format(seed)}") from wrong


def test_whatever_happens_every_version_is_what_happened():
    live(range(SEEDS))


@pytest.mark.slow
def test_whatever_happens_in_ten_thousand_lives():
    live(range(10_000))


def test_one_seed_is_lived_again():
    live([int(os.environ.get("CRM_TEST_SEED", "0"))])


def test_a_life_is_the_same_each_time():
    def told(seed):
        simulation = Simulation(seed)
        simulation.run()
        return simulation.system.chance.random()

    assert [told(seed) for seed in range(5)] == [told(seed) for seed in range(5)]


# ---- Planted bugs: each is found ----------------------------------------------------------------


class Apart(Table):
    """Rows and checkpoint in two transactions."""

    @contextmanager
    def transaction(self, *steps):
        with self.system.transaction(self.version) as rows:
            for after, _, partition in steps:
                at = rows.checkpoints.get(partition, rows.checkpoints[WHOLE_LOG])
                if at != after or rows.paused or rows.token != self.token:
                    raise Moved
            yield Change(rows)
        with self.system.transaction(self.version) as rows:
            rows.checkpoints |= {partition: upto for _, upto, partition in steps}


def without_dedupe(links, after):
    taken = list(links)
    return Chain(taken, max((link.position for link in taken), default=after), 0, 0)


def test_applying_and_checkpointing_apart_is_found():
    with pytest.raises(Wrong, match=r"is not what happened.*CRM_TEST_SEED"):
        live(range(SEEDS), Apart)


def test_taking_repetitions_is_found(monkeypatch):
    monkeypatch.setattr(follow_kafka, "continue_chain", without_dedupe)
    with pytest.raises(Wrong, match=r"is not what happened|readers went back"):
        live(range(SEEDS))


def test_promoting_before_it_is_level_is_found(monkeypatch):
    monkeypatch.setattr(read_models, "behind", lambda *_, **__: None)
    with pytest.raises(Wrong, match="readers went back"):
        live(range(SEEDS))
