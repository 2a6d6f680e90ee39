"""Runs the demo: plays the year if it was not played yet, then serves, with live traffic."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from secrets import token_hex

from api.demo.agreement import FILE, agree
from api.demo.generator import year
from api.demo.guide import banner, guide
from api.demo.home import Home, locked, write_env
from api.demo.plan import Plan
from api.demo.play import level, play
from api.demo.traffic import Traffic, happenings
from api.demo.world import END, YEAR
from api.output import print_line
from api.progress import showing
from api.server import listening, serving
from commands.ports import Who
from infra.database import connect, forget_everything
from infra.progress import Progress, progress
from infra.runtime import Runtime, database_url, open_runtime
from infra.settings import Settings

WHO = Who("default", "demo")
SECONDS_BETWEEN_LINES = 30.0


def run(plan: Plan, settings: Settings, *, reset: bool) -> None:
    """Run until a signal comes, or the minutes are over."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with locked(settings.directory), suppress(KeyboardInterrupt):
        listening(settings).close()  # a port that cannot be had is told before anything else
        with database_url(settings) as url:
            if reset:
                forget(url, settings)
            home = Home.of(plan, settings.directory)
            with open_runtime(settings) as runtime:
                go_on(plan, home, runtime)
    print_line("Stopped. The data is kept; the next start goes on with it.")


def forget(url: str, settings: Settings) -> None:
    """Begin anew; what remembers the old log would refuse the new one."""
    with connect(url) as conn:
        forget_everything(conn)
    mine = (settings.directory / name for name in ("demo.json", FILE))
    for path in (*mine, settings.witness, settings.erasure_ledger):
        path.unlink(missing_ok=True)


def go_on(plan: Plan, home: Home, runtime: Runtime) -> None:
    """Play the year, if that has not been done; then serve."""
    directory = runtime.settings.directory
    home.make_keys(runtime)
    home.keep(directory)
    if not home.is_played:
        play_all(plan, runtime)
        home.is_played = True
        home.keep(directory)
    agree(runtime)
    with serving(runtime) as address:
        level(runtime)
        env = write_env(home, directory, address)
        banner(runtime, home, address)
        guide(env)
        with traffic(plan, home, address) as sending:
            watch(runtime, sending, plan.minutes)


def play_all(plan: Plan, runtime: Runtime) -> None:
    """Play the year; what was played before an interruption is not taken in twice."""
    print_line(f"Playing a year of {plan.customers:,} customers …")
    began = time.perf_counter()
    done = 0
    with showing("the year") as show:
        for sent, _ in play(year(plan.seed, plan.customers), runtime, WHO):
            done += 1
            days = (sent.arrival - (END - YEAR)).days
            show(days, YEAR.days, done, time.perf_counter() - began)
    seconds = time.perf_counter() - began
    print_line(f"{done:,} messages in {seconds:.1f} s: {done / seconds:,.0f} a second")


@contextmanager
def traffic(plan: Plan, home: Home, address: str) -> Iterator[Traffic | None]:
    """Send live traffic while the block lasts, if there is to be any."""
    if not plan.traffic:
        yield None
        return
    messages = happenings(f"live-{token_hex(4)}", plan.customers)
    sending = Traffic(address, home.keys["publish"], messages)
    sending.start()
    try:
        yield sending
    finally:
        sending.stop()


def watch(runtime: Runtime, sending: Traffic | None, minutes: float | None) -> None:
    """Tell how it goes: one line that changes on a terminal, a line now and then elsewhere."""
    is_terminal = sys.stdout.isatty()
    pause = 1.0 if is_terminal else SECONDS_BETWEEN_LINES
    end = time.monotonic() + minutes * 60 if minutes is not None else float("inf")
    before, since = runtime.events.head(), time.monotonic()
    try:
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(pause, left))
            now, at = progress(runtime.pool, runtime.tables), time.monotonic()
            line = status(sending, now, (now.head - before) / (at - since))
            before, since = now.head, at
            sys.stdout.write(f"\r\x1b[2K{line}" if is_terminal else f"{line}\n")
            sys.stdout.flush()
    finally:
        if is_terminal:
            sys.stdout.write("\n")


def status(sending: Traffic | None, now: Progress, rate: float) -> str:
    """Tell in one line how it goes."""
    lag = max(each.lag_events for each in now.levels)
    line = f"{now.head:,} events, {rate:.1f} a second; read models "
    line += "level" if lag == 0 else f"behind by {lag:,}"
    if sending is None:
        return line
    told = ", ".join(f"{count:,} {verdict}" for verdict, count in sorted(sending.verdicts.items()))
    return f"{line}; sent: {told}"
