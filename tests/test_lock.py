"""Whoever has no uv installs the same: the requirements files say what uv.lock says."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"^([a-z0-9._-]+)==([^\s;]+)(?: ; [^\\]+)? \\$")
HASH = re.compile(r"^    --hash=(sha256:[0-9a-f]{64})(?: \\)?$")

Pins = dict[tuple[str, str], set[str]]


def exported(name: str) -> Pins:
    pins: Pins = {}
    for line in (ROOT / name).read_text().splitlines():
        if found := PIN.match(line):
            hashes = pins[found[1], found[2]] = set()
        else:
            found = HASH.match(line)
            assert found, f"This line is neither a pin nor a hash: {line}"
            hashes.add(found[1])
    return pins


@pytest.fixture(scope="module")
def locked() -> Pins:
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    return {
        (package["name"], package["version"]): {
            file["hash"] for file in [*package.get("wheels", ()), package.get("sdist")] if file
        }
        for package in packages
        if package["name"] != "crm"
    }


def test_to_work_on_it_takes_everything_that_is_locked(locked: Pins) -> None:
    assert exported("requirements-dev.lock") == locked, "`make lock` writes it anew"


def test_to_run_it_takes_a_part_of_that(locked: Pins) -> None:
    pins = exported("requirements.lock")
    assert pins == {pin: locked[pin] for pin in pins}, "`make lock` writes it anew"
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[\[=<>]", need)[0] for need in needed}
    assert names <= {name for name, _ in pins}
    assert "pytest" not in {name for name, _ in pins}


def test_no_lock_names_a_host_of_ours() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        assert "://" not in (ROOT / name).read_text()
    sources = set(re.findall(r"https?://([^/\"]+)", (ROOT / "uv.lock").read_text()))
    assert sources <= {"pypi.org", "files.pythonhosted.org"}
