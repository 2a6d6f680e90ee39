"""The auditor's commands: what they answer, and with which exit code."""

import json
import pwd
import sys
from types import SimpleNamespace

import pytest

from api.cli import main as cli
from api.cli.common import FAILED, NOT_FOUND, USAGE, operator
from commands.command import ByEmail
from commands.customers import ChangeProfile, RegisterCustomer
from infra.audit.proofs import check, read_checkpoint
from tests.tsa import Authority, Issuer, serving
from tests.world import World


@pytest.fixture
def crm(runtime, monkeypatch, capfd):
    """Run the command line in this process."""
    monkeypatch.setenv("CRM_DATABASE_URL", str(runtime.settings.database_url))
    monkeypatch.setenv("CRM_DIRECTORY", str(runtime.settings.directory))
    monkeypatch.setenv("CRM_TENANT", "acme")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["crm", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return (int(left.value.code or 0), *capfd.readouterr())

    return run


def be_somebody_else(monkeypatch):
    monkeypatch.setattr(pwd, "getpwuid", lambda _: SimpleNamespace(pw_name="somebody-else"))


def test_nobody_is_another_person_by_saying_so(monkeypatch):
    """What two people must do, one could do twice if a variable of the environment told who."""
    me = operator()
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "SUDO_USER"):
        monkeypatch.setenv(name, "somebody-else")
    assert operator() == me != "cli:somebody-else"


@pytest.fixture
def ann(runtime, catch_up):
    World(runtime.store).ask(RegisterCustomer(customer=ByEmail(email="ann@x.org"), full_name="Ann"))
    catch_up()
    return "ann@x.org"


def test_a_log_is_signed_verified_exported_and_found_out(crm, ann, runtime, tmp_path):
    code, out, err = crm("audit", "checkpoint")
    assert (code, read_checkpoint(out, err.split()[-1]).size) == (0, runtime.events.head())
    code, out, _ = crm("audit", "verify")
    assert (code, "as they were signed" in out) == (0, True)
    code, out, _ = crm("audit", "export", ann, "--to", tmp_path / "ann")
    assert (code, check(tmp_path / "ann")[0]) == (0, runtime.events.head())
    with runtime.pool.connection() as conn:
        conn.execute("UPDATE crm.event SET envelope = envelope || ' ' WHERE version = 2")
    code, out, err = crm("audit", "verify")
    assert code == FAILED
    assert "first bad position of events is 2" in err
    assert crm("audit", "verify", "--leaves")[0] == 0  # the leaves alone do not tell
    assert crm("audit", "verify", "--json")[1].count('"sentence"') == 1


def test_a_time_stamp_is_had_at_once_and_told(crm, ann, tmp_path, monkeypatch):
    assert crm("audit", "checkpoint", "--time-stamp")[0] == USAGE
    issuer, root = Issuer(), tmp_path / "root.pem"
    root.write_bytes(issuer.pem)
    monkeypatch.setenv("CRM_TSA_CERTIFICATES", str(root))
    with serving(Authority(issuer)) as server:
        monkeypatch.setenv("CRM_TSA_URL", server.url)
        assert crm("audit", "checkpoint", "--time-stamp")[0] == 0
    assert "events: 1 of 1 time stamps hold;" in crm("audit", "verify")[1]
    root.write_bytes(Issuer("Another").pem)
    code, out, _ = crm("audit", "verify")
    assert (code, "The time stamp of the checkpoint of size" in out) == (FAILED, True)
    monkeypatch.delenv("CRM_TSA_URL")
    monkeypatch.delenv("CRM_TSA_CERTIFICATES")
    assert "events: 1 time stamps, not checked" in crm("audit", "verify")[1]


def test_an_export_says_what_is_not_in_the_log_yet(crm, ann, runtime, tmp_path, monkeypatch):
    change = ChangeProfile(customer=ByEmail(email=ann), full_name="Ann at last")
    World(runtime.store).ask(change, "0190b36e-0000-7000-8000-000000000001")
    monkeypatch.setenv("CRM_READ_WAIT_SECONDS", "0")
    code, out, err = crm("audit", "export", ann, "--to", tmp_path / "ann")
    assert (code, "not in the bundle: 1 of this customer's events." in err) == (FAILED, True)
    assert out.startswith(f"{check(tmp_path / 'ann')[0]} events in ")


def test_what_cannot_be_exported_says_so(crm, ann, tmp_path):
    assert crm("audit", "export", "bob@x.org", "--to", tmp_path / "bob")[0] == NOT_FOUND
    assert crm("audit", "export", ann, "--to", tmp_path)[0] == USAGE


def test_an_empty_log_has_no_checkpoint(crm):
    assert crm("audit", "checkpoint")[0] == NOT_FOUND
    assert crm("audit", "verify")[0] == 0


