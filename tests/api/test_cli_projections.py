"""`crm projections …` from the outside: answers, exit codes, and words when it cannot be done."""

import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from api.cli import main as cli
from api.cli.common import FAILED, NOT_FOUND
from commands.customers import RegisterCustomer
from infra.database import url_of
from infra.read_models.builds import presence
from infra.read_models.versions import versions
from infra.runtime import Runtime, open_runtime
from infra.settings import Settings
from tests.api.test_cli import Done
from tests.strategies import UUIDS
from tests.world import World
from tests.worlds import TWINS, caught_up, grow, grown

Run = Callable[..., Done]


@pytest.fixture
def runtime(database_url: str, tmp_path: Path) -> Iterator[Runtime]:
    """A database of its own: here read models are altered by hand."""
    with open_runtime(Settings(database_url=database_url, directory=tmp_path / "crm")) as opened:
        yield opened


@pytest.fixture
def crm(
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Run:
    """Run the command line in this process, on a database in which some things have happened."""
    grown(runtime)
    caught_up(runtime)
    monkeypatch.setenv("CRM_DATABASE_URL", str(runtime.settings.database_url))
    monkeypatch.setenv("CRM_DIRECTORY", str(runtime.settings.directory))
    monkeypatch.setenv("CRM_TENANT", "acme")

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["crm", "projections", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return Done(int(left.value.code or 0), *capfd.readouterr())

    return run


def states(runtime: Runtime, name: str = "customer_view") -> dict[int, str]:
    return {v.version: v.state for v in versions(runtime.pool, name)}


def test_change_rebuild_verify_promote_roll_back(crm: Run, runtime: Runtime) -> None:
    """The way of docs/projections.md, command by command."""
    would = crm("rebuild", "customer_view", "--dry-run", "--json").json
    assert (would["version"], would["would"], would["serves"]) == (2, "begin", 1)
    assert states(runtime) == {1: "serving"}
    built = crm("rebuild", "customer_view", "--workers", "1")
    assert (built.code, states(runtime)) == (0, {1: "serving", 2: "built"})
    assert "crm projections promote customer_view" in built.out
    assert "rebuild.progress" in built.err
    rows = {
        row["version"]: row
        for row in crm("status", "--json").json
        if row["projection"] == "customer_view"
    }
    assert (rows[1]["state"], rows[2]["state"]) == ("serving, level", "built, level")
    assert crm("diff", "customer_view").out.endswith("rows are the same.\n")
    assert crm("promote", "customer_view", "--dry-run", "--json").json["would_be"] == "serving"
    assert states(runtime) == {1: "serving", 2: "built"}
    assert crm("promote", "customer_view", "--json").json["state"] == "serving"
    assert states(runtime) == {1: "kept", 2: "serving"}
    assert crm("rollback", "customer_view").code == 0
    assert states(runtime) == {1: "serving", 2: "kept"}
    assert crm("cancel", "customer_view", "--version", "2").code == 0
    assert states(runtime) == {1: "serving"}


def test_events_that_nobody_numbers_are_told_of(crm: Run, runtime: Runtime) -> None:
    """Without a sequencer everything is level and the same, and lacks what came in."""
    told = "no sequencer gives them a position: 1. Let `crm up` or `crm sequencer` run.\n"
    customer = RegisterCustomer(customer="e0000000-0000-0000-0000-000000000000")
    grow(World(runtime.store), Random(1), [customer])
    for words in (["status"], ["verify", "customer_view"], ["rebuild", "customer_view"],
                  ["diff", "customer_view"]):  # fmt: skip
        done = crm(*words)
        assert (done.code, told in done.err) == (0, True)
    caught_up(runtime)
    assert crm("status").err == ""


def test_rebuild_and_promote_in_one(crm: Run, runtime: Runtime) -> None:
    result = crm("rebuild", "churn_alerts", "--promote", "--json").json
    assert (result["state"], result["version"], result["parked"]) == ("serving", 2, 0)
    assert states(runtime, "churn_alerts") == {1: "kept", 2: "serving"}


def test_drift_is_found_and_named(crm: Run, runtime: Runtime) -> None:
    assert crm("verify", "customer_view").code == 0
    with runtime.pool.connection() as conn:
        conn.execute("UPDATE read.customer_view_v1 SET tier = 'by hand' WHERE key = %s", [UUIDS[0]])
        conn.execute("DELETE FROM read.customer_view_v1 WHERE key = %s", [UUIDS[1]])
    done = crm("verify", "customer_view")
    assert (done.code, done.err) == (
        FAILED,
        "crm: customer_view_v1 and a fresh fold are not the same.\n",
    )
    changed = next(line for line in done.out.splitlines() if UUIDS[0] in line)
    assert changed.split()[:4] == ["acme", UUIDS[0], "tier", "by"]
    missing = next(line for line in done.out.splitlines() if UUIDS[1] in line)
    assert missing.split() == ["acme", UUIDS[1], "(row)", "missing", "there"]
    told = crm("verify", "customer_view", "--json").json
    assert (told["counts"]["different"], told["counts"]["only_right"]) == (1, 1)
    sampled = crm("verify", "customer_view", "--sample", "400")
    assert (sampled.code, UUIDS[0] in sampled.out, UUIDS[1] in sampled.out) == (FAILED, True, True)
    assert states(runtime) == {1: "serving"}, "what was folded to compare with is gone"


def test_a_sample_of_sound_rows_is_the_same(crm: Run) -> None:
    for name in ("customer_view", "sla_clocks", "sales_pipeline", "churn_alerts"):
        assert crm("verify", name, "--sample", "50").code == 0


def test_a_row_is_walked_event_by_event(crm: Run, runtime: Runtime) -> None:
    steps = crm("step", "customer_view", TWINS[2], "--json").json
    assert steps[0]["before"] is None
    assert steps[0]["type"] == "customer.registered.v1"
    for before, after in pairwise(steps):
        assert before["after"] == after["before"]
    with runtime.pool.connection() as conn:
        query = "SELECT merged_into, interactions FROM read.customer_view WHERE key = %s"
        row = conn.execute(query, [TWINS[2]]).fetchone()
    assert (steps[-1]["after"]["merged_into"], steps[-1]["after"]["interactions"]) == row
    shown = crm("step", "customer_view", TWINS[2]).out
    assert shown.count("merged_into") == 2, "merged, and unmerged again"
    case = crm("step", "sla_clocks", "desk:1", "--json").json
    assert case[0]["type"] == "case.opened.v1"
    early = crm("step", "customer_view", TWINS[2], "--as-of", "2020-01-01", "--json").json
    assert early == []


def test_what_does_not_exist_is_not_found(crm: Run) -> None:
    for arguments in (
        ("rebuild", "nothing"),
        ("promote", "customer_view"),
        ("rollback", "customer_view"),
        ("cancel", "customer_view"),
        ("pause", "customer_view", "--version", "7"),
        ("step", "customer_view", "shop:nobody"),
    ):
        assert crm(*arguments).code == NOT_FOUND, arguments


def test_two_people_at_once_are_told_so(crm: Run, runtime: Runtime) -> None:
    with presence(url_of(runtime.pool), "customer_view"):
        done = crm("rebuild", "customer_view")
        assert done.code == FAILED
        assert "is already at work on customer_view" in done.err
        assert "(projection.being_built)" in done.err
    crm("rebuild", "customer_view")
    again = crm("rebuild", "customer_view")
    assert (again.code, "promote it, or cancel it" in again.err) == (FAILED, True)
    refused = crm("cancel", "customer_view", "--version", "1")
    assert (refused.code, "(projection.serves)" in refused.err) == (FAILED, True)


def test_a_live_read_model_can_be_paused(crm: Run, runtime: Runtime) -> None:
    assert crm("pause", "customer_view", "--dry-run", "--json").json["changed"] is False
    assert crm("pause", "customer_view", "--json").json["changed"] is True
    assert crm("pause", "customer_view", "--json").json["changed"] is False
    assert runtime.tables.followed("customer_view") == []
    rows = [row["state"] for row in crm("status", "--json").json]
    assert "serving, paused" in rows
    assert crm("resume", "customer_view", "--json").json["changed"] is True
    assert [table.version for table in runtime.tables.followed("customer_view")] == [1]
