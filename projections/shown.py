"""Which rows may be shown: none of a customer whose data is restricted, but to the hold role.

Rows that profile are shown to nobody either while the customer objects to that. This is said once,
as a condition on a table `t`; the views that queries read carry it, so no query can forget it.
"""

from projections.projection import Projection

SETTING = "crm.sees_held"
"""What a transaction of the hold role sets to `on`."""

RESTRICTED = f"r.grounds <> '{{}}' AND current_setting('{SETTING}', true) IS DISTINCT FROM 'on'"
OBJECTED = "'profiling' = ANY(r.objections)"


def shown(subject: str, *, profiles: bool = False) -> str:
    """Give the condition; `subject` is the column that tells whom a row is about."""
    hidden = f"({RESTRICTED} OR {OBJECTED})" if profiles else RESTRICTED
    return (
        "NOT EXISTS (SELECT FROM crm.rights r"
        f" WHERE r.tenant = t.tenant AND r.subject = t.{subject} AND {hidden})"
    )


def shown_rows(projection: Projection) -> str:
    """Give the condition for the rows of a projection; those about nobody are shown to all."""
    subject = projection.subject
    return shown(subject, profiles=projection.profiles) if subject else "true"
