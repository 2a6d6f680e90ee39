"""Play schedules of faults and print one JSON line for each: `make faults ARGS="--rounds 200"`."""

import argparse
import json
import random
import sys
import tempfile
from pathlib import Path

from tests.faults.checks import Checks
from tests.faults.load import Load
from tests.faults.schedule import SPECIAL, TARGETS, Round, begin, play, schedule, special
from tests.faults.world import Places, running


def main() -> int:
    """Play, tell, and exit with 1 if anything was not as it must be."""
    asked = argparse.ArgumentParser(prog="make faults", description=__doc__)
    asked.add_argument("--rounds", type=int, default=20)
    asked.add_argument("--seed", type=int, default=random.randrange(2**32))
    asked.add_argument("--brokers", type=int, default=1, choices=(1, 3))
    asked.add_argument("--only", nargs="+", default=TARGETS, choices=TARGETS)
    asked.add_argument("--control", action="store_true", help="Break the promise: must be noticed.")
    asked.add_argument("--also", nargs="+", default=(), choices=SPECIAL, help="Then these, too.")
    asked.add_argument("--seconds", type=float, default=60.0, help="How long each of them lasts.")
    asked.add_argument("--database", help="Use this PostgreSQL, which is then no target.")
    asked.add_argument("--kafka", help="Use this broker, which is then no target.")
    given = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="crm-faults-") as name:
        Path(name).chmod(0o755)  # run by root, PostgreSQL has an account of its own
        rounds = run(Places(Path(name), given.database, given.kafka), given)
    print(json.dumps(summary(rounds, given.seed)), flush=True)
    return 1 if any(each.violations for each in rounds) else 0


def run(places: Places, given: argparse.Namespace) -> list[Round]:
    """Play all rounds in one world; the control ends when it is noticed."""
    rounds: list[Round] = []
    drawn = [
        *schedule(given.rounds, given.seed, given.brokers, tuple(given.only)),
        *(special(name, given.seconds) for name in given.also),
    ]
    with running(places, given.brokers, control=given.control) as (world, runtime):
        checks, load = Checks(runtime, world.names.events), Load(runtime, f"seed-{given.seed}")
        begin(world, load, checks)
        for number, faults in enumerate(drawn, 1):
            rounds.append(play(world, load, checks, number, faults))
            print(json.dumps(rounds[-1].told(given.seed)), flush=True)
            if rounds[-1].violations:
                sys.stderr.write(world.told())
                if given.control:
                    break
        load.close()
    return rounds


def summary(rounds: list[Round], seed: int) -> dict[str, object]:
    """Tell all rounds in one line."""
    events, repeated = (sum(getattr(r, name) for r in rounds) for name in ("events", "repeated"))
    return {
        "seed": seed,
        "rounds": len(rounds),
        "events": events,
        "repeated": repeated,
        "repeated_share": round(repeated / max(1, events), 4),
        "recovery_seconds_max": max(each.recovery_seconds for each in rounds),
        "violated_rounds": [each.number for each in rounds if each.violations],
    }


if __name__ == "__main__":
    sys.exit(main())
