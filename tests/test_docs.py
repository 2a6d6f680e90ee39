"""The documentation says what is there: paths, links, commands, targets, settings."""

import re
from pathlib import Path
from typing import Any

import click
import pytest
import typer

from api.cli.main import app
from infra.settings import Settings
from tests.test_architecture import PACKAGES, ROOT

PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(page for d in ("docs", "tests", "bench") for page in (ROOT / d).rglob("*.md")),
    ]
)
README_WORDS_MAX = 900
FOLDERS = (*PACKAGES, "tests", "bench", "docs", ".ci")
PATH = re.compile(rf"(?<![\w./-])((?:{'|'.join(map(re.escape, FOLDERS))})/[\w./-]*\w/?)")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def text_of(page: Path) -> str:
    return page.read_text()


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)


def code_in(text: str) -> str:
    """What is to be typed: fenced blocks and inline code."""
    fenced = re.findall(r"^```(?:sh|bash|console|text)?\n(.*?)^```$", text, re.M | re.S)
    return "\n".join([*fenced, *re.findall(r"`([^`\n]+)`", without_code(text))])


def anchors_of(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", without_code(text), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands_of(group: Any, context: click.Context, prefix: str = "") -> set[str]:
    """All commands of the command line, groups with theirs."""
    names = set()
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        names.add(f"{prefix}{name}")
        if hasattr(command, "list_commands"):
            names |= commands_of(command, context, f"{prefix}{name} ")
    return names


CLI = typer.main.get_command(app)
COMMANDS = commands_of(CLI, click.Context(CLI))

# ---- Paths and links -----------------------------------------------------------------------------


@every_page
def test_every_path_that_a_page_names_exists(page):
    examples = set(re.findall(r"^In `([\w/.]+)`:$", text_of(page), re.M))  # made by a recipe
    plain = re.sub(r"https?://\S+|\]\([^)]*\)", "", text_of(page))
    named = set(PATH.findall(plain)) - examples
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


@every_page
def test_every_link_of_a_page_leads_somewhere(page):
    broken = []
    for target in LINK.findall(without_code(text_of(page))):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors_of(text_of(file))):
            broken.append(target)
    assert broken == []


def test_every_page_can_be_reached_from_the_readme():
    reached, to_read = set(), [ROOT / "README.md"]
    while to_read:
        page = to_read.pop()
        reached.add(page)
        for target in LINK.findall(text_of(page)):
            file = (page.parent / target.partition("#")[0]).resolve()
            found = sorted(file.glob("*.md")) if file.is_dir() else [file]
            to_read += [each for each in found if each in PAGES and each not in reached]
    assert [str(page.relative_to(ROOT)) for page in PAGES if page not in reached] == []


def test_the_reading_path_goes_from_the_edge_inwards_and_back():
    section = text_of(ROOT / "README.md").partition("## Follow one event")[2].partition("\n## ")[0]
    steps = re.findall(r"^\d+\. `([\w/.]+)`", section, re.M)
    folders = [step.partition("/")[0] for step in steps]
    assert len(steps) >= 8
    assert folders[0] == "api"
    order = [folders.index(f) for f in ("api", "commands", "domain", "infra", "consumers")]
    assert order == sorted(order)
    assert folders[-1] in ("projections", "api")


def test_the_readme_is_short():
    before_the_details = text_of(ROOT / "README.md").partition("<details")[0]
    assert len(before_the_details.split()) <= README_WORDS_MAX


# ---- Commands, targets, settings -----------------------------------------------------------------


@every_page
def test_every_command_that_a_page_names_exists(page):
    tops = {command.partition(" ")[0] for command in COMMANDS}
    groups = {command.partition(" ")[0] for command in COMMANDS if " " in command}
    wrong = []
    for first, second in re.findall(
        r"(?<![\w/-])crm ([a-z]+)(?: ([a-z-]+))?", code_in(text_of(page))
    ):
        if first not in tops or (
            first in groups and second and f"{first} {second}" not in COMMANDS
        ):
            wrong.append(f"crm {first} {second}")
    assert wrong == []


@every_page
def test_every_make_target_that_a_page_names_exists(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"(?<![\w-])make ([a-z][a-z-]*)", code_in(text_of(page))))
    assert named - targets == set()


def test_every_command_is_documented():
    told = text_of(ROOT / "docs" / "cli.md")
    assert [name for name in sorted(COMMANDS) if f"crm {name}" not in told] == []


SETTINGS = text_of(ROOT / "docs" / "settings.md")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented_with_its_default(name):
    row = re.search(rf"^\| `CRM_{name.upper()}` \| (.+?) \| (.+) \|$", SETTINGS, re.M)
    assert row, f"docs/settings.md has no row for CRM_{name.upper()}."
    default = Settings.model_fields[name].default
    if default is not None:
        assert row[1] == f"`{str(default).lower() if isinstance(default, bool) else default}`"
    assert len(row[2]) > 10


def test_every_variable_that_is_read_anywhere_is_documented():
    sources = [
        *(file for name in (*PACKAGES, "tests", "bench") for file in (ROOT / name).rglob("*.py")),
        ROOT / "Makefile",
    ]
    read = {
        variable
        for file in sources
        for variable in re.findall(r"\"(CRM_[A-Z_]+)\"", file.read_text())
    }
    documented = set(re.findall(r"`(CRM_[A-Z_]+)`", SETTINGS))
    settings = {f"CRM_{name.upper()}" for name in Settings.model_fields}
    assert read - documented == set()
    assert documented - read - settings == set()
