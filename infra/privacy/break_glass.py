"""Opening what a legal hold keeps closed: two people, one reason, once, within the hour."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from commands.ports import Who
from domain.rejected import Rejected
from infra.access import looking
from infra.approvals import Approvals, Asked
from infra.audit.export import write_lines
from infra.keys.keyring import Keyring
from infra.privacy.erasure import under_hold
from infra.privacy.requests import everybody
from infra.read_models.opening import open_events
from infra.read_models.reader import customer_events
from infra.runtime import Runtime
from infra.seeing import seeing_held


def ask_to_break(runtime: Runtime, who: Who, customer: str, reason: str) -> Asked:
    """Ask to open what a hold keeps closed; another person must approve it. Raises `Rejected`."""
    subjects = everybody(runtime, who.tenant, customer)
    if not under_hold(runtime, who.tenant, subjects):
        raise Rejected("hold.unknown", "There is no hold on this customer: nothing is closed.")
    what = {"customer": customer, "subjects": subjects, "reason": reason}
    return Approvals(runtime.pool).ask(who, "break-glass", what)


def open_held(runtime: Runtime, who: Who, id_: str, file: Path) -> int:
    """Write the events down, opened, for who has asked; gives how many. Raises `Rejected`."""
    approvals = Approvals(runtime.pool)
    asked = approvals.approved(who.tenant, id_, "break-glass")
    if asked.asked_by != who.authid:
        raise Rejected("request.other_person", f"Only {asked.asked_by} may open it, who asked.")
    if asked.expires_at < datetime.now(UTC):
        raise Rejected("request.expired", "The request is too old; ask again.")
    if not approvals.done(who.tenant, id_):
        raise Rejected("request.done", "It was opened already; ask again.")
    with seeing_held():
        sealed = customer_events(runtime.pool, who.tenant, asked.what["subjects"])
    with (
        looking(who.authid, f"break-glass {id_}: {asked.what['reason']}", exported=True),
        closing(all_keys(runtime)) as keyring,
    ):
        events = open_events(keyring, who.tenant, (envelope for _, envelope in sealed))
    file.touch(mode=0o600, exist_ok=False)
    write_lines(file, events)
    return len(events)


def all_keys(runtime: Runtime) -> Keyring:
    """Give a keyring that sees what is held, too; the looks are noted where all are."""
    keyring = runtime.keyring
    return Keyring(runtime.keys, keyring.masters, keyring.access, sees_held=True)
