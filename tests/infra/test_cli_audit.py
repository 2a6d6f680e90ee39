"""The auditor's commands: what they answer, and with which exit code."""

import logging
import sys

import pytest
import structlog

from api import cli
from api.cli_common import FAILED, NOT_FOUND, USAGE
from commands.command import ByEmail
from commands.customers import RegisterCustomer
from infra.proofs import check, read_checkpoint
from tests.world import World


@pytest.fixture
def crm(runtime, monkeypatch, capfd):
    """Run the command line in this process."""
    monkeypatch.setenv("CRM_DATABASE_URL", str(runtime.settings.database_url))
    monkeypatch.setenv("CRM_DIRECTORY", str(runtime.settings.directory))
    monkeypatch.setenv("CRM_TENANT", "acme")
    handlers = logging.root.handlers[:]

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["crm", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return (int(left.value.code or 0), *capfd.readouterr())

    yield run
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers


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


def test_what_cannot_be_exported_says_so(crm, ann, tmp_path):
    assert crm("audit", "export", "bob@x.org", "--to", tmp_path / "bob")[0] == NOT_FOUND
    assert crm("audit", "export", ann, "--to", tmp_path)[0] == USAGE


def test_an_empty_log_has_no_checkpoint(crm):
    assert crm("audit", "checkpoint")[0] == NOT_FOUND
    assert crm("audit", "verify")[0] == 0
