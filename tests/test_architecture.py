"""What keeps the code a pleasure to work on, held by measurement instead of by good intentions."""

import ast
import re
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from pathlib import Path
from statistics import median

import pytest
from starlette.testclient import TestClient

from api.http import create_app
from domain.catalogue import EVENTS
from infra.api_keys import ApiKeys
from tests.test_event_names import ENVELOPES_FILE, golden

ROOT = Path(__file__).parents[1]
PACKAGES = ("domain", "commands", "projections", "infra", "consumers", "api")
FILES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
CHECKED = [*FILES, *(f for d in ("tests", "bench") for f in (ROOT / d).rglob("*.py"))]


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def functions(files: list[Path]) -> Iterator[tuple[str, int]]:
    """Every function with its length in lines, its documentation included."""
    for file in files:
        for node in ast.walk(tree_of(file)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{name_of(file)}:{node.name}", node.end_lineno - node.lineno + 1


# ---- Sizes ---------------------------------------------------------------------------------------


def test_functions_are_short():
    lengths = dict(functions(FILES))
    assert len(lengths) > 300
    assert median(lengths.values()) <= 10
    assert {name: length for name, length in lengths.items() if length > 70} == {}


def test_files_fit_into_a_head():
    lengths = {name_of(file): len(file.read_text().splitlines()) for file in FILES}
    assert median(length for length in lengths.values() if length > 1) <= 120
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def test_no_line_is_longer_than_100_characters():
    long = [
        f"{name_of(file)}:{number}"
        for file in CHECKED
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if len(re.sub(r"  # (type: ignore|noqa).*", "", line)) > 100
    ]
    assert long == []


def test_every_module_says_in_its_first_line_what_it_is_for():
    silent = [
        name_of(file)
        for file in CHECKED
        if file.read_text().strip() and not ast.get_docstring(tree_of(file))
    ]
    assert silent == []


# ---- Layers --------------------------------------------------------------------------------------

FORBIDDEN = {
    "domain/customer.py": "import structlog",
    "commands/leads.py": "import psycopg",
    "projections/customer_view.py": "import commands.leads",
    "consumers/loop.py": "import kafka",
    "infra/keys/keyring.py": "import infra.privacy.erasure",
}
"""One offence against each contract."""


def contracts_of(tree: Path) -> str:
    linter = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run(
        [linter, "--no-cache"], cwd=tree, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(tree), "COLUMNS": "300"},
    )  # fmt: skip
    return run.stdout


def test_the_import_contracts_are_kept_and_would_notice_an_offence(tmp_path):
    kept = contracts_of(ROOT)
    contracts = kept.count(" KEPT")
    assert contracts >= 4
    assert "0 broken" in kept, kept
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for file, offence in FORBIDDEN.items():
        with (tmp_path / file).open("a") as source:
            source.write(f"{offence}\n")
    assert f"0 kept, {contracts} broken" in contracts_of(tmp_path)


IMPURE = {
    "asyncio", "builtins", "concurrent", "ctypes", "glob", "http", "importlib", "io", "logging",
    "multiprocessing", "os", "pathlib", "platform", "random", "secrets", "select", "shutil",
    "signal", "socket", "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading", "time",
    "urllib", "warnings",
}  # fmt: skip
IMPURE_CALLS = {"now", "utcnow", "today", "uuid1", "uuid4", "uuid7", "open", "input", "print",
                "exec", "eval", "getenv", "urandom", "sleep", "localtime"}  # fmt: skip


def impurities(tree: ast.Module, allowed: set[str]) -> list[str]:
    """Clocks, chance and the outside world; and imports of anything but what is allowed."""
    found = []
    for node in ast.walk(tree):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        elif isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            found += [f"calls {called}"] * (called in IMPURE_CALLS)
        for module in modules:
            top = module.partition(".")[0]
            known = top in sys.stdlib_module_names and top not in IMPURE
            found += [f"imports {module}"] * (not known and top not in allowed)
    return found


@pytest.mark.parametrize(
    ("package", "allowed"),
    [("domain", {"pydantic", "domain"}), ("projections", {"pydantic", "domain", "projections"})],
)
def test_rules_and_projections_know_no_clock_no_chance_and_no_outside(package, allowed):
    found = {name_of(f): impurities(tree_of(f), allowed) for f in (ROOT / package).glob("*.py")}
    assert {name: told for name, told in found.items() if told} == {}


