"""Carrying out what two people have agreed on."""

from infra.approvals import Asked
from infra.erasure import erase
from infra.holds import release
from infra.keys import MasterKeys
from infra.rotation import Rotation
from infra.runtime import Runtime
from infra.schedules import set_schedules


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


def rotation_of(runtime: Runtime) -> Rotation:
    """Give what changes master keys."""
    masters: MasterKeys = runtime.keyring.masters
    return Rotation(runtime.pool, masters, runtime.settings.backup_days)
