"""Service levels on the command line: a file becomes an agreement, and everything is told of it."""

import json
import re
import sys
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from api.agreement_file import agreement_of, duration, read_agreement
from api.cli import main as cli
from api.cli.common import FAILED, NOT_FOUND, USAGE
from api.demo.agreement import TEXT
from commands.cases import NoteAgentAnswer, OpenCase, ResolveCase
from commands.command import ByEmail, ByExternalId
from commands.execute import execute
from commands.ports import Request, Who
from consumers.timers import fire
from domain.rejected import Rejected
from infra.read_models.due import DueCases
from tests.api.conftest import TENANTS

FILE = """
id = "office"
applies_from = 2024-01-01T00:00:00Z
title = "Office"
services = ["help desk"]
parties = [{ name = "We", role = "provider" }]

[scope]
everything = true

[calendar]
zone = "UTC"
week = { every_day = ["00:00-24:00"] }

[[clocks]]
clock = "first_response"
targets = { normal = "1h" }
warnings = [{ percent = 50 }]

[[clocks]]
clock = "resolution"
targets = { normal = "1h 30m" }

[compensation]
credits = { resolution = { amount = { amount = 1250, currency = "EUR" } } }
"""


@pytest.fixture
def crm(runtime: Any, catch_up: Any, monkeypatch: Any, capfd: Any) -> Callable[..., Any]:
    """Run the command line for a new tenant; gives the exit code and what was printed."""
    tenant = next(TENANTS)
    monkeypatch.setenv("CRM_DATABASE_URL", str(runtime.settings.database_url))
    monkeypatch.setenv("CRM_DIRECTORY", str(runtime.settings.directory))
    monkeypatch.setenv("CRM_TENANT", tenant)

    def run(*arguments: str) -> tuple[int, str]:
        catch_up()
        monkeypatch.setattr(sys, "argv", ["crm", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        out, err = capfd.readouterr()
        code = int(left.value.code or 0)
        return code, out if code == 0 else err

    run.tenant = tenant
    return run


@pytest.fixture
def office(crm: Any, tmp_path: Path) -> Path:
    file = tmp_path / "office.toml"
    file.write_text(FILE)
    assert crm("agreements", "publish", str(file))[0] == 0
    return file


@pytest.fixture
def cases(crm: Any, office: Path, runtime: Any, catch_up: Any) -> None:
    """One case that was answered and resolved in time, one that nobody ever looked at."""
    who, now = Who(crm.tenant, "tests"), runtime.ports.now()
    for number in (1, 2):
        case = ByExternalId(system="desk", id=str(number))
        ann = ByEmail(email=f"ann{number}@example.org")
        asked = [(OpenCase(case=case, customer=ann, channel="mail"), 300)]
        if number == 1:
            asked += [
                (NoteAgentAnswer(case=case, agent="Kim"), 280),
                (ResolveCase(case=case), 260),
            ]
        for command, minutes in asked:
            at = now - timedelta(minutes=minutes)
            [verdict] = execute([Request(command, runtime.ports.new_id(), at)], who, runtime.ports)
            assert verdict.status == "accepted"
    due = DueCases(runtime.pool, runtime.tables["sla_clocks"].name)
    catch_up()
    while fire(due, runtime.ports).fired:
        catch_up()


def words(line: str) -> list[str]:
    return line.split()


def test_a_file_is_published_once_and_a_changed_one_is_the_next_version(
    crm: Any, office: Path
) -> None:
    assert crm("agreements", "publish", str(office)) == (0, "office: unchanged.\n")
    office.write_text(FILE.replace("1h 30m", "2h").replace("2024-01-01", "2024-02-01"))
    code, told = crm("agreements", "publish", str(office))
    assert (code, told) == (
        0,
        "office: version 2 applies to cases opened from 2024-02-01 00:00:00 UTC on.\n",
    )
    code, listed = crm("agreements", "list", "--json")
    assert [len(each["versions"]) for each in json.loads(listed)] == [2]
    code, shown = crm("agreements", "show", "office")
    assert ["resolution", "normal", "2h"] in [words(line)[:3] for line in shown.splitlines()]


def test_a_file_that_makes_no_sense_is_refused_in_a_sentence(crm: Any, office: Path) -> None:
    office.write_text(FILE.replace("every_day", "doomsday"))
    assert crm("agreements", "publish", str(office))[0] == FAILED
    office.write_text(FILE.replace("1h 30m", "soon"))
    code, told = crm("agreements", "publish", str(office))
    assert code == FAILED
    assert "targets.normal" in told
    office.write_text("title = ")
    with pytest.raises(Rejected) as no:
        read_agreement(office)
    assert no.value.code == "agreement.file"
    assert "is not TOML" in crm("agreements", "publish", str(office))[1]
    office.write_text(FILE.replace("2024-01-01", "2023-01-01"))
    assert "agreement.too_early" in crm("agreements", "publish", str(office))[1]


def test_a_retired_agreement_is_for_no_new_case(crm: Any, office: Path) -> None:
    asked = ("agreements", "retire", "office", "--from", "2030-01-01", "--reason", "not sold")
    assert crm(*asked) == (0, "office: not for cases opened from 2030-01-01 00:00:00 UTC on.\n")
    assert "agreement.retired" in crm("agreements", "review", "office", "--outcome", "late")[1]


@pytest.mark.usefixtures("cases")
def test_what_was_kept_is_counted_and_what_it_cost(crm: Any) -> None:
    _, told = crm("sla", "compliance")
    rows = {words(line)[0]: words(line)[1:] for line in told.splitlines()[1:]}
    assert rows["first_response"][:4] == ["2", "1", "1", "0"]
    assert rows["resolution"][-2:] == ["12.50", "EUR"]
    _, wall = crm("sla", "wall")
    assert [words(line)[0] for line in wall.splitlines()[1:]] == ["breached", "breached"]
    assert crm("sla", "compliance", "--by", "mood")[0] == USAGE


@pytest.mark.usefixtures("cases")
def test_a_dry_run_stands_beside_what_is(crm: Any, office: Path) -> None:
    office.write_text(FILE.replace("1h 30m", "30m"))
    _, told = crm("agreements", "dry-run", str(office))
    rows = [words(line) for line in told.splitlines()[1:]]
    assert ["resolution", "is", "1", "1", "0", "0", "0", "0"] in rows
    assert ["resolution", "would", "be", "0", "2", "0", "0", "0", "0"] in rows


@pytest.mark.usefixtures("cases")
def test_a_credit_is_taken_back_once_with_its_reason(crm: Any) -> None:
    asked = ("credits", "reverse", "desk:2", "resolution", "--reason", "goodwill")
    assert crm(*asked) == (0, "Taken back.\n")
    assert crm(*asked) == (0, "It was taken back before.\n")
    _, told = crm("credits", "list")
    assert told.splitlines()[2].endswith("goodwill")
    assert crm("credits", "reverse", "desk:1", "resolution", "--reason", "x")[0] == NOT_FOUND
    assert words(crm("sla", "compliance")[1].splitlines()[2])[-2:] == ["0.00", "EUR"]


@pytest.mark.usefixtures("cases")
def test_a_review_is_told_and_noted(crm: Any) -> None:
    code, told = crm("agreements", "review", "office", "--outcome", "answer sooner")
    assert code == 0
    assert told.startswith("# Office, version 1\n")
    assert "| resolution | normal | 1h 30m |" in told
    _, listed = crm("agreements", "list", "--json")
    assert json.loads(listed)[0]["review_outcome"] == "answer sooner"
    assert crm("agreements", "review", "home")[0] == NOT_FOUND


@pytest.mark.usefixtures("cases")
def test_who_is_next_and_where_a_caller_stands(crm: Any) -> None:
    _, queue = crm("sla", "queue")
    assert "late since" in queue.splitlines()[1]
    _, caller = crm("sla", "caller", "ann2@example.org", "--json")
    assert (json.loads(caller)["place"], len(json.loads(caller)["cases"])) == (1, 1)
    assert crm("sla", "caller", "ann2")[0] == USAGE


@pytest.mark.usefixtures("cases")
def test_a_case_is_shown_with_all_that_happened_to_its_clocks(crm: Any) -> None:
    _, told = crm("show", "case", "desk:2")
    assert any(words(line)[2:6] == ["first_response", "1", "warned:50%", "–"]
               for line in told.splitlines() if line)  # fmt: skip
    assert "facts" not in told


# ---- The file ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "read"),
    [
        ("1d 4h 30m 5s", timedelta(days=1, hours=4, minutes=30, seconds=5)),
        ("90m", timedelta(minutes=90)),
        ("0s", timedelta(0)),
        ("2w", timedelta(weeks=2)),
        ("4", "4"),
        ("4h and some", "4h and some"),
        ("", ""),
        (7, 7),
    ],
)
def test_a_duration_is_read_as_a_whole_or_not_at_all(told: object, read: object) -> None:
    assert duration(told) == read


def test_holidays_of_a_region_become_dates_and_own_ones_go_before_them() -> None:
    told = {
        "id": "x",
        "applies_from": "2024-06-01T00:00:00Z",
        "title": "X",
        "scope": {"everything": True},
        "calendar": {
            "week": {"workdays": ["09:00-17:00"], "friday": ["09:00-12:00"]},
            "holidays_of": "DE-BY",
            "holidays": {"2026-12-24": "ours"},
        },
        "clocks": [{"clock": "resolution", "targets": {"normal": "1h"}}],
    }
    calendar = agreement_of(told).promise.terms.calendar
    assert calendar.week["friday"] == ("09:00-12:00",)
    assert "saturday" not in calendar.week
    days = {day.isoformat() for day in calendar.holidays}
    assert "2026-12-24" in days
    told["calendar"]["holidays_of"] = "XX"
    with pytest.raises(Rejected) as no:
        agreement_of(told)
    assert no.value.code == "calendar.country"


def test_the_file_in_the_docs_and_that_of_the_demo_can_be_published() -> None:
    page = (Path(__file__).parents[2] / "docs" / "sla.md").read_text()
    shown = re.findall(r"^```toml\n(.*?)^```$", page, re.M | re.S)
    assert len(shown) == 1
    demo = TEXT.format(path="agreement.toml", now=datetime(2026, 1, 1, tzinfo=UTC))
    for text, id_ in ((shown[0], "gold"), (demo, "live")):
        assert agreement_of(tomllib.loads(text)).id == id_
