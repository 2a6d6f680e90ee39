"""Which tests begin, and which of them run in one process: together they take less time."""

from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

HERE = Path(__file__).parent
LONGEST = (
    "faults/test_schedule.py",
    "kafka/",
    "faults/",
    "api/test_demo.py",
    "infra/test_embedded.py",
    "test_real_data.py",
)
"""What begins: workers end together, and none waits for another's last one."""
ON_A_BROKER = ("tests/kafka/", "tests/faults/test_schedule.py::TestControl::")


def begin_with_the_longest(items: list[pytest.Item]) -> None:
    """Put them first; what is left keeps its random order, and so do they among themselves."""

    def turn(item: pytest.Item) -> int:
        name = item.path.relative_to(HERE).as_posix()
        return next((n for n, each in enumerate(LONGEST) if name.startswith(each)), len(LONGEST))

    items.sort(key=turn)


class ByModule(LoadScopeScheduling):
    """A module or class to a worker; all that needs a broker to the same one, which starts it."""

    def _split_scope(self, nodeid: str) -> str:
        return "broker" if nodeid.startswith(ON_A_BROKER) else super()._split_scope(nodeid)