def test_a_customer_is_replayed_and_what_changed_is_told(crm, ann, runtime, tmp_path):
    asked = ("audit", "replay", ann, "--as-known-at", "2026-01-31T12:00:01Z")
    code, out, _ = crm(*asked)
    assert (code, "profile.full_name" in out, "customer.registered.v1" in out) == (0, True, True)
    code, out, _ = crm(*asked[:-1], "2026-01-30", "--until", "2026-02-01", "--json")
    told = json.loads(out)
    assert (told["customer"], {event["since"] for event in told["events"]}) == (None, {True})
    assert {"what": "profile.full_name", "before": None, "after": "Ann"} in told["differences"]
    assert crm(*asked, "--html", tmp_path / "ann.html")[0] == 0
    assert "<td>Ann" in (tmp_path / "ann.html").read_text()
    assert crm(*asked[:-1], "2026-01-30")[0] == NOT_FOUND
    assert crm("audit", "replay", ann)[0] == USAGE
    code, out, _ = crm("audit", "looks", ann, "--staff", "--json")
    assert {look["who"] for look in json.loads(out)} == {operator()}


def test_an_erasure_by_two_people_on_the_command_line(crm, ann, monkeypatch, tmp_path):
    assert crm("privacy", "access", ann, "--to", tmp_path / "ann")[0] == 0
    assert "Ann" in (tmp_path / "ann" / "index.html").read_text()
    assert "customer.profile_changed.v1" in crm("privacy", "record")[1]
    asked = json.loads(crm("privacy", "erase", ann, "--reason", "asked", "--json")[1])
    approve = ("privacy", "approve", asked["id"], "--digest", asked["digest"])
    code, _, err = crm(*approve)
    assert (code, "request.same_person" in err) == (FAILED, True)
    assert crm("privacy", "certificate", asked["id"])[0] == NOT_FOUND
    be_somebody_else(monkeypatch)
    code, out, _ = crm(*approve)
    assert (code, out.startswith("Erased;")) == (0, True)
    assert '"approved_by": "cli:somebody-else"' in crm("privacy", "certificate", asked["id"])[1]
    assert json.loads(crm("privacy", "requests", "--json")[1])[0]["done_at"]
    assert crm("privacy", "resume", asked["id"])[0] == 0
    assert crm("show", "customer", ann)[0] == NOT_FOUND


def test_master_keys_are_changed_on_the_command_line(crm, ann):
    assert "wrapped anew" in crm("privacy", "rotate")[1]
    assert [epoch["epoch"] for epoch in json.loads(crm("privacy", "epochs", "--json")[1])] == [1, 2]
    code, _, err = crm("privacy", "destroy", "1")
    assert (code, "epoch.in_backups" in err) == (FAILED, True)
    assert crm("privacy", "hold", ann, "--reason", "lawsuit")[0] == 0
    assert crm("privacy", "release", ann, "--reason", "over")[0] == 0
    assert crm("privacy", "reapply")[1].startswith("0 customers")


def test_an_event_is_corrected_by_two_people_on_the_command_line(crm, ann, monkeypatch, tmp_path):
    fields = tmp_path / "fields"
    fields.write_text(json.dumps({"customer": {"email": ann}, "full_name": "Anna"}))
    wanted = ("--command", "customer.change_profile", "--fields", fields, "--reason", "misheard")
    code, out, _ = crm("privacy", "correct", 3, *wanted, "--json")
    asked = json.loads(out)
    assert (code, "Anna" in out) == (0, False)
    assert '"full_name": "Anna"' in crm("privacy", "request", asked["id"])[1]
    be_somebody_else(monkeypatch)
    approve = ("privacy", "approve", asked["id"], "--digest", asked["digest"])
    assert crm(*approve)[1] == "Corrected by customer.profile_changed.v1.\n"
    fields.write_text("[1]")
    assert crm("privacy", "correct", 3, *wanted)[0] == USAGE
    assert crm("privacy", "correct", 99, *wanted[:2], "--fields", "/dev/null", *wanted[4:])[0] != 0
    assert crm("privacy", "break-glass", ann, "--reason", "curious")[0] == FAILED
    assert crm("privacy", "open", asked["id"], "--to", tmp_path / "held")[0] == FAILED


def test_a_log_that_was_cut_is_served_only_when_two_people_agree(crm, ann, runtime, monkeypatch):
    assert crm("audit", "checkpoint")[0] == 0
    assert crm("privacy", "restore", "--reason", "none")[0] == FAILED
    with runtime.pool.connection() as conn:
        conn.execute("DELETE FROM crm.log WHERE position = 3")
    code, _, err = crm("show", "customer", ann)
    assert (code, "crm privacy restore" in err) == (FAILED, True)
    assert crm("audit", "verify")[0] == FAILED
    asked = json.loads(crm("privacy", "restore", "--reason", "cut", "--json")[1])
    erase = json.loads(crm("privacy", "requests", "--json")[1])
    assert [each["kind"] for each in erase] == ["log.restore"]
    approve = ("privacy", "approve", asked["id"], "--digest", asked["digest"])
    assert "same_person" in crm(*approve)[2]
    be_somebody_else(monkeypatch)
    code, out, _ = crm(*approve)
    assert (code, out) == (0, "The log goes on where it ends; 0 customers were erased again.\n")
    told = crm("audit", "verify")[1].replace("\n", " ")
    assert f"wound back to 2 by a restored backup; asked by {asked['asked_by']}" in told
    assert crm("show", "customer", ann)[0] == 0
