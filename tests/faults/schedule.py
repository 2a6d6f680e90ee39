"""Faults at random moments, from a seed: which process, what happens to it, when, how long."""

import time
from collections.abc import Iterator
from itertools import product
from random import Random
from typing import Any, Literal, NamedTuple

from tests.faults.checks import Checks
from tests.faults.load import Load
from tests.faults.world import World, overload

Kind = Literal["kill", "freeze", "leave", "cut"]
TARGETS = ("broker", "relay", "follower", "sequencer", "postgres")
SPECIAL = ("outage", "leader", "rebalance", "wire", "stop")
KINDS: tuple[Kind, ...] = ("kill", "freeze")
RECOVERY_SECONDS = 10.0
GIVE_UP_SECONDS = 45.0


class Fault(NamedTuple):
    """What happens to whom: `at` seconds after the round began, for so long."""

    target: str
    kind: Kind
    at: float
    lasts: float


def schedule(
    rounds: int, seed: int, nodes: int = 1, only: tuple[str, ...] = TARGETS
) -> Iterator[list[Fault]]:
    """Give the faults of each round: every combination comes before any comes again."""
    chance = Random(seed)
    deck: list[tuple[str, Kind]] = []
    for _ in range(rounds):
        deck = deck or chance.sample(every := list(product(only, KINDS)), len(every))
        drawn = dict([deck.pop()])
        if chance.random() < 0.25:
            drawn[chance.choice(only)] = chance.choice(KINDS)
        yield [fault(chance, *each, nodes) for each in drawn.items()]


def fault(chance: Random, target: str, kind: Kind, nodes: int) -> Fault:
    """Choose moment and length; a few freezes outlast leases and sessions."""
    lasts = chance.uniform(0.0, 0.5)
    if kind == "freeze" and target not in ("broker", "postgres") and chance.random() < 0.05:
        lasts = chance.uniform(4.0, 8.0)
    named = {"broker": f"broker-{chance.randint(1, nodes)}",
             "follower": f"follower-{chance.randint(1, 2)}"}.get(target, target)  # fmt: skip
    return Fault(named, kind, chance.uniform(0.1, 0.4), lasts)


def special(name: str, seconds: float) -> list[Fault]:
    """Give the faults of a round with a purpose."""
    match name:
        case "outage":
            return [Fault("broker-1", "kill", 0.2, seconds)]
        case "leader":
            return [Fault("leader", "kill", 0.5, seconds)]
        case "rebalance":
            times = range(max(1, int(seconds / 2)))
            return [Fault("follower-2", "leave", 0.2 + 2.0 * n, 1.0) for n in times]
        case "stop":
            frozen = Fault("broker-1", "freeze", 0.2, seconds)
            return [frozen, Fault("relay", "leave", 0.5, 0.1), Fault("follower-1", "leave", 0.6, 1)]
        case _:
            times = range(max(1, int(seconds / 0.7)))
            return [Fault("wire", "cut", 0.2 + 0.7 * n, 0.3) for n in times]


class Round(NamedTuple):
    """What a round was and how it went."""

    number: int
    faults: list[Fault]
    events: int
    repeated: int
    recovery_seconds: float
    behind: dict[str, float]
    """Until when each of those was behind that were: where the recovery took its time."""
    overload: float
    violations: list[str]

    def told(self, seed: int) -> dict[str, Any]:
        """Give it as one JSON line shows it."""
        faults = [fault._asdict() | {"at": round(fault.at, 2), "lasts": round(fault.lasts, 2)}
                  for fault in self.faults]  # fmt: skip
        return {"seed": seed, **self._asdict(), "faults": faults}


def play(world: World, load: Load, checks: Checks, number: int, faults: list[Fault]) -> Round:
    """Let the faults of a round happen, wait until all is level again, and check."""
    head, repeated = checks.head, checks.seen.repeated
    let_happen(world, faults)
    ended = time.monotonic()
    load.hold()
    try:
        behind = until_level(world, checks)
        took = time.monotonic() - ended
        violations = ["It did not recover."] if checks.behind() else checks.violations()
    finally:
        load.go_on()
    if took > RECOVERY_SECONDS * overload():
        violations.append(f"Recovery took {took:.1f} s.")
    violations += [f"{name} has ended." for name in world.ended()]
    violations += [f"A message was {status}." for status in load.unexpected]
    return Round(
        number, faults, checks.head - head, checks.seen.repeated - repeated, round(took, 2),
        behind, round(overload(), 1), violations,
    )  # fmt: skip


def let_happen(world: World, faults: list[Fault]) -> None:
    """Begin and end the faults at their moments."""
    began = time.monotonic()
    moments = sorted(
        [(each.at, "begin", each) for each in faults]
        + [(each.at + each.lasts, "end", each) for each in faults]
    )
    hit: dict[Fault, str] = {}
    for at, what, each in moments:
        time.sleep(max(0.0, began + at - time.monotonic()))
        if what == "begin":
            hit[each] = named(world, each.target)
            getattr(world, each.kind)(hit[each])
        elif each.kind == "freeze":
            world.thaw(hit[each])
        else:
            world.revive(hit[each])


def named(world: World, target: str) -> str:
    """Find out who it is that acts or leads now."""
    if target in ("relay", "sequencer"):
        return world.acting(target)
    return world.leader() if target == "leader" else target


def until_level(world: World, checks: Checks, seconds: float = GIVE_UP_SECONDS) -> dict[str, float]:
    """Wait until everything is level; tells how long each was behind."""
    began, behind = time.monotonic(), {}
    while (late := checks.behind()) and (now := time.monotonic() - began) < seconds:
        behind |= dict.fromkeys(late, round(now, 2))
        world.supervise()
        time.sleep(0.02)
    return behind


def begin(world: World, load: Load, checks: Checks) -> None:
    """Let some events go all the way: everybody is at work then."""
    time.sleep(0.2)
    load.hold()
    until_level(world, checks, 90)
    assert not checks.behind(), "It did not start."
    load.go_on()
