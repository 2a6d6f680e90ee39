"""A fold does not depend on the process it runs in: hash seed, time zone, Python version."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.worlds import caught_up, grown

VERIFY = """
import sys
from api.cli.compare import verify
from projections.catalogue import ALL
print(f"Python {sys.version_info.major}.{sys.version_info.minor}")
for projection in ALL:
    verify(projection.name, workers=1, limit=5)
"""
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
OTHER = "3.11" if HERE == "3.13" else "3.13"
ROOT = Path(__file__).parents[2]
ANOTHER = Path(os.environ.get("CRM_TEST_OTHER_PYTHON", ROOT / f".venv-{OTHER}/bin/python"))
MAKE = (
    f"uv venv --python {OTHER} .venv-{OTHER}"
    f" && uv pip install --python .venv-{OTHER} -r requirements.lock"
)


def test_folded_afresh_in_another_process_every_row_is_the_same(runtime):
    verified(runtime, sys.executable, HERE, seed="4242", zone="Pacific/Auckland")


@pytest.mark.skipif(
    not ANOTHER.exists(),
    reason=f"There is no Python {OTHER} with our packages; it is made by: {MAKE}",
)
def test_folded_afresh_by_another_python_every_row_is_the_same(runtime):
    verified(runtime, str(ANOTHER), OTHER, seed="7", zone="America/St_Johns")


def verified(runtime, python: str, version: str, seed: str, zone: str) -> None:
    """Every read model that this process follows is verified by another one."""
    grown(runtime)
    caught_up(runtime)
    environment = os.environ | {
        "PYTHONHASHSEED": seed,
        "TZ": zone,
        "CRM_DATABASE_URL": str(runtime.settings.database_url),
        "CRM_DIRECTORY": str(runtime.settings.directory),
    }
    done = subprocess.run(
        [python, "-c", VERIFY],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"Python {version}\n")
    assert done.stdout.count("rows are the same") == len(runtime.tables)
