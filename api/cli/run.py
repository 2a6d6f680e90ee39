"""Commands that run: everything in one process, or one role alone, until told to stop."""

import signal
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.common import FAILED, NOT_FOUND, Fault, log_from, opened, settings

if TYPE_CHECKING:
    from infra.runtime import Runtime
    from infra.settings import Settings

Port = Annotated[int | None, typer.Option("--port", min=0, max=65_535, help="CRM_PORT by default.")]


def up(port: Port = None) -> None:
    """Run API, sequencer, followers and timers in one process."""
    from consumers.service import ROLES

    answer(port, ROLES)


def api(port: Port = None) -> None:
    """Run the API alone."""
    answer(port, ())


def sequencer() -> None:
    """Run the sequencer alone, and sign what it numbers; a second one stands by."""
    with opened("INFO") as runtime:
        loop(runtime, ["sequencer", "audit"])


def follow(
    name: Annotated[str | None, typer.Argument(help="Only this read model.")] = None,
) -> None:
    """Run the followers of all read models, or of one, alone."""
    with opened("INFO") as runtime:
        if name is not None and name not in runtime.tables:
            known = ", ".join(runtime.tables)
            raise Fault(NOT_FOUND, f"There is no read model {name}; there are: {known}.")
        tables = runtime.tables if name is None else runtime.tables.only(name)
        loop(replace(runtime, tables=tables), ["follow"])


def timers() -> None:
    """Run the timers alone: marks of clocks, outcomes of alerts; two fire nothing twice."""
    with opened("INFO") as runtime:
        loop(runtime, ["timers"])


def demo(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Play it without a server, check its numbers, end.")
    ] = False,
    reset: Annotated[bool, typer.Option("--reset", help="Begin anew.")] = False,
    customers: Annotated[int, typer.Option(min=1, help="How many there are.")] = 500,
    seed: Annotated[int, typer.Option(help="Another one makes another year.")] = 7,
    minutes: Annotated[float | None, typer.Option(min=0, help="End after so many.")] = None,
    port: Port = None,
    traffic: Annotated[
        bool, typer.Option("--traffic/--no-traffic", help="Go on with live traffic, or not.")
    ] = True,
) -> None:
    """Play a year of a company's customers, then go on live."""
    from api.demo.plan import APART, Plan

    log_from("WARNING")
    plan = Plan(seed=seed, customers=customers, minutes=minutes, traffic=traffic)
    if check:
        from api.demo.check import check_all

        if not check_all(plan):
            raise Fault(FAILED, "The demo does not come out as it must.")
        return
    from api.demo.home import Busy, OtherPlan
    from api.demo.run import run

    chosen = settings(port=port).model_copy(update=APART)
    try:
        with port_named(chosen):
            run(plan, chosen, reset=reset)
    except (Busy, OtherPlan) as no:
        raise Fault(FAILED, str(no)) from None


def answer(port: int | None, roles: Collection[str]) -> None:
    """Answer calls, with the loops of some roles beside."""
    from api.server import serve

    with opened("INFO", port=port) as runtime, port_named(runtime.settings):
        serve(runtime, roles)


def loop(runtime: "Runtime", roles: Collection[str]) -> None:
    """Run loops until a signal says stop."""
    from consumers.measured import served
    from consumers.service import running

    chosen = runtime.settings
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):  # before anything runs that has to be ended
        signal.signal(number, lambda *_: asked.set())
    with served(chosen.host, chosen.metrics_port), running(runtime, roles):
        asked.wait()


@contextmanager
def port_named(chosen: "Settings") -> Iterator[None]:
    """Say in a sentence that the port cannot be had."""
    import errno

    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL):
            raise
        if error.errno == errno.EADDRNOTAVAIL:
            sentence = f"{chosen.host} is no address of this machine; CRM_HOST names another."
            raise Fault(FAILED, sentence) from None
        sentence = f"Port {chosen.port} of {chosen.host} cannot be had: it is in use, or not"
        raise Fault(FAILED, f"{sentence} ours. --port or CRM_PORT names another.") from None


def need_kafka(runtime: "Runtime") -> None:
    """Refuse what makes no sense without Kafka."""
    if runtime.settings.kafka_bootstrap_servers is None:
        raise Fault(FAILED, "There is no Kafka; CRM_KAFKA_BOOTSTRAP_SERVERS tells where it is.")
