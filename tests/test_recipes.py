"""The recipes of CONTRIBUTING.md, followed to the letter in a copy of the tree."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_architecture import PACKAGES, ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
RECIPES = dict(re.findall(r"^## (A new \w+)\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S))
STEP = re.compile(
    r"^In `(?P<file>[\w/.]+)`(?:, (?P<how>before|instead of) `(?P<anchor>[^`]+)`)?:\n\n"
    r"```python\n(?P<code>.*?)```$",
    re.M | re.S,
)

# What shows that the code of a recipe works, run in the copy.
SCRIPTS = {
    "A new event": """
from commands.catalogue import BY_EVENT
from domain.catalogue import EVENTS
from projections.catalogue import ALL
from tests.strategies import DESK, PROLOGUE
from tests.world import World
world = World()
follow = BY_EVENT["lead.followed.v1"](lead=DESK, follower="mia")
world.ask_all([(asked, "", None) for asked in (*PROLOGUE, follow, follow)])
history = world.history()
assert [recorded.type for recorded in history].count("lead.followed.v1") == 1
for projection in ALL:
    assert projection.handlers.keys() | projection.ignores == set(EVENTS)
    projection.fold(history)
""",
    "A new projection": """
import sys
from api.cli import main as cli
from commands.leads import WinLead
from infra.runtime import open_runtime
from infra.store.sequencing import Sequencing
from infra.settings import Settings
from projections.lead_sources import TOTALS
from tests.strategies import DESK, PROLOGUE
from tests.world import World
with open_runtime(Settings()) as runtime:
    world = World(runtime.store)
    won = WinLead(lead=DESK, value={"amount": 5, "currency": "EUR"})
    world.ask_all([(asked, "", None) for asked in (*PROLOGUE, won)])
    Sequencing(runtime.pool, "test").run_once()
sys.argv = ["crm", "projections", "rebuild", "lead_sources", "--promote"]
try:
    cli.main()
except SystemExit as left:
    assert not left.code
with open_runtime(Settings()) as runtime:
    assert runtime.tables["lead_sources"].version == 2
    with runtime.pool.connection() as conn:
        assert conn.execute(TOTALS, {"tenant": "acme"}).fetchall() == [("web", 1, 1)]
""",
    "A new channel": """
from email.message import EmailMessage
from types import SimpleNamespace
from api.mailbox import take_in
from tests.world import World
mail, world = EmailMessage(), World()
mail["From"], mail["Message-ID"] = "ann@example.org", "<1@example.org>"
mail.set_content("Hello")
runtime = SimpleNamespace(ports=world.ports, refused=None)
verdicts = take_in([mail, mail], world.who, runtime)
assert [verdict.status for verdict in verdicts] == ["accepted", "duplicate"]
""",
}
QUICK = ("-q", "-p", "no:schemathesis", "-p", "no:xdist", "-p", "no:cacheprovider")


def follow(recipe: str, tree: Path) -> set[str]:
    """Do what the recipe says; gives the files that it touches."""
    touched = set()
    for step in STEP.finditer(recipe):
        file, code = tree / step["file"], step["code"]
        touched.add(step["file"])
        if step["how"] is None:
            assert not file.exists(), f"{file} is there already."
            file.write_text(code)
            continue
        source = file.read_text()
        anchor = re.compile(rf"^{re.escape(step['anchor'])}", re.M)
        assert len(anchor.findall(source)) == 1, f"{step['file']}: {step['anchor']!r}"
        start, end = anchor.search(source).span()
        if step["how"] == "before":
            code, end = code + "\n\n" * code.startswith(("class ", "def ")), start
        file.write_text(source[:start] + code.removesuffix("\n" * (end > start)) + source[end:])
    return touched


@pytest.fixture
def tree(tmp_path):
    for name in (*PACKAGES, "tests"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def run(tree: Path, *arguments: str, **environment: str) -> None:
    """Run a tool of ours in the copy, as one would by hand."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=tree, text=True, capture_output=True, check=False,
        env=os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_short(name):
    prose = STEP.sub("", RECIPES[name]).strip()
    assert len(prose.splitlines()) <= 10
    assert len(list(STEP.finditer(RECIPES[name]))) == RECIPES[name].count("```") / 2


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_recipe_works_as_it_is_written(name, tree, database_url):
    recipe = RECIPES[name]
    touched = follow(recipe, tree)
    mentioned = {
        file for file in re.findall(r"`(tests/[\w/]+\.py)`", recipe) if "scenario" in recipe
    }
    assert len(touched | mentioned) <= 4
    run(tree, "-c", SCRIPTS[name], CRM_DATABASE_URL=database_url, CRM_DIRECTORY=str(tree / "crm"))
    run(tree, "-m", "ruff", "check", *touched)
    run(tree, "-m", "ruff", "format", "--check", *touched)
    for variable, tests in re.findall(r"`(CRM_\w+)=1 \.venv/bin/pytest ([\w/.]+)`", recipe):
        run(tree, "-m", "pytest", *QUICK, tests, **{variable: "1"})


def test_there_is_a_recipe_for_each_and_a_check_for_each_recipe():
    assert set(RECIPES) == set(SCRIPTS) == {"A new event", "A new projection", "A new channel"}
