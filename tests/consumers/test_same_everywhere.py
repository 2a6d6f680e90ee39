"""A fold does not depend on the process it runs in: hash seed, time zone, Python version."""

import os
import subprocess
import sys

import pytest

from tests.worlds import caught_up, grown

VERIFY = """
import sys
from api.cli_compare import verify
from projections.catalogue import ALL
for projection in ALL:
    verify(projection.name, workers=1, limit=5)
"""
OTHER = os.environ.get("CRM_TEST_OTHER_PYTHON", sys.executable)


@pytest.mark.parametrize(("seed", "zone"), [("4242", "Pacific/Auckland")])
def test_folded_afresh_in_another_process_every_row_is_the_same(runtime, seed, zone):
    grown(runtime)
    caught_up(runtime)
    environment = os.environ | {
        "PYTHONHASHSEED": seed,
        "TZ": zone,
        "CRM_DATABASE_URL": str(runtime.settings.database_url),
        "CRM_DIRECTORY": str(runtime.settings.directory),
    }
    done = subprocess.run(
        [OTHER, "-c", VERIFY], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("rows are the same") == len(runtime.tables)
