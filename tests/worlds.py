"""A world on PostgreSQL in which some hundred random things have happened, merges among them."""

from datetime import timedelta
from random import Random
from uuid import UUID

from commands.command import Command
from commands.customers import (
    MergeCustomer,
    RecordPurchase,
    RegisterCustomer,
    UnmergeCustomer,
)
from consumers.follow import advance
from domain.values import Money
from infra.runtime import Runtime
from infra.store.sequencing import Sequencing
from tests.strategies import PROLOGUE, command
from tests.world import World


def grown(runtime: Runtime, seed: int = 5, length: int = 150) -> World:
    """Ask random commands of a real store: some late, some twice; merges and unmerges for sure."""
    chance, world = Random(seed), World(runtime.store)
    world.now += timedelta(days=30)
    grow(world, chance, PROLOGUE)
    grow(world, chance, [command(chance) for _ in range(length)])
    for commands in merging():
        grow(world, chance, commands)
    return world


TWINS = [f"{n}0000000-0000-0000-0000-000000000000" for n in "abcd"]


def merging() -> list[list[Command]]:
    """Two customers are merged for good, two others by mistake."""
    a, b, c, d = TWINS
    return [
        [RegisterCustomer(customer=twin) for twin in TWINS],
        [RecordPurchase(customer=a, amount=Money(amount=5, currency="EUR"))],
        [MergeCustomer(customer=a, into=b, reason="same")],
        [MergeCustomer(customer=c, into=d, reason="same")],
        [RecordPurchase(customer=a, amount=Money(amount=7, currency="EUR"))],
        [UnmergeCustomer(customer=c, reason="not the same")],
    ]


def grow(world: World, chance: Random, commands) -> None:
    """Ask commands, some as of earlier; and all of them a second time, which changes nothing."""
    asked = [
        (each, str(UUID(int=chance.getrandbits(128))), late(world, chance)) for each in commands
    ]
    world.ask_all(asked)
    world.ask_all(asked)


def late(world: World, chance: Random):
    minutes = chance.choice([None, None, 1, 60, 5000])
    return world.now - timedelta(minutes=minutes) if minutes else None


def caught_up(runtime: Runtime) -> int:
    """Number what is pending and bring every version forward; gives the head of the log."""
    while Sequencing(runtime.pool, holder="test", seconds=0).run_once():
        pass
    for name in runtime.tables:
        for table in runtime.tables.followed(name):
            while advance(runtime.events, table):
                pass
    return runtime.events.head()
