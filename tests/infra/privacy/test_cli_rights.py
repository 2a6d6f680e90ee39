"""Schedules and what persons may ask for, on the command line."""

import json
from types import SimpleNamespace

import pytest

from api.cli.common import FAILED, NOT_FOUND, USAGE
from tests.infra.audit.test_cli_audit import ann, crm

__all__ = ["ann", "crm"]

FILE = """
[[schedule]]
name = "people"
groups = ["identity", "contact"]
trigger = "last_event"
period = "1 day"
"""


def test_data_expires_on_the_command_line(crm, ann, monkeypatch, tmp_path, runtime):
    file = tmp_path / "schedules.toml"
    for wrong, said in (
        ("[[x]]", "no [[schedule]]"),
        ("[", "not TOML"),
        (FILE.replace("1 day", "soon"), "schedule 0 period"),
    ):
        file.write_text(wrong)
        code, _, err = crm("privacy", "schedules", "load", file)
        assert (code, said in err) == (USAGE, True)
    file.write_text(FILE)
    code, out, _ = crm("privacy", "schedules", "load", file, "--json")
    asked = json.loads(out)
    approve = ("privacy", "approve", asked["id"], "--digest", asked["digest"])
    assert crm(*approve)[0] == FAILED
    with monkeypatch.context() as other:
        other.setattr("pwd.getpwuid", lambda _: SimpleNamespace(pw_name="carol"))
        assert crm(*approve)[0] == 0
    assert json.loads(crm("privacy", "schedules", "list", "--json")[1])["version"] == 1
    assert "people" in crm("privacy", "schedules", "list")[1]
    [due] = json.loads(crm("privacy", "schedules", "due", "--json")[1])
    assert (due["schedule"], due["kept"]) == ("people", None)
    code, out, _ = crm("privacy", "schedules", "due")
    assert (code, due["customer"] in out, "Ann" in out) == (0, True, False)
    code, out, _ = crm("privacy", "schedules", "run")
    assert (code, "1 customers, identity, contact" in out) == (0, True)
    assert "Nothing was due" in crm("privacy", "schedules", "run")[1]
    assert crm("show", "customer", ann)[0] == 3


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_without_schedules_everything_is_kept(crm, option):
    assert crm("privacy", "schedules", "list", *option)[0] == 0
    assert crm("privacy", "schedules", "due", *option)[0] == 0


def test_rights_on_the_command_line(crm, ann, catch_up, monkeypatch):
    code, out, _ = crm("privacy", "receive", ann, "--kind", "restriction", "--law", "gdpr")
    assert code == 0
    id_ = out.strip()
    catch_up()
    [asked] = json.loads(crm("privacy", "due", "--json")[1])
    assert (asked["id"], asked["kind"]) == (id_, "restriction")
    assert id_ in crm("privacy", "due")[1]
    assert crm("privacy", "extend", id_, "--reason", "many")[0] == 0
    assert crm("privacy", "restrict", ann, "--ground", "accuracy")[0] == 0
    catch_up()
    assert json.loads(crm("privacy", "due", "--json")[1]) == []
    assert json.loads(crm("privacy", "due", "--all", "--json")[1])[0]["status"] == "resolved"
    assert crm("show", "customer", ann)[0] == NOT_FOUND
    with monkeypatch.context() as held:
        held.setenv("CRM_SEES_HELD", "true")
        assert "Ann" in crm("show", "customer", ann)[1]
    assert "accuracy" in crm("privacy", "limits")[1]
    assert crm("privacy", "lift", ann, "--ground", "accuracy")[0] == 0
    assert crm("show", "customer", ann)[0] == 0
    assert crm("privacy", "object", ann)[0] == 0
    assert json.loads(crm("privacy", "limits", "--json")[1])[0]["objections"] == ["profiling"]
    assert crm("privacy", "withdraw-objection", ann)[0] == 0


def test_what_is_mistyped_is_told(crm, ann):
    assert crm("privacy", "receive", ann, "--kind", "everything")[0] == USAGE
    assert crm("privacy", "receive", ann, "--kind", "access", "--law", "x")[0] == USAGE
    assert crm("privacy", "restrict", ann, "--ground", "legal_hold")[0] == USAGE
    assert crm("privacy", "extend", "x", "--reason", "y")[0] == USAGE
    missing = "00000000-0000-0000-0000-00000000dead"
    assert crm("privacy", "extend", missing, "--reason", "y")[0] == FAILED
    assert crm("privacy", "restrict", missing, "--ground", "accuracy")[0] == FAILED
