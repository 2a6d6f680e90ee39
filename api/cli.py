"""The `crm` command: every command, and what its exit code means.

0: done. 1: a check failed or the request was refused. 2: wrong usage. 3: not found. 4: the database
or Kafka cannot be reached. What takes long to import is imported by the command that needs it.
"""

import sys
from collections.abc import Callable
from typing import NoReturn

import typer

from api import (
    cli_agreements,
    cli_audit,
    cli_compare,
    cli_four_eyes,
    cli_kafka,
    cli_keys,
    cli_look,
    cli_parked,
    cli_privacy,
    cli_projections,
    cli_refused,
    cli_retention,
    cli_rights,
    cli_run,
    cli_schedules,
    cli_set_up,
    cli_sla,
)
from api.cli_common import FAILED, UNREACHABLE, USAGE, Fault

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
    "demo": cli_run.demo,
    "up": cli_run.up,
    "import": cli_set_up.import_,
    "history": cli_look.history,
    "doctor": cli_set_up.doctor,
    "api": cli_run.api,
    "sequencer": cli_run.sequencer,
    "follow": cli_run.follow,
    "timers": cli_run.timers,
    "relay": cli_kafka.relay,
    "inbound": cli_kafka.inbound,
    "announce": cli_kafka.announce,
}
GROUPS = {
    "show": cli_look.show,
    "projections": cli_projections.projections,
    "parked": cli_parked.parked,
    "refused": cli_refused.refused,
    "agreements": cli_agreements.agreements,
    "sla": cli_sla.sla,
    "credits": cli_agreements.credits_,
    "pipelines": cli_set_up.pipelines,
    "keys": cli_keys.keys,
    "topics": cli_kafka.topics,
    "retention": cli_retention.retention,
    "audit": cli_audit.audit,
    "privacy": cli_privacy.privacy,
}
for name, command in cli_rights.COMMANDS.items():
    cli_privacy.privacy.command(name)(command)
cli_privacy.privacy.add_typer(cli_schedules.schedules, name="schedules")
for command in (cli_compare.verify, cli_compare.diff, cli_compare.step):
    cli_projections.projections.command()(command)
for name, asked in cli_four_eyes.COMMANDS.items():
    cli_privacy.privacy.command(name)(asked)
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
    from infra.audit import LogBehind
    from infra.database import DATABASE_AWAY
    from infra.embedded import EmbeddedPostgresError
    from infra.erasure_ledger import ErasuresMissing
    from infra.keys import WrongKey
    from infra.master_keys import LostEpoch, UnknownKeyService
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
    from infra.topics import KAFKA_AWAY, WrongTopic

    match error:
        case WrongTopic():
            return FAILED, str(error)
        case _ if isinstance(error, KAFKA_AWAY):
            return UNREACHABLE, f"Kafka cannot be reached: {error}."
    raise error
