"""How long a person waits: for the help of the command line, and for a demo that was played before.

There is nothing to compare with but patience: the control is the bound itself, in seconds.
"""

import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import URLError
from urllib.request import urlopen

from measure import RUNS, report

CRM = str(Path(sys.executable).with_name("crm"))
HELP_SECONDS, DEMO_SECONDS = 0.3, 3.0
PATIENCE_SECONDS = 60.0


def seconds_of_help() -> float:
    started = time.perf_counter()
    subprocess.run([CRM, "--help"], check=True, capture_output=True)
    return time.perf_counter() - started


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def seconds_to_first_answer(directory: Path) -> float:
    """Start the demo, and give the time until it has looked into its database and answered."""
    port = free_port()
    started = time.perf_counter()
    demo = subprocess.Popen(
        [CRM, "demo", "--port", str(port)],
        cwd=directory,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"CRM_DIRECTORY": str(directory)},
    )
    try:
        while time.perf_counter() - started < PATIENCE_SECONDS:
            if answers(port):
                return time.perf_counter() - started
            if demo.poll() is not None:
                raise AssertionError(f"The demo ended by itself with {demo.returncode}.")
            time.sleep(0.01)
        raise AssertionError("The demo does not answer.")
    finally:
        demo.terminate()
        demo.wait()


def answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def told(case: str, measure: Callable[[], float], bound: float) -> None:
    """Measure once without counting, then as often as asked."""
    measure()
    seconds = statistics.median(measure() for _ in range(RUNS))
    report("startup", case, seconds, bound, 1, RUNS, less=True)


def main() -> None:
    told("s until `crm --help` has ended", seconds_of_help, HELP_SECONDS)
    with TemporaryDirectory() as directory:
        path = Path(directory)
        path.chmod(0o755)  # the embedded server may run as another user
        # The first start, which `told` leaves out, plays the year.
        told(
            "s until a warm `crm demo` answers",
            lambda: seconds_to_first_answer(path),
            DEMO_SECONDS,
        )


if __name__ == "__main__":
    main()
