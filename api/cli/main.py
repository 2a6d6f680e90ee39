"""The `crm` command: every command, and what its exit code means.

0: done. 1: a check failed or the request was refused. 2: wrong usage. 3: not found. 4: the database
or Kafka cannot be reached. What takes long to import is imported by the command that needs it.
"""

import sys
from collections.abc import Callable
from typing import NoReturn

import typer

from api.cli import (
    agreements,
    audit,
    compare,
    four_eyes,
    kafka,
    keys,
    look,
    parked,
    privacy,
    projections,
    refused,
    retention,
    rights,
    run,
    schedules,
    set_up,
    sla,
)
from api.cli.common import FAILED, UNREACHABLE, USAGE, Fault

app = typer.Typer(
    help="An event-sourced CRM back-end.",
    epilog="Settings are environment variables CRM_…; `crm doctor` lists them.",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS: dict[str, Callable[..., None]] = {
    "demo": run.demo,
    "up": run.up,
    "import": set_up.import_,
    "history": look.history,
    "doctor": set_up.doctor,
    "api": run.api,
    "sequencer": run.sequencer,
    "follow": run.follow,
    "timers": run.timers,
    "relay": kafka.relay,
    "inbound": kafka.inbound,
    "announce": kafka.announce,
}
GROUPS = {
    "show": look.show,
    "projections": projections.projections,
    "parked": parked.parked,
    "refused": refused.refused,
    "agreements": agreements.agreements,
    "sla": sla.sla,
    "credits": agreements.credits_,
    "pipelines": set_up.pipelines,
    "keys": keys.keys,
    "topics": kafka.topics,
    "retention": retention.retention,
    "audit": audit.audit,
    "privacy": privacy.privacy,
}
for name, command in rights.COMMANDS.items():
    privacy.privacy.command(name)(command)
privacy.privacy.add_typer(schedules.schedules, name="schedules")
for command in (compare.verify, compare.diff, compare.step):
    projections.projections.command()(command)
for name, asked in four_eyes.COMMANDS.items():
    privacy.privacy.command(name)(asked)
for name, command in COMMANDS.items():
    app.command(name)(command)
for name, group in GROUPS.items():
    app.add_typer(group, name=name)


def main() -> None:
    """Run a command; every fault that can be expected is one sentence on stderr."""
    try:
        app()
    except Fault as fault:
        end(fault.exit_code, fault.sentence)
    except Exception as error:
        exit_code, sentence = told(error)
        end(exit_code, sentence)


def end(exit_code: int, sentence: str) -> NoReturn:
    """Say why, and leave."""
    sys.stderr.write(f"crm: {sentence}\n")
    sys.exit(exit_code)


def told(error: Exception) -> tuple[int, str]:
    """Tell faults of what a command depends on from faults of ours, which keep their traceback."""
    from domain.rejected import Rejected
    from infra.audit.audit import LogBehind
    from infra.database import DATABASE_AWAY
    from infra.embedded import EmbeddedPostgresError
    from infra.keys.master_key import WrongKey
    from infra.keys.masters import LostEpoch, UnknownKeyService
    from infra.privacy.erasure_ledger import ErasuresMissing
    from infra.runtime import KeysLost, UnsafeDatabase

    match error:
        case Rejected():
            return FAILED, f"{error.sentence} ({error.code})"
        case OSError(filename=str() as path, strerror=str() as why):
            return FAILED, f"{path}: {why}."
        case UnsafeDatabase() | ErasuresMissing() | LogBehind() | PermissionError():
            return FAILED, str(error)
        case LostEpoch() | KeysLost() | WrongKey():
            return FAILED, str(error)
        case UnknownKeyService():
            return USAGE, str(error)
        case EmbeddedPostgresError():
            return UNREACHABLE, str(error)
        case _ if isinstance(error, DATABASE_AWAY):
            first, *_ = str(error).strip().splitlines() or [type(error).__name__]
            return UNREACHABLE, f"The database cannot be reached: {first}"
    if "kafka" in sys.modules:  # who never used Kafka does not load its client for that
        return told_by_kafka(error)
    raise error


def told_by_kafka(error: Exception) -> tuple[int, str]:
    """Tell what is wrong with Kafka or a topic."""
    from infra.kafka.topics import KAFKA_AWAY, WrongTopic

    match error:
        case WrongTopic():
            return FAILED, str(error)
        case _ if isinstance(error, KAFKA_AWAY):
            return UNREACHABLE, f"Kafka cannot be reached: {error}."
    raise error
