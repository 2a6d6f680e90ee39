"""Carrying out what two people have agreed on."""

from infra.approvals import Approvals, Asked
from infra.keys.master_key import MasterKeys
from infra.keys.rotation import Rotation
from infra.privacy.corrections import correct
from infra.privacy.erasure import erase
from infra.privacy.holds import release
from infra.privacy.restore import restore
from infra.privacy.schedules import set_schedules
from infra.runtime import Runtime, refuse_restored


def carry_out(runtime: Runtime, asked: Asked) -> str:
    """Do what was approved; gives in a sentence what became of it. Raises `Rejected`."""
    match asked.kind:
        case "erasure":
            done = erase(runtime, asked.tenant, asked.id)
            if done.state == "held":
                return "A legal hold keeps the customer: the erasure waits for its end."
            return f"Erased; `crm privacy certificate {done.id}` prints the certificate."
        case "hold.release":
            erased = release(runtime, asked.tenant, asked.id)
            return f"The hold has ended; {len(erased)} erasures that waited for it are done."
        case "schedules":
            version = set_schedules(runtime, asked.tenant, asked.id)
            return f"Personal data is kept by version {version} of the schedules from now on."
        case "epoch.destroy":
            later = rotation_of(runtime).destroy(asked.tenant, asked.id)
            return f"The master key dies at {later}." if later else "The master key is destroyed."
        case "event.correct":
            events = correct(runtime, asked.tenant, asked.id)
            return f"Corrected by {', '.join(event.type for event in events) or 'no event'}."
        case "break-glass":
            return f"{asked.asked_by} may open it, once: `crm privacy open {asked.id} --to FILE`."
        case "log.restore":
            erased_again = restore(runtime, asked.tenant, asked.id)
            return f"The log goes on where it ends; {erased_again} customers were erased again."


def may_go_on(runtime: Runtime, asked: Asked | None) -> None:
    """Refuse anything but the restore itself on a database that a backup has brought back."""
    if asked is None or asked.kind != "log.restore":
        refuse_restored(runtime.settings, runtime.keys, runtime.ledger, runtime.audit)


def rotation_of(runtime: Runtime) -> Rotation:
    """Give what changes master keys."""
    masters: MasterKeys = runtime.keyring.masters
    approvals = Approvals(runtime.pool)
    return Rotation(runtime.keys, masters, approvals, runtime.settings.backup_days)
