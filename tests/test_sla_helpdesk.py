"""The tickets of a real help desk under an agreement: every figure, reckoned again by hand.

.venv/bin/pytest -m slow tests/test_sla_helpdesk.py
"""

import os
import subprocess
import sys

import pytest

from tests.test_real_data import DATA, ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"THE REAL DATA IS NOT HERE: no {DATA}."),
]


def test_every_figure_of_the_compliance_is_what_the_raw_file_says(server_url):
    done = subprocess.run(
        [sys.executable, "bench/sla_helpdesk.py"],
        cwd=ROOT,
        env=os.environ | {"CRM_BENCH_DATABASE_URL": server_url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    figures = {words[0]: words[1] for line in done.stdout.splitlines() if (words := line.split())}
    assert figures["promises"] == "4580.0"
    counted = ("met", "breached", "forgotten", "open", "cancelled")
    assert sum(float(figures[name]) for name in counted) == 4580
