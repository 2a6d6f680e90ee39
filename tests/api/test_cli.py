"""The command line: what each command answers, in which form, and with which exit code."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from api import output
from api.cli import main as cli
from api.cli.common import FAILED, NOT_FOUND, UNREACHABLE, USAGE, Fault, identifier, instant
from api.demo.play import play
from api.demo.story import EMAIL, story
from api.demo.world import World
from api.output import text
from commands.ports import Who
from consumers.follow import advance
from domain.money import money
from domain.values import email, external_id, phone
from infra.runtime import open_runtime
from infra.settings import Settings
from infra.store.sequencing import Sequencing
from tests.conftest import database


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(scope="module")
def told(
    server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """A database in which Ada's story, and nothing else, has happened."""
    with database(server_url, str(conninfo_to_dict(template)["dbname"])) as url:
        settings = Settings(database_url=url, directory=tmp_path_factory.mktemp("crm"))
        with open_runtime(settings) as runtime:
            world = World(seed=1)
            world.begin(story(world))
            for _ in play(world.run(), runtime, Who("default", "test")):
                pass
            while Sequencing(runtime.pool, "test", seconds=0).run_once():
                pass
            for table in runtime.tables.values():
                while advance(runtime.events, table):
                    pass
        yield settings


@pytest.fixture
def crm(
    told: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Run the command line in this process, on Ada's story."""
    monkeypatch.setenv("CRM_DATABASE_URL", str(told.database_url))
    monkeypatch.setenv("CRM_DIRECTORY", str(told.directory))

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["crm", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return Done(int(left.value.code or 0), *capfd.readouterr())

    return run


def lines(done: Done) -> list[str]:
    return done.out.splitlines()


# ---- Showing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [EMAIL, "ADA@example.org", "web:visitor-ada"])
def test_a_customer_is_found_by_any_identifier(crm: Callable[..., Done], named: str) -> None:
    done = crm("show", "customer", named, "--json")
    assert done.code == 0
    assert done.json["profile"]["full_name"] == "Ada Keller"
    assert crm("show", "customer", done.json["id"], "--json").json == done.json


def test_a_customer_is_shown_as_it_was_known(crm: Callable[..., Done]) -> None:
    then = crm("show", "customer", EMAIL, "--as-of", "2025-03-08", "--json").json
    assert (then["stage"], then["profile"], then["interactions"]) == ("stranger", {}, 2)


def test_fields_stand_below_one_another(crm: Callable[..., Done]) -> None:
    done = crm("show", "customer", EMAIL)
    assert "revenue           387.40 EUR" in lines(done)
    assert "profile           country DE" in lines(done)
    assert "                  full_name Ada Keller" in lines(done)


def test_a_case_is_shown_as_it_stood(crm: Callable[..., Done]) -> None:
    asked = ("show", "case", "desk:ada-2", "--json")
    now = crm(*asked).json
    assert (now["status"], now["resolution"]) == ("resolved", "breached")
    noon = crm(*asked, "--as-of", "2025-10-08T12:00Z").json
    assert (noon["status"], noon["first_answer"], noon["resolution"]) == (
        "open", "breached", "running"
    )  # fmt: skip
    assert noon["first_answer_at"] is None
    before = crm(*asked, "--as-of", "2025-10-01")
    assert (before.code, before.out) == (NOT_FOUND, "")


def test_a_lead_is_shown_as_it_stood(crm: Callable[..., Done]) -> None:
    asked = ("show", "lead", "sales:ada-1", "--json")
    assert crm(*asked).json["status"] == "won"
    then = crm(*asked, "--as-of", "2025-03-20", "--effective").json
    assert (then["status"], then["stage"]) == ("open", "qualified")


def test_the_history_tells_every_event_in_order(crm: Callable[..., Done]) -> None:
    events = crm("history", EMAIL, "--json").json
    positions = [event["position"] for event in events]
    assert positions == sorted(positions)
    assert len(events) > 40
    assert events[0]["type"] == "customer.registered.v1"
    early = crm("history", EMAIL, "--as-of", "2025-03-08", "--json").json
    assert early == events[: len(early)]
    assert len(early) == 4


def test_the_history_can_be_narrowed(crm: Callable[..., Done]) -> None:
    done = crm("history", EMAIL, "--type", "customer.purchase_recorded.v1", "--limit", "3")
    header, *rows, more = lines(done)
    assert header.split() == ["position", "happened", "(UTC)", "learned", "event", "by", "facts"]
    assert len(rows) == 3
    assert all("amount=29.80 EUR" in row for row in rows)
    assert more == "These are the first 3; --limit shows more."


def test_read_models_tell_how_far_they_are(crm: Callable[..., Done]) -> None:
    rows = crm("projections", "status", "--json").json
    assert {row["parked"] for row in rows} == {0}
    for row in rows:
        assert row["lag_events"] == row["head"] - row["position"]
        assert row["state"] == f"serving, {'behind' if row['lag_events'] else 'level'}"
    assert len(lines(crm("projections", "status"))) == len(rows) + 1
    assert "Who is this customer" in crm("projections", "list").out
    assert crm("parked", "list").out == "Nothing is parked.\n"
    assert crm("parked", "list", "--json").json == []


# ---- Operating -----------------------------------------------------------------------------------


def test_a_key_is_shown_once_and_can_be_ended(crm: Callable[..., Done]) -> None:
    made = crm("keys", "create", "--role", "read", "--tenant", "acme", "--json").json
    assert made["key"].startswith("crm_")
    id_ = made["key"].split("_")[1]
    listed = crm("keys", "list", "--tenant", "acme")
    assert id_ in listed.out
    assert made["key"] not in listed.out
    assert crm("keys", "revoke", id_).code == 0
    assert crm("keys", "revoke", id_).code == NOT_FOUND


def test_a_key_alone_is_on_stdout(crm: Callable[..., Done]) -> None:
    done = crm("keys", "create", "--role", "publish")
    assert len(done.out.split()) == 1
    assert "cannot be shown again" in done.err


def test_refused_messages_are_listed_shown_and_retried(crm: Callable[..., Done]) -> None:
    found = crm("refused", "list", "--json").json
    assert [each["code"] for each in found] == ["interaction.conflict", "data.invalid"]
    [broken] = crm("refused", "list", "--code", "data.invalid", "--json").json
    assert json.loads(crm("refused", "show", broken["id"]).out)["data"]["quantity"] == 2
    [look] = json.loads(crm("audit", "looks", broken["id"], "--json").out)
    assert (look["groups"], look["fields"]) == (["content"], ["message"])
    again = crm("refused", "retry", broken["id"])
    assert again.code == FAILED
    assert "amount.amount" in again.out


def test_a_refused_message_can_be_discarded(crm: Callable[..., Done], tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    file.write_text('{"id":"1","source":"s","type":"no.such.v1","data":{}}\n')
    assert crm("import", str(file), "--tenant", "other").code == FAILED
    [refused] = crm("refused", "list", "--tenant", "other", "--json").json
    assert crm("refused", "discard", refused["id"], "--yes", "--tenant", "other").code == 0
    assert crm("refused", "list", "--tenant", "other").out == "Nothing was refused.\n"
    assert crm("refused", "show", refused["id"], "--tenant", "other").code == NOT_FOUND


def test_a_file_is_taken_in_once(crm: Callable[..., Done], tmp_path: Path) -> None:
    data = {"customer": {"email": "ben@example.org"}, "channel": "web", "kind": "visit"}
    event = {"id": "1", "source": "s", "type": "interaction.recorded.v1", "data": data}
    file = tmp_path / "events.ndjson"
    file.write_text(json.dumps(event) + "\n")
    verdicts = [
        crm("import", str(file), "--tenant", "files", *options, "--json").json["verdicts"]
        for options in (["--dry-run"], [], [])
    ]
    assert verdicts == [{"accepted": 1}, {"accepted": 1}, {"duplicate": 1}]


def test_pipelines_are_set_up_from_a_file(crm: Callable[..., Done], tmp_path: Path) -> None:
    file = tmp_path / "pipelines.toml"
    file.write_text("[pipelines]\nfleet = [{name='asked', probability=10}]\n")
    assert crm("pipelines", "apply", str(file)).out == "fleet: set up, 1 stages\n"
    assert crm("pipelines", "apply", str(file)).out == "fleet: unchanged, 1 stages\n"
    assert crm("pipelines", "list", "--json").json["fleet"] == [
        {"name": "asked", "probability": 10}
    ]
    for wrong in ("x", "[pipelines]", "[pipelines]\na = []", "[pipelines]\na = [{name='b'}]"):
        file.write_text(wrong)
        assert crm("pipelines", "apply", str(file)).code == FAILED


def test_the_doctor_finds_nothing_wrong_and_tells_no_password(
    crm: Callable[..., Done], told: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = str(conninfo_to_dict(str(told.database_url)).get("password") or "s3cret")
    url = make_conninfo(str(told.database_url), password=password)
    monkeypatch.setenv("CRM_DATABASE_URL", url)
    done = crm("doctor")
    assert done.code == 0
    assert "CRM_DATABASE_URL" in done.out
    assert password not in done.out + done.err
    findings = {each["what"]: each for each in crm("doctor", "--json").json["findings"]}
    assert findings["durability"]["state"] == "ok"
    assert findings["schema"]["state"] == "ok"
    assert findings["data keys"]["state"] == "ok"
    wrong = "CRM_" + "PROT"
    assert wrong not in findings
    monkeypatch.setenv(wrong, "8081")
    findings = {each["what"]: each for each in crm("doctor", "--json").json["findings"]}
    assert findings[wrong]["told"] == "There is no such setting; it does nothing."
    told.key_file.chmod(0o644)
    assert crm("doctor").code == FAILED
    told.key_file.chmod(0o600)


# ---- Failing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (NOT_FOUND, "history nobody@example.org"),
        (NOT_FOUND, "history 00000000-0000-4000-8000-000000000000"),
        (NOT_FOUND, "show case desk:none"),
        (NOT_FOUND, "show lead sales:none --as-of 2025-10-01"),
        (NOT_FOUND, "refused show 00000000-0000-4000-8000-000000000000"),
        (NOT_FOUND, "follow nothing"),
        (NOT_FOUND, "keys revoke nothing"),
        (USAGE, "history somebody"),
        (USAGE, "history ada@example.org --as-of yesterday"),
        (USAGE, "history ada@example.org --as-of 2025-10-12T09:00"),
        (USAGE, "history ada@example.org --effective"),
        (USAGE, "history ada@example.org --type nothing.happened"),
        (USAGE, "show case 17"),
        (USAGE, "refused retry"),
        (USAGE, "refused show 17"),
        (USAGE, "keys create --role king"),
        (USAGE, "keys create --role read --tenant Å"),
        (USAGE, "no-such-command"),
        (USAGE, "import /no/such/file"),
        (FAILED, "relay"),
        (FAILED, "inbound"),
    ],
)
def test_an_exit_code_tells_why(crm: Callable[..., Done], code: int, arguments: str) -> None:
    done = crm(*arguments.split())
    assert (done.code, done.out) == (code, "")
    assert done.err.strip()
    assert "Traceback" not in done.err


def test_an_unreachable_database_is_told_at_once(
    crm: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_DATABASE_URL", "host=127.0.0.1 port=1 password=s3cret")
    began = datetime.now(UTC)
    for command in (["keys", "list"], ["doctor"], ["sequencer"]):
        done = crm(*command)
        assert done.code == UNREACHABLE
        assert done.err.startswith("crm: The database cannot be reached")
        assert len(done.err.splitlines()) == 1
        assert "s3cret" not in done.err
    assert (datetime.now(UTC) - began).total_seconds() < 20


def test_a_wrong_setting_is_told_by_its_name(
    crm: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_PORT", "many")
    done = crm("doctor")
    assert done.code == USAGE
    assert done.err.startswith("crm: CRM_PORT:")


def test_a_fault_of_ours_keeps_its_traceback(
    crm: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.read_models.reader.Reader.history", lambda *_, **__: 1 / 0)
    monkeypatch.setattr(sys, "argv", ["crm", "history", EMAIL])
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_every_exit_code_is_documented() -> None:
    page = Path(__file__).parents[2] / "docs" / "cli.md"
    told = {int(code) for code in re.findall(r"^\| (\d) \|", page.read_text(), re.MULTILINE)}
    assert told == {0, FAILED, USAGE, NOT_FOUND, UNREACHABLE}


# ---- Pieces --------------------------------------------------------------------------------------


def test_help_imports_nothing_that_takes_long() -> None:
    script = """
import sys
sys.argv = ["crm", "--help"]
from api.cli.main import main
try:
    main()
except SystemExit:
    heavy = {"fastapi", "pydantic", "psycopg", "rich", "structlog", "uvicorn", "orjson"}
    print("imported:", sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert "An event-sourced CRM back-end." in done.stdout
    assert done.stdout.splitlines()[-1] == "imported: []"


@pytest.mark.parametrize(
    ("named", "known"),
    [
        ("Ada@Example.org", email("ada@example.org")),
        ("+49 30 1234", phone("+49301234")),
        ("shop:17", external_id("shop", "17")),
        ("shop:ada@example.org", external_id("shop", "ada@example.org")),
        ("Ada", None),
        ("", None),
    ],
)
def test_customers_are_named_as_people_name_them(named: str, known: object) -> None:
    assert identifier(named) == known


def test_an_instant_needs_a_zone_or_is_a_day() -> None:
    assert instant("2025-10-12") == datetime(2025, 10, 12, tzinfo=UTC)
    assert instant("2025-10-12T09:00+02:00") == datetime(2025, 10, 12, 7, tzinfo=UTC)
    with pytest.raises(Fault, match="no time zone"):
        instant("2025-10-12T09:00")


def test_amounts_have_the_digits_of_their_currency() -> None:
    assert money(123456, "EUR") == "1,234.56 EUR"
    assert money(123456, "JPY") == "123,456 JPY"
    assert money(-5, "KWD") == "-0.005 KWD"


def test_a_listing_that_may_go_on_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    for limit, said in ((2, ["These are the first 2; --limit shows more."]), (3, [])):
        output.print_table(("a",), [("x",), ("y",)], "None.", limit)
        assert capfd.readouterr().out.splitlines() == ["a", "x", "y", *said]


def test_what_is_shown_cannot_steer_the_terminal() -> None:
    assert text("a\x1b[31mb\nc\u202e") == "a [31mb c "
    assert text({"redacted": "erased"}) == "[erased]"
    assert text({"web\x9b31m": 1}) == "web 31m 1"
    assert output.lines({"web\x9b31m": 1}) == ["web 31m 1"]
