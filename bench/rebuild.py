"""Rebuilding read models: by the length of the log, against controls, and what goes on meanwhile.

`CRM_BENCH_EVENTS` says up to how many events. Without an option all but `--lag` and `--workers` is
measured, on the same events.
"""

import argparse
from importlib import import_module

# What is measured is imported when it is chosen: worker processes load this file again.
MODULES = {
    "all": ("rebuild_cases", "by the length of the log, then against everything"),
    "growth": ("rebuild_growth", "only by the length of the log"),
    "lag": ("rebuild_lag", "live lag and writes during a rebuild"),
    "workers": ("rebuild_workers", "where the clock goes with two workers"),
}


def main() -> None:
    """Run what was asked for."""
    asked = argparse.ArgumentParser(description=__doc__)
    for name, (module, what) in MODULES.items():
        asked.add_argument(
            f"--{name}", dest="module", action="store_const", const=module, help=what
        )
    asked.set_defaults(module=MODULES["all"][0])
    import_module(asked.parse_args().module).main()


if __name__ == "__main__":
    main()
