"""Keeping customers from the command line, from the policy to the report."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from api.cli.common import Fault
from api.cli.main import app
from domain.rejected import Rejected
from domain.retention_policy import RetentionPolicy
from infra.runtime import Runtime
from tests.consumers.test_retention import POLICY, WHO, buy, shop
from tests.test_architecture import ROOT

AT = "2024-09-27"


@pytest.fixture
def crm(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command line, on the database of the test."""
    monkeypatch.setenv("CRM_DATABASE_URL", str(runtime.settings.database_url))
    monkeypatch.setenv("CRM_DIRECTORY", str(runtime.settings.directory))
    monkeypatch.setenv("CRM_TENANT", WHO.tenant)
    return lambda *arguments: CliRunner().invoke(app, ["retention", *arguments])


def test_from_the_policy_to_the_report(
    crm: Callable[..., Result], runtime: Runtime, catch_up: Callable[[], int], tmp_path: Path
) -> None:
    buy(runtime, shop())
    catch_up()
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(POLICY))
    assert crm("policy", str(file)).output == "1 accepted\n"
    assert crm("fit", "--from", "2024-01-01", "--at", AT).output == "3 accepted\n"
    found = json.loads(crm("alerts", "--at", AT, "--json").output)
    assert found[0]["at risk"] == max(each["at risk"] for each in found)
    assert crm("alerts", "--at", AT, "--raise").output == f"{len(found)} accepted\n"
    catch_up()
    queue = json.loads(crm("queue", "--json", "--limit", "1000").output)
    assert [row["customer"] for row in queue] == [each["customer"] for each in found]
    assert sum(reason["points"] for reason in queue[0]["reasons"]) == queue[0]["score"]
    assert "silence +" in crm("queue").output
    assert crm("settle").output == f"{len(found)} accepted\n"
    catch_up()
    assert crm("queue").output.strip() == "No alert is open."
    reported = json.loads(crm("report", "--json").output)
    assert sum(row["lost"] for row in reported["defections"]) == len(found)
    out = tmp_path / "charts"
    printed = crm("report", "--charts", str(out)).output
    assert "What plays saved" in printed
    drawn = sorted(file.name for file in out.iterdir())
    assert drawn == ["cohorts.svg", "value_lost_EUR.svg"]
    assert all(ElementTree.parse(file).getroot() is not None for file in out.iterdir())
    fits = json.loads(crm("models", "--json").output)
    assert [fit["model"] for fit in fits] == ["mbg_nbd", "gamma_gamma.EUR", "silence"]
    assert "mbg_nbd 1" in crm("models").output
    told = json.loads(crm("show", "till:c003", "--at", AT, "--json").output)
    assert told["values"]["p_alive"] <= 1
    assert "purchase silence days" in crm("show", "till:c003", "--at", AT).output
    moves = json.loads(crm("regroup", "--at", AT, "--json").output)
    assert json.loads(crm("regroup", "--at", AT, "--apply", "--json").output) == moves


def test_what_cannot_be_done_is_said(
    crm: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_TENANT", "nobody")
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(POLICY | {"model": "bg_nbd"}))
    wrong = crm("policy", str(file)).exception
    assert isinstance(wrong, Fault)
    assert "model" in wrong.sentence
    assert isinstance(crm("policy", str(tmp_path / "none.json")).exception, Fault)
    early = crm("fit", "--from", "2024-01-01", "--at", AT).exception
    assert isinstance(early, Rejected)
    assert early.code == "retention_policy.unknown"


def test_the_policy_in_the_documentation_is_one() -> None:
    page = (ROOT / "docs" / "retention.md").read_text()
    (written,) = re.findall(r"^```json\n(.*?)^```$", page, re.M | re.S)
    agreed = RetentionPolicy.model_validate_json(written)
    assert agreed.contract is not None
    named = set(RetentionPolicy.model_fields) - {"currency", "yearly_discount_percent", "due_days"}
    assert [name for name in sorted(named) if f"`{name}`" not in page] == []
