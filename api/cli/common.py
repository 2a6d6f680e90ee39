"""What all commands share: their options, what they open, and how they fail."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # everything that takes long to import is imported by who uses it
    from domain.values import Identifier
    from infra.runtime import Runtime
    from infra.settings import Settings

FAILED, USAGE, NOT_FOUND, UNREACHABLE = 1, 2, 3, 4
INTERRUPTED = 130


class Fault(Exception):
    """A command cannot do what it was asked: one sentence, and the exit code that tells why."""

    def __init__(self, exit_code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.exit_code, self.sentence = exit_code, sentence


def new(path: Path) -> Path:
    """Refuse a path where there is something already."""
    if path.exists():
        raise Fault(USAGE, f"{path} exists already.")
    return path


NewDirectory = Annotated[
    Path, typer.Option("--to", callback=new, help="A directory that does not exist yet.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Tenant = Annotated[
    str | None, typer.Option("--tenant", help="Whose data; CRM_TENANT by default.", metavar="NAME")
]
Limit = Annotated[int, typer.Option("--limit", min=1, help="Show at most so many.")]
AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of", metavar="INSTANT", help="As of this instant, e.g. 2025-10-12 or …T09:00Z."
    ),
]
Effective = Annotated[
    bool,
    typer.Option(
        "--effective/--recorded", help="As of: what had happened, or what was known (default)."
    ),
]


def settings(**chosen: object) -> "Settings":
    """Read the settings, but those chosen here; a wrong one is told by its name."""
    from pydantic import ValidationError

    from commands.words import said
    from infra.settings import Settings

    try:
        return Settings.model_validate({n: v for n, v in chosen.items() if v is not None})
    except ValidationError as error:
        fault = error.errors(include_input=False)[0]
        name = "CRM_" + "_".join(map(str, fault["loc"])).upper()
        raise Fault(USAGE, f"{name}: {said(fault)}.") from None


def log_from(level: str) -> None:
    """Let the log tell what is at or above a level."""
    import logging

    from infra import logs

    logs.configure(logging.getLevelNamesMapping()[level])


@contextmanager
def opened(
    level: str = "WARNING", *, erased: bool = True, **options: object
) -> Iterator["Runtime"]:
    """Open everything that a command needs; the log tells what is at or above the level.

    A database that does not know of every erasure is opened only where `erased` is false.
    """
    from infra.access import looking
    from infra.database import reach
    from infra.runtime import open_runtime
    from infra.seeing import seeing_held

    chosen = settings(**options)
    log_from(level)
    if chosen.database_url is not None:
        reach(chosen.database_url)
    with (
        open_runtime(chosen, erased=erased) as runtime,
        looking(operator(), chosen.purpose),
        seeing_held(sees=chosen.sees_held),
    ):
        yield runtime


def warn_of_unnumbered(runtime: "Runtime") -> None:
    """Say so when events wait for a position that nobody gives them: read models lack them all."""
    from infra.progress import progress

    now = progress(runtime.pool, {})
    if now.pending and not now.is_led:
        typer.echo(
            f"Events in no read model, as no sequencer gives them a position: {now.pending:,}."
            " Let `crm up` or `crm sequencer` run.",
            err=True,
        )


def instant(text: str | None) -> datetime | None:
    """Read an instant; a date alone is its first moment in UTC."""
    if text is None:
        return None
    try:
        if len(text) == len("2025-10-12"):
            return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Fault(
            USAGE, f"{text!r} is not an instant; write 2025-10-12 or 2025-10-12T09:00Z."
        ) from None
    if moment.tzinfo is None:
        raise Fault(USAGE, f"{text!r} has no time zone; write {text}Z for UTC.")
    return moment.astimezone(UTC)


def as_of(at: datetime | None, *, effective: bool, what: str) -> dict[str, datetime | None]:
    """Give the two instants of a question, named for the reader: `recorded_…`, `effective_…`."""
    chosen = "effective" if effective else "recorded"
    if effective and at is None:
        raise Fault(USAGE, "--effective needs --as-of.")
    return {f"{chosen}_{what}": at}


def identifier(named: str) -> "Identifier | None":
    """Read how a customer is named: an e-mail address, a telephone number, or `system:id`."""
    from domain.values import email, external_id, phone

    system, colon, id_ = named.partition(":")
    if colon and system and id_:
        return external_id(system, id_)
    if "@" in named:
        return email(named)
    digits = named.lstrip("+")
    return phone(named) if digits and set(digits) <= set("0123456789 ()./-") else None


def customer_id(runtime: "Runtime", tenant: str, named: str) -> str:
    """Find the id of a customer by its id or by any identifier."""
    if is_id(named):
        return named.lower()
    known = identifier(named)
    if known is None:
        raise Fault(
            USAGE,
            f"{named!r} names no customer; give an id, an e-mail address, a telephone number,"
            " or system:id.",
        )
    owner = runtime.store.owners(tenant, [known]).get(known)
    if owner is None:
        raise Fault(NOT_FOUND, f"No customer of tenant {tenant} is known as {named}.")
    return owner


def stream_of(tenant: str, kind: str, named: str) -> str:
    """Find the id of a lead or case by its id or by `system:id`."""
    from commands.command import ByExternalId, stream_id

    if is_id(named):
        return named.lower()
    system, colon, id_ = named.partition(":")
    if not (colon and system and id_):
        raise Fault(USAGE, f"{named!r} names no {kind}; give an id, or system:id.")
    return stream_id(tenant, kind, ByExternalId(system=system, id=id_))


def operator() -> str:
    """Name who works on the command line: the account, whatever LOGNAME or USER claim."""
    import os
    import pwd

    try:
        return f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:
        return f"cli:{os.getuid()}"


def is_id(text: str) -> bool:
    """Tell whether a text is one of our ids."""
    import re

    from domain.values import UUID_PATTERN

    return re.fullmatch(UUID_PATTERN.strip("^$"), text.lower()) is not None
