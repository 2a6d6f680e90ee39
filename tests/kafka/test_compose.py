"""The roles of docker-compose.yml: the same commands and settings, as local processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from kafka.errors import KafkaTimeoutError

from api.cli.common import UNREACHABLE
from api.cli.main import told
from infra.runtime import Runtime
from infra.settings import Settings
from tests.kafka.broker import free_ports
from tests.kafka.support import eventually

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OURS = {name: service for name, service in COMPOSE["services"].items() if "build" in service}
CRM = str(Path(sys.executable).with_name("crm"))


def test_every_role_is_locked_down() -> None:
    for name, service in OURS.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["user"] != "0", name
    for name, service in COMPOSE["services"].items():
        tag = service["image"].rpartition(":")[2]
        assert tag != "latest" or "build" in service, f"{name} is not pinned"
        assert "healthcheck" in service or name == "kafka-ui", name


def test_nothing_is_open_to_other_machines() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_what_the_file_sets_is_a_setting() -> None:
    known = {f"CRM_{name.upper()}" for name in Settings.model_fields}
    given = {name for service in OURS.values() for name in service["environment"]}
    assert {name for name in given if name.startswith("CRM_")} <= known
    assert given


def test_what_must_survive_a_restore_has_volumes_of_its_own() -> None:
    """Master keys, witness and ledger: none of them on another's volume, or on the database's."""
    for name, service in OURS.items():
        mounted = dict(volume.split(":")[::-1] for volume in service["volumes"])
        given = service["environment"]
        places = [Path("/var/lib/crm/master.key"), Path(given["CRM_WITNESS_FILE"]),
                  Path(given["CRM_ERASURE_LEDGER_FILE"])]  # fmt: skip
        volumes = {mounted[str(place.parent)] for place in places}
        assert len(volumes) == len(places), name
        assert volumes <= COMPOSE["volumes"].keys() - {"postgres", "kafka"}
        dockerfile = (ROOT / "Dockerfile").read_text()
        assert all(str(place.parent) in dockerfile for place in places)  # they belong to the user


@pytest.mark.skipif(shutil.which("docker") is None, reason="docker is not installed")
def test_docker_reads_the_file_as_we_do() -> None:
    asked = ["docker", "compose", "-f", str(ROOT / "docker-compose.yml"), "config", "--quiet"]
    env = {**os.environ, "POSTGRES_PASSWORD": "secret"}
    if run(["docker", "compose", "version"], env).returncode != 0:
        pytest.skip("docker has no compose plugin")
    assert run(asked, env).returncode == 0


def test_the_roles_work_together_as_processes(
    database_url: str, bootstrap: str, kafka: Runtime, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    env = environment(database_url, bootstrap, kafka, tmp_path, port)
    applied = crm(["topics", "apply"], env)
    assert applied.returncode == 0, applied.stderr
    key = crm(["keys", "create", "--role", "operate", "--json"], env)
    assert key.returncode == 0, key.stderr
    secret = json.loads(key.stdout)["key"]
    roles = [name for name in OURS if name != "topics"]
    with processes({name: OURS[name]["command"] for name in roles}, env):
        base = f"http://127.0.0.1:{port}"
        assert eventually(lambda: answers(f"{base}/readyz"), 90)
        event = {"specversion": "1.0", "id": "1", "source": "/compose", "type": "case.opened.v1",
                 "data": {"case": {"system": "desk", "id": "7"}, "channel": "web",
                          "customer": {"email": "ada@example.org"}}}  # fmt: skip
        call(f"{base}/v1/events", secret, event)
        assert eventually(lambda: len(call(f"{base}/v1/cases", secret)["items"]) == 1, 90)
        verified = crm(["topics", "verify"], env)  # what is shown was published before
        assert verified.returncode == 0, verified.stdout + verified.stderr


def test_a_role_refuses_a_topic_that_could_lose_records_in_a_sentence(
    database_url: str, bootstrap: str, kafka: Runtime, tmp_path: Path
) -> None:
    env = environment(database_url, bootstrap, kafka, tmp_path, 0)
    env["CRM_KAFKA_PREFIX"] = kafka.settings.kafka_prefix
    refused = crm(["relay"], {**env, "CRM_KAFKA_REPLICAS": "3"})
    assert refused.returncode == 1
    assert "has 1 replicas, not 3." in refused.stderr
    assert "CRM_KAFKA_REPLICAS tells how many there must be" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_no_broker_is_told_in_a_sentence() -> None:
    exit_code, sentence = told(KafkaTimeoutError("Unable to bootstrap from 127.0.0.1:9"))
    assert exit_code == UNREACHABLE
    assert sentence.startswith("Kafka cannot be reached: ")


def test_the_override_is_loud(
    database_url: str, bootstrap: str, kafka: Runtime, tmp_path: Path
) -> None:
    env = environment(database_url, bootstrap, kafka, tmp_path, 0)
    env |= {"CRM_KAFKA_PREFIX": kafka.settings.kafka_prefix, "CRM_KAFKA_REPLICAS": "1"}
    said = tmp_path / "said"
    with said.open("w") as log:
        relay = subprocess.Popen([CRM, "relay"], env=env, stdout=log, stderr=log)
        assert eventually(lambda: "relay.leading" in said.read_text())
        relay.terminate()
        assert relay.wait(20) == 0
    warning = next(line for line in said.read_text().splitlines() if "kafka.unsafe" in line)
    assert '"level":"warning"' in warning.replace(" ", "")


def environment(
    database_url: str, bootstrap: str, kafka: Runtime, tmp_path: Path, port: int
) -> dict[str, str]:
    """What the file sets, with the addresses of this machine."""
    given = dict(OURS["api"]["environment"])
    here = {
        "CRM_DATABASE_URL": database_url,
        "CRM_KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "CRM_HOST": "127.0.0.1",
    }
    assert set(here) <= set(given), "the file sets what the test replaces"
    mine = {
        "CRM_KAFKA_PREFIX": f"{kafka.settings.kafka_prefix}-compose",
        "CRM_DIRECTORY": str(tmp_path / "keys"),
        "CRM_PORT": str(port),
        "CRM_WITNESS_FILE": str(tmp_path / "witness"),
        "CRM_ERASURE_LEDGER_FILE": str(tmp_path / "ledger"),
    }
    return {**os.environ, **given, **here, **mine, "PYTHONSAFEPATH": "1"}


def crm(arguments: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return run([CRM, *arguments], env)


def run(command: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


@contextmanager
def processes(commands: dict[str, list[str]], env: dict[str, str]) -> Iterator[None]:
    running = [
        subprocess.Popen([CRM, *command], env=env, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL, start_new_session=True)
        for command in commands.values()
    ]  # fmt: skip
    try:
        yield
        assert [each.poll() for each in running] == [None] * len(running), "a role has ended"
    finally:
        for each in running:
            each.send_signal(signal.SIGTERM)
        ended = [each.wait(20) for each in running]
    assert ended == [0] * len(ended)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def call(url: str, secret: str, body: object = None) -> Any:
    headers = {
        "Authorization": f"Bearer {secret}",
        "Content-Type": "application/cloudevents+json",
    }
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)
