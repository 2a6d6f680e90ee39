"""What the doctor sees of the system."""

from pathlib import Path

import pytest

from infra.doctor import processors


@pytest.mark.parametrize(
    ("enabled", "groups", "notes"),
    [
        ("1\n", "1:cpu:/\n0::/\n", 1),
        ("1\n", "0::/\n", 1),
        ("0\n", "0::/\n", 0),
        ("1\n", "4:cpu,cpuacct:/docker/1\n2:memory:/\n0::/docker/1\n", 0),
        ("1\n", "0::/system.slice/crm.service\n", 0),
        (None, "0::/\n", 0),
    ],
)
def test_sharing_processors_by_session_is_noted_where_it_is_in_force(
    tmp_path: Path, enabled: str | None, groups: str, notes: int
) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/cgroup").write_text(groups)
    if enabled is not None:
        (tmp_path / "sys/kernel").mkdir(parents=True)
        (tmp_path / "sys/kernel/sched_autogroup_enabled").write_text(enabled)
    found = list(processors(tmp_path))
    assert [each.state for each in found] == ["note"] * notes
