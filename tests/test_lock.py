"""Whoever has no uv installs the same: requirements.lock says what uv.lock says."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"^([a-z0-9._-]+)==([^\s;]+)(?: ; [^\\]+)? \\$")
HASH = re.compile(r"^    --hash=(sha256:[0-9a-f]{64})(?: \\)?$")

Pins = dict[tuple[str, str], set[str]]


@pytest.fixture(scope="module")
def exported() -> Pins:
    pins: Pins = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
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


def test_both_locks_pin_the_same_versions(exported: Pins, locked: Pins) -> None:
    assert set(exported) == set(locked), "`make lock` writes requirements.lock anew"


def test_both_locks_accept_the_same_files(exported: Pins, locked: Pins) -> None:
    assert exported == locked


def test_neither_lock_names_a_host_of_ours() -> None:
    assert "://" not in (ROOT / "requirements.lock").read_text()
    sources = set(re.findall(r"https?://([^/\"]+)", (ROOT / "uv.lock").read_text()))
    assert sources <= {"pypi.org", "files.pythonhosted.org"}