@pytest.mark.parametrize(
    "impure",
    [
        "import random", "from time import time", "import os.path", "import psycopg",
        "datetime.now(UTC)", "datetime.datetime.utcnow()", "date.today()", "uuid.uuid4()",
        "uuid4()", "open('x')", "print(1)", "from infra import keys",
    ],
)  # fmt: skip
def test_an_impurity_would_be_noticed(impure):
    assert impurities(ast.parse(impure), {"pydantic", "domain"})


# ---- Importing -----------------------------------------------------------------------------------

IMPORT_ALL = """
import importlib, os, sys, threading
seen = []

def watch(event, arguments):
    if event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
        seen.append(f"writes {arguments[0]}")
    if event in ("socket.connect", "socket.bind", "subprocess.Popen", "os.fork", "os.system"):
        seen.append(event)

importlib.import_module("ctypes.util")
sys.addaudithook(watch)
for module in sys.argv[1:]:
    importlib.import_module(module)
seen += [f"starts {t.name}" for t in threading.enumerate() if t is not threading.main_thread()]
print("\\n".join(sorted(set(seen))))
"""


def test_importing_every_module_opens_nothing_and_starts_nothing(tmp_path):
    modules = [module_of(file) for file in FILES if file.name != "__main__.py"]
    run = subprocess.run(
        [sys.executable, "-B", "-c", IMPORT_ALL, *modules],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout.strip() == ""
    assert list(tmp_path.iterdir()) == []


# ---- What is stored and what is logged -----------------------------------------------------------


def test_no_place_in_the_code_is_ever_stored():
    """A class path in stored bytes would forbid us to move or rename the class."""
    paths = {module_of(file) for file in FILES} | {kind.__qualname__ for kind in EVENTS.values()}
    for name, envelope in golden(ENVELOPES_FILE).items():
        assert [path for path in paths if "." in path and path in envelope] == []
        assert EVENTS[name].__qualname__ not in envelope


PERSONAL = {field for event in EVENTS.values() for field in event.personal} | {
    "body", "comment", "data", "email", "first_name", "identifier", "last_name",
    "message", "name", "payload", "phone", "raw", "text", "title", "value",
}  # fmt: skip


def log_calls(file: Path) -> Iterator[ast.Call]:
    """Every call of a module's `log`."""
    for node in ast.walk(tree_of(file)):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="log"))):
                yield node


def test_a_log_line_is_a_name_and_fields_that_are_not_personal():
    calls = [(name_of(file), call) for file in FILES for call in log_calls(file)]
    assert len(calls) > 10
    for file, call in calls:
        place = f"{file}:{call.lineno}"
        assert len(call.args) == 1, place
        assert isinstance(call.args[0], ast.Constant), place
        event = call.args[0].value
        assert event.replace("_", "").replace(".", "").isalpha(), place
        assert event == event.lower(), place
        assert "." in event, place
        assert {keyword.arg for keyword in call.keywords} & PERSONAL == set(), place


# ---- The way of a request ------------------------------------------------------------------------

HOPS_MAX = 3


def way_of(stack: traceback.StackSummary) -> list[str]:
    """The files of ours that a call went through, one after another."""
    ours = [Path(f.filename) for f in stack if Path(f.filename) in FILES]
    return [name_of(file) for file, _ in groupby(ours)]


@pytest.mark.parametrize(
    ("path", "message", "headers"),
    [
        (
            "/v1/events",
            {
                "specversion": "1.0",
                "id": "1",
                "source": "shop",
                "type": "customer.registered.v1",
                "data": {"customer": {"email": "ann@example.org"}},
            },
            {"content-type": "application/cloudevents+json"},
        ),
        (
            "/v1/commands/customer.register",
            {"customer": {"email": "ann@example.org"}},
            {"idempotency-key": "1"},
        ),
    ],
)
def test_from_a_route_to_what_is_kept_it_is_three_hops(
    runtime, monkeypatch, path, message, headers
):
    ways = []
    append = type(runtime.store).append

    def watched(store, batch):
        ways.append(way_of(traceback.extract_stack()[:-1]))
        return append(store, batch)

    monkeypatch.setattr(type(runtime.store), "append", watched)
    key = ApiKeys(runtime.pool).create("acme", "publish")
    with TestClient(create_app(runtime)) as client:
        headers = {"authorization": f"Bearer {key}", **headers}
        assert client.post(path, json=message, headers=headers).status_code == 200
    (way,) = ways
    assert way == ["api/publish.py", "commands/ingest.py", "commands/execute.py"]
    assert len([*way, "infra/store/event_store.py"]) - 1 == HOPS_MAX
