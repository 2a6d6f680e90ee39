"""What is set up wrong is told in a sentence: no traceback, no secret, and what to do about it."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from api.cli import main as cli
from api.cli.common import FAILED, INTERRUPTED, USAGE
from commands.command import ByEmail
from commands.execute import execute
from commands.interactions import RecordInteraction
from commands.ports import Request, Who
from infra.ids import uuid7
from infra.runtime import open_runtime
from infra.settings import Settings
from infra.store.sequencing import Sequencing

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def crm(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Run:  # fmt: skip
    monkeypatch.setenv("CRM_DATABASE_URL", database_url)
    monkeypatch.setenv("CRM_DIRECTORY", str(tmp_path))

    def run(*arguments: str, **variables: str) -> tuple[int, str]:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["crm", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return int(left.value.code or 0), capfd.readouterr().err.rpartition("crm: ")[2].strip()

    return run


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("CRM_DATABASE_URL", "hunter2", "this is neither a URL nor key=value pairs."),
        ("CRM_KEYS_DATABASE_URL", "hunter2", "this is neither a URL nor key=value pairs."),
        ("CRM_PORT", "99999", "Input should be less than or equal to 65535."),
        ("CRM_READ_WAIT_SECONDS", "-1", "Input should be greater than or equal to 0."),
        ("CRM_KAFKA_PARTITIONS", "0", "Input should be greater than or equal to 1."),
    ],
)
def test_a_setting_that_cannot_be_is_told_by_its_name(
    crm: Run, variable: str, value: str, said: str
) -> None:
    assert crm("projections", "status", **{variable: value}) == (USAGE, f"{variable}: {said}")


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("nowhere", "CRM_MASTER_KEYS: 'nowhere' is none of file, vault, aws-kms."),
        (
            "vault:http://127.0.0.1:1#transit/crm",
            "CRM_MASTER_KEYS names a key service, and VAULT_TOKEN is not set.",
        ),
        (
            "aws-kms:eu-central-1/crm",
            "CRM_MASTER_KEYS names a key service, and AWS_ACCESS_KEY_ID is not set.",
        ),
    ],
)
def test_a_key_service_that_cannot_be_asked_is_told(crm: Run, where: str, said: str) -> None:
    assert crm("projections", "status", CRM_MASTER_KEYS=where) == (USAGE, f"{said}")


def test_another_master_key_than_before_is_refused_at_the_start(
    crm: Run, database_url: str, tmp_path: Path
) -> None:
    settings = Settings(database_url=database_url, directory=tmp_path)
    with open_runtime(settings) as runtime:
        visit = RecordInteraction(
            customer=ByEmail(email="ann@example.org"), channel="web", kind="visit", message="Hello"
        )
        execute([Request(visit, uuid7())], Who("default", "test"), runtime.ports)
    key = settings.key_file.read_bytes()
    settings.key_file.write_bytes(os.urandom(32))
    code, said = crm("projections", "status")
    assert (code, "Put that one back" in said) == (FAILED, True)
    code, said = crm("doctor")
    assert code == FAILED
    settings.key_file.write_bytes(key[:31])
    code, said = crm("projections", "status")
    assert (code, "has 31 bytes" in said) == (FAILED, True)
    settings.key_file.write_bytes(key)
    assert crm("projections", "status")[0] == 0


def test_an_import_that_is_interrupted_says_what_to_do(
    crm: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("api.files.importing.run_import", interrupted)
    (tmp_path / "one.ndjson").touch()
    code, said = crm("import", str(tmp_path / "one.ndjson"))
    assert (code, said.startswith("Interrupted. What was taken in stays")) == (INTERRUPTED, True)


def test_a_file_that_cannot_be_written_is_told_by_its_name(
    crm: Run, database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    to = str(tmp_path / "file" / "bundle")
    (tmp_path / "one.ndjson").write_text(
        '{"id":"1","source":"web","type":"interaction.recorded.v1","data":'
        '{"customer":{"email":"ann@example.org"},"channel":"web","kind":"visit"}}\n'
    )
    code, said = crm("import", str(tmp_path / "one.ndjson"))
    assert (code, "Let `crm up` or `crm sequencer` run." in said) == (0, True)
    with open_runtime(Settings(database_url=database_url, directory=tmp_path)) as runtime:
        assert Sequencing(runtime.pool, "test").run_once()
    assert crm("privacy", "access", "ann@example.org", "--to", to) == (
        FAILED,
        f"{to}: Not a directory.",
    )


def test_an_address_of_another_machine_is_not_blamed_on_the_port(crm: Run) -> None:
    code, said = crm("api", "--port", "0", CRM_HOST="192.0.2.1")
    assert (code, said) == (
        FAILED,
        "192.0.2.1 is no address of this machine; CRM_HOST names another.",
    )
