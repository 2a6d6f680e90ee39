"""The demo as people run it: checked, started, asked, stopped, started again."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest

from api.demo.check import Check, report
from api.demo.generator import year
from api.demo.home import Home, OtherPlan
from api.demo.plan import Plan
from api.demo.play import play
from api.demo.traffic import happenings
from commands.cloudevents import read
from commands.ports import Who
from domain.rejected import Rejected
from infra.runtime import Runtime

CRM = [sys.executable, "-P", "-c", "from api.cli.main import main; main()"]
SMALL = ["--customers", "10"]
SECONDS = 150
UNUSUAL = {"PYTHONDONTWRITEBYTECODE"}
"""What would make every start compile everything anew."""
COMMENT = re.compile(r"^# (.+)\n(.+)$", re.MULTILINE)


def environment() -> dict[str, str]:
    """The environment of a person who has set up something else, too."""
    root = str(Path(__file__).parents[2])
    kept = {name: value for name, value in os.environ.items() if name not in UNUSUAL}
    elsewhere = {"CRM_DATABASE_URL": "host=127.0.0.1 port=1", "CRM_TENANT": "elsewhere"}
    return {**kept, **elsewhere, "PYTHONPATH": root}


def crm(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CRM, *arguments], cwd=cwd, env=environment(), check=False, timeout=SECONDS,
        capture_output=True, text=True,
    )  # fmt: skip


class Demo:
    """A demo that runs in a process of its own."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.directory = directory
        self.process = subprocess.Popen(
            [*CRM, "demo", *SMALL, "--port", "0", *arguments], cwd=directory, env=environment(),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.told = ""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.told += line
            if line.startswith("crm projections status"):
                return
        self.process.wait(SECONDS)
        raise AssertionError(self.told)

    def shell(self, *commands: str) -> str:
        """Paste commands into a shell in the same directory."""
        done = subprocess.run(
            ["bash", "-ec", "\n".join(commands)], cwd=self.directory, env=environment(),
            check=True, timeout=SECONDS, capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout

    def stop(self, number: signal.Signals = signal.SIGINT) -> str:
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=SECONDS)
        return rest


@contextmanager
def a_directory() -> Iterator[Path]:
    """A directory that a server run by root may enter with its own account; pytest's are closed."""
    with TemporaryDirectory(prefix="crm-tests-", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


class Life(NamedTuple):
    """A demo that was started, stopped, and started again."""

    first: Demo
    stopped: str
    again: Demo


@pytest.fixture(scope="module")
def life() -> Iterator[Life]:
    with a_directory() as directory:
        first = Demo(directory)
        stopped = first.stop()
        again = Demo(directory, "--no-traffic")
        try:
            yield Life(first, stopped, again)
        finally:
            again.stop(signal.SIGTERM)


@pytest.fixture
def demo(life: Life) -> Demo:
    return life.again


def test_the_demo_comes_out_as_it_must(tmp_path: Path) -> None:
    done = crm("demo", "--check", *SMALL, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d+ checks, all as they must be\.$", done.stdout, re.MULTILINE)
    assert re.search(r"^churn alerts +(\d+) +\1 +ok$", done.stdout, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []


def test_a_year_that_was_interrupted_is_played_to_its_end(runtime: Runtime) -> None:
    who, sents = Who("interrupted", "test"), list(year(seed=7, customers=3))
    first = list(play(sents[: len(sents) // 2], runtime, who))
    again = list(play(sents, runtime, who))
    kept = [sent for sent, verdict in [*first, *again] if verdict.status == "accepted"]
    assert len(first) > 50
    assert Counter(id(sent) for sent in kept) == Counter(
        id(sent) for sent in sents if sent.verdict == "accepted"
    )


def test_a_number_that_is_wrong_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert report([Check("customers", 10, 10)])
    assert not report([Check("customers", 10, 10), Check("cases", 3, 4)])
    told = capsys.readouterr().out
    assert re.search(r"^cases +3 +4 +NO$", told, re.MULTILINE)
    assert "2 checks, 1 of them wrong." in told


def test_every_command_of_the_guide_works_as_it_is_pasted(demo: Demo) -> None:
    guide = COMMENT.findall(demo.told)
    (_, source), *commands = guide
    assert len(commands) >= 7
    told = {what: demo.shell(source, command) for what, command in commands}
    assert "lead.won.v1" in told["everything that happened to Ada"]
    assert "stranger" in told["what was known before she signed up"]
    [alerts] = [json.loads(out) for what, out in told.items() if what.startswith("who was silent")]
    assert len(alerts["items"]) >= 1
    [hello] = [json.loads(out) for what, out in told.items() if what.startswith("let Ada call")]
    assert hello["items"][0]["status"] == "accepted"
    assert "data.invalid" in told["what was not kept, and why"]
    assert "customer_view" in told["whether every read model is level"]


def test_the_lines_of_the_demo_stand_below_one_another(demo: Demo) -> None:
    banner = [line for line in demo.told.splitlines() if re.match(r"(API|docs|storage) ", line)]
    assert len({re.search(r"\S+\s+", line).end() for line in banner}) == 1
    assert "Not for production" in demo.told


def test_its_keys_are_for_its_owner_alone(demo: Demo) -> None:
    for name in ("env", "demo.json", "master.key"):
        assert (demo.directory / ".crm-demo" / name).stat().st_mode & 0o077 == 0


def test_a_second_demo_is_told_that_there_is_one(demo: Demo) -> None:
    done = crm("demo", *SMALL, cwd=demo.directory)
    assert done.returncode == 1
    assert done.stderr == "crm: A demo is running in .crm-demo already.\n"


def test_a_port_that_is_taken_is_told_before_anything_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = crm("demo", *SMALL, "--port", port, cwd=tmp_path)
    assert not (tmp_path / ".crm-demo" / "data").exists()
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"crm: Port {port} of 127.0.0.1 cannot be had")
    assert len(done.stderr.splitlines()) == 1


def test_it_goes_on_with_what_it_had(life: Life) -> None:
    assert life.stopped.endswith("Stopped. The data is kept; the next start goes on with it.\n")
    assert life.first.process.returncode == 0
    assert "Playing a year of 10 customers" in life.first.told
    assert "Playing" not in life.again.told
    keys = re.findall(r"^\w+ key +(\S+)$", life.first.told, re.MULTILINE)
    assert len(keys) == 4
    assert keys == re.findall(r"^\w+ key +(\S+)$", life.again.told, re.MULTILINE)


def test_another_year_needs_a_reset(tmp_path: Path) -> None:
    Home(seed=7, customers=10).keep(tmp_path)
    assert Home.of(Plan(seed=7, customers=10), tmp_path).customers == 10
    with pytest.raises(OtherPlan, match="--reset begins anew"):
        Home.of(Plan(seed=7, customers=11), tmp_path)


def test_live_messages_are_sound_but_for_a_few() -> None:
    faults, ids, sent = 0, set(), 2000
    messages = happenings("test", 50)
    for _ in range(sent):
        message = next(messages)
        ids.add(message["id"])
        try:
            read(message, "default")
        except Rejected:
            faults += 1
    assert faults < sent * 0.01
    assert sent * 0.9 < len(ids) < sent
