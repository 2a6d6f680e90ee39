"""The acceptance run on real data: `make real-data` does all of it, this the smallest set."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("CRM_REAL_DATA", ROOT.parent / "shared" / "data"))

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(),
    reason=f"THE REAL DATA IS NOT HERE: no {DATA}; CRM_REAL_DATA says where it is.",
)


def run(server_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "bench/real_data.py", *arguments],
        cwd=ROOT,
        env=os.environ | {"CRM_BENCH_DATABASE_URL": server_url},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "only",
    [["cdnow-sample"], pytest.param(["maven", "helpdesk"], marks=pytest.mark.slow)],
    ids=" ".join,
)
def test_every_total_is_reached_and_stays(server_url, only):
    done = run(server_url, "--data", str(DATA), "--only", *only)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert " NO " not in done.stdout


def test_a_total_that_is_not_reached_fails_the_run(server_url, tmp_path):
    """One purchase is missing: the control that must fail."""
    (tmp_path / "cdnow").mkdir()
    lines = (DATA / "cdnow/CDNOW_sample.txt").read_bytes().splitlines(keepends=True)
    (tmp_path / "cdnow/CDNOW_sample.txt").write_bytes(b"".join(lines[1:]))
    done = run(server_url, "--data", str(tmp_path), "--only", "cdnow-sample")
    assert done.returncode == 1, done.stderr
    wrong = [line.split() for line in done.stdout.splitlines() if " NO " in line]
    assert wrong == [["cdnow-sample", "purchases", "6,919", "6,918", "NO", "customer_view"]]
