"""What the doctor sees of the system."""

from pathlib import Path

import pytest

from infra.doctor import processors


@pytest.mark.parametrize(
    ("enabled", "groups", "shares", "notes"),
    [
        ("1\n", "1:cpu:/\n0::/\n", None, 1),
        ("1\n", "0::/\n", None, 1),
        ("0\n", "0::/\n", None, 0),
        (None, "0::/\n", None, 0),
        ("1\n", "4:cpu,cpuacct:/docker/1\n2:memory:/\n0::/docker/1\n", None, 0),
        ("1\n", "0::/system.slice/crm.service\n", None, 1),
        ("1\n", "0::/system.slice/crm.service\n", "system.slice", 0),
        ("1\n", "0::/system.slice/crm.service\n", "system.slice/crm.service", 0),
        ("1\n", "0::/system.slice/crm.service\n", "user.slice", 1),
        ("1\n", "0::/\n", ".", 0),
    ],
)
def test_sharing_processors_by_session_is_noted_where_it_is_in_force(
    tmp_path: Path, enabled: str | None, groups: str, shares: str | None, notes: int
) -> None:
    """A group counts where it, or one around it, has a share; a container sees its own as `/`."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups)
    if enabled is not None:
        (tmp_path / "proc/sys/kernel").mkdir(parents=True)
        (tmp_path / "proc/sys/kernel/sched_autogroup_enabled").write_text(enabled)
    if shares is not None:
        (tmp_path / "sys/fs/cgroup" / shares).mkdir(parents=True)
        (tmp_path / "sys/fs/cgroup" / shares / "cpu.weight").write_text("100\n")
    assert [each.state for each in processors(tmp_path)] == ["note"] * notes
