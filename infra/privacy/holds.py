"""Legal holds: while there is one, nothing of the customer is destroyed.

An erasure that is asked for meanwhile is accepted and waits: the keys are kept from everybody but
those who work on holds. Releasing the last hold carries it out.
"""

from commands.ports import Who
from domain.rejected import Rejected
from infra.approvals import Approvals, Asked
from infra.privacy.erasure import Erasure, erase, under_hold
from infra.privacy.requests import everybody
from infra.privacy.rights import ask_of_all, legal_hold
from infra.runtime import Runtime

PUT = """
INSERT INTO crm.hold (tenant, subject, reason, set_by) SELECT %s, unnest(%s::uuid[]), %s, %s
ON CONFLICT DO NOTHING
"""
LIFT = "DELETE FROM crm.hold WHERE tenant = %s AND subject = ANY(%s::uuid[])"
WAITING = """
SELECT id, subjects FROM crm.erasure
WHERE tenant = %s AND state = 'held' AND subjects && %s::uuid[]
"""


def put(runtime: Runtime, who: Who, customer: str, reason: str) -> list[str]:
    """Put a customer, and all who are merged into it, under a hold. Raises `Rejected`."""
    subjects = everybody(runtime, who.tenant, customer)
    with runtime.pool.connection() as conn:
        conn.execute(PUT, [who.tenant, subjects, reason, who.authid])
    return subjects


def ask_release(runtime: Runtime, who: Who, customer: str, reason: str) -> Asked:
    """Ask that a hold be ended; another person must approve it. Raises `Rejected`."""
    subjects = under_hold(runtime, who.tenant, everybody(runtime, who.tenant, customer))
    if not subjects:
        raise Rejected("hold.unknown", "There is no hold on this customer.")
    what = {"customer": customer, "subjects": subjects, "reason": reason}
    return Approvals(runtime.pool).ask(who, "hold.release", what)


def release(runtime: Runtime, tenant: str, id_: str) -> list[Erasure]:
    """End a hold as approved; carries out the erasures that waited for it. Raises `Rejected`."""
    asked = Approvals(runtime.pool).approved(tenant, id_, "hold.release")
    subjects = list(asked.what["subjects"])
    with runtime.pool.connection() as conn:
        conn.execute(LIFT, [tenant, subjects])
        waiting = conn.execute(WAITING, [tenant, subjects]).fetchall()
    Approvals(runtime.pool).done(tenant, id_)
    ready = [each for each in waiting if not under_hold(runtime, tenant, each[1])]
    erased = [erase(runtime, tenant, erasure) for erasure, _ in ready]
    for erasure, about in ready:
        who = Who(tenant, f"erasure:{erasure}")
        ask_of_all(runtime, who, about, legal_hold(restricts=False))
    return erased
