"""Retention schedules over HTTP and on the command line."""

import json
from collections.abc import Callable

import pytest

from api.cli_common import FAILED, USAGE
from tests.api.conftest import Caller
from tests.infra.test_cli_audit import ann, crm

__all__ = ["ann", "crm"]

RULE = {
    "name": "messages", "groups": ["content"], "trigger": "last_event", "purpose": None,
    "period": "3 years", "hold": None,
}  # fmt: skip
FILE = """
[[schedule]]
name = "people"
groups = ["identity", "contact"]
trigger = "last_event"
period = "1 day"
"""


def test_one_key_loads_schedules_and_another_one_approves(caller: Callable[..., Caller]) -> None:
    alice = caller("operate")
    bob, reader = caller("operate", alice.tenant), caller("read", alice.tenant)
    path = "/v1/privacy/schedules"
    assert alice.get(path).json() == {"version": 0, "schedules": []}
    assert reader.get(path).status_code == 403
    wrong = {"schedules": [RULE | {"period": "soon"}]}
    assert alice.post(path, json=wrong).status_code == 400
    asked = alice.post(path, json={"schedules": [RULE]}).json()
    assert (asked["kind"], asked["what"]) == ("schedules", {"schedules": [RULE]})
    approval = f"/v1/privacy/requests/{asked['id']}/approval"
    assert alice.post(approval, json={"digest": asked["digest"]}).status_code == 409
    done = bob.post(approval, json={"digest": asked["digest"]}).json()
    assert "version 1" in done["outcome"]
    assert alice.get(path).json() == {"version": 1, "schedules": [RULE]}
    assert alice.get(f"{path}/due").json() == {"items": []}
    assert caller("operate").get(path).json()["version"] == 0


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
        other.setattr("getpass.getuser", lambda: "carol")
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
