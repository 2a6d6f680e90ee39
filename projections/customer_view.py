"""Who is this customer, all channels taken together?

One row per customer, holding only that customer's own facts. A merged customer's row points to the
one that stands for it; reading follows the links, so an unmerge needs no repair.
"""

from collections.abc import Collection, Mapping
from typing import Any

from domain.catalogue import AGREED, RETENTION, names
from domain.customer import (
    STAGES,
    ConsentGranted,
    ConsentWithdrawn,
    CustomerAbsorbed,
    CustomerLinked,
    CustomerMerged,
    CustomerRegistered,
    CustomerReleased,
    CustomerUnlinked,
    CustomerUnmerged,
    IdentifierAdded,
    IdentifierRemoved,
    ProfileChanged,
    PurchaseRecorded,
    SatisfactionRated,
    StageChanged,
    TierAssigned,
)
from domain.erasure import CustomerErased
from domain.events import Recorded
from domain.interaction import InteractionRecorded
from domain.personal import GROUPS, Redacted
from domain.rights import DataExpired
from projections.projection import Column, NotApplicable, Projection, Row, by_customer, closed

AMOUNT_MAX = 2**63 - 1
"""In minor units: more cannot be written down, and would hold up the rows of everybody else."""

customer_view = Projection(
    name="customer_view",
    version=1,
    question="Who is this customer, all channels taken together?",
    key=by_customer,
    columns={
        "kind": Column("text", "person"),
        "stage": Column("text", "stranger"),
        "tier": Column("text"),
        "merged_into": Column("uuid"),
        "registered_at": Column("timestamptz"),
        "registered_over": Column("text"),
        "identifiers": Column("jsonb", {}),
        "profile": Column("jsonb", {}),
        "consents": Column("jsonb", {}),
        "links": Column("jsonb", []),
        "interactions": Column("bigint", 0),
        "channels": Column("jsonb", {}),
        "last_contact_at": Column("timestamptz"),
        "purchases": Column("bigint", 0),
        "items": Column("bigint", 0),
        "revenue": Column("jsonb", {}),
        "last_purchase_at": Column("timestamptz"),
        "satisfaction": Column("jsonb", {}),
    },
    indexes=("tenant, merged_into", "tenant, stage"),
    ignores=names("lead.", "case.", *RETENTION, *AGREED) - {DataExpired.name},
)


@customer_view.on(CustomerRegistered)
def registered(row: Row, event: CustomerRegistered, recorded: Recorded[Any]) -> Row:
    return row | {
        "kind": event.kind,
        "stage": event.stage,
        "registered_at": recorded.time,
        "registered_over": event.channel,
    }


@customer_view.on(IdentifierAdded)
def identifier_added(row: Row, event: IdentifierAdded, recorded: Recorded[Any]) -> Row:
    added = {"kind": event.kind, "system": event.system, "value": closed(recorded, "contact")}
    return row | {"identifiers": {**row["identifiers"], str(event.number): added}}


@customer_view.on(IdentifierRemoved)
def identifier_removed(row: Row, event: IdentifierRemoved, _: Recorded[Any]) -> Row:
    kept = {n: held for n, held in row["identifiers"].items() if n != str(event.number)}
    return row | {"identifiers": kept}


@customer_view.on(ProfileChanged)
def profile_changed(row: Row, event: ProfileChanged, recorded: Recorded[Any]) -> Row:
    """Remember for each field the block that holds its value; one that was taken back has none."""
    told = {field for field in event.personal if getattr(event, field) is not None}
    kept = {field: block for field, block in row["profile"].items() if field not in told}
    closed_now = [field for field in told if isinstance(getattr(event, field), Redacted)]
    profile = {**kept, **dict.fromkeys(sorted(closed_now), closed(recorded, "identity"))}
    return row | {"profile": profile, "kind": event.kind or row["kind"]}


@customer_view.on(StageChanged)
def stage_changed(row: Row, event: StageChanged, _: Recorded[Any]) -> Row:
    return row | {"stage": event.stage}


@customer_view.on(TierAssigned)
def tier_assigned(row: Row, event: TierAssigned, _: Recorded[Any]) -> Row:
    return row | {"tier": event.tier}


@customer_view.on(ConsentGranted, ConsentWithdrawn)
def consent_changed(
    row: Row, event: ConsentGranted | ConsentWithdrawn, recorded: Recorded[Any]
) -> Row:
    consent = {
        "granted": isinstance(event, ConsentGranted),
        "text_version": event.text_version,
        "since": recorded.time.isoformat(),
    }
    stated = {f"{event.purpose}/{event.channel}": consent}
    return row | {"consents": newest(stated, row["consents"], "since")}


@customer_view.on(CustomerMerged)
def merged(row: Row, event: CustomerMerged, _: Recorded[Any]) -> Row:
    return row | {"merged_into": event.into}


@customer_view.on(CustomerUnmerged)
def unmerged(row: Row, _event: CustomerUnmerged, _: Recorded[Any]) -> Row:
    return row | {"merged_into": None}


@customer_view.on(CustomerAbsorbed, CustomerReleased)
def stands_for_another(row: Row, _event: object, _: Recorded[Any]) -> Row:
    """The link itself is kept by the merged customer; this row only tells that it changed."""
    return row


@customer_view.on(CustomerLinked)
def linked(row: Row, event: CustomerLinked, _: Recorded[Any]) -> Row:
    return row | {"links": [*row["links"], {"other": event.other, "relation": event.relation}]}


@customer_view.on(CustomerUnlinked)
def unlinked(row: Row, event: CustomerUnlinked, _: Recorded[Any]) -> Row:
    ended = {"other": event.other, "relation": event.relation}
    return row | {"links": [held for held in row["links"] if held != ended]}


@customer_view.on(CustomerErased)
def erased(row: Row, event: CustomerErased, _: Recorded[Any]) -> Row:
    """Keep what was known of the customer in kind, and nothing of what it was."""
    return forgotten(row, GROUPS, event.erasure)


@customer_view.on(DataExpired)
def expired(row: Row, event: DataExpired, _: Recorded[Any]) -> Row:
    """Keep nothing of the groups whose keys a schedule has destroyed."""
    return forgotten(row, event.groups, event.erasure)


def forgotten(row: Row, groups: Collection[str], erasure: str) -> Row:
    """Put the certificate of the erasure in place of what was known."""
    gone = {"redacted": "erased", "certificate": erasure}
    identifiers, profile = row["identifiers"], row["profile"]
    if "contact" in groups:
        identifiers = {n: {**held, "value": gone} for n, held in identifiers.items()}
    if "identity" in groups:
        profile = dict.fromkeys(profile, gone)
    return row | {"identifiers": identifiers, "profile": profile}


@customer_view.on(InteractionRecorded)
def interaction_recorded(row: Row, event: InteractionRecorded, recorded: Recorded[Any]) -> Row:
    channels = row["channels"]
    return row | {
        "interactions": row["interactions"] + 1,
        "channels": {**channels, event.channel: channels.get(event.channel, 0) + 1},
        "last_contact_at": latest(row["last_contact_at"], recorded.time),
    }


@customer_view.on(PurchaseRecorded)
def purchase_recorded(row: Row, event: PurchaseRecorded, recorded: Recorded[Any]) -> Row:
    currency, revenue = event.amount.currency, row["revenue"]
    total = revenue.get(currency, 0) + event.amount.amount
    if abs(total) > AMOUNT_MAX:
        raise NotApplicable(f"The revenue in {currency} is beyond what can be counted.")
    return row | {
        "purchases": row["purchases"] + 1,
        "items": row["items"] + event.quantity,
        "revenue": {**revenue, currency: total},
        "last_purchase_at": latest(row["last_purchase_at"], recorded.time),
        "last_contact_at": latest(row["last_contact_at"], recorded.time),
    }


@customer_view.on(SatisfactionRated)
def satisfaction_rated(row: Row, event: SatisfactionRated, recorded: Recorded[Any]) -> Row:
    rated = {event.scale: {"score": event.score, "at": recorded.time.isoformat()}}
    return row | {"satisfaction": newest(rated, row["satisfaction"], "at")}


def newest(told: Mapping[Any, Row], known: dict[str, Row], when: str) -> dict[str, Row]:
    """Take what was said last of each name, whatever came first; what is told wins a draw."""
    newer = {n: t for n, t in told.items() if n not in known or t[when] >= known[n][when]}
    return {**known, **newer}


def latest(known: Any, at: Any) -> Any:  # noqa: ANN401 - two instants, the first may be missing
    """Give the later of two instants; events may come late."""
    return at if known is None or at > known else known


# ---- Reading -------------------------------------------------------------------------------------

SAME_CUSTOMER = """
WITH RECURSIVE up AS (
    SELECT key, merged_into FROM read.customer_view WHERE tenant = %(tenant)s AND key = %(key)s
    UNION
    SELECT v.key, v.merged_into FROM read.customer_view v
    JOIN up ON v.tenant = %(tenant)s AND v.key = up.merged_into
), same AS (
    SELECT key FROM up WHERE merged_into IS NULL
    UNION
    SELECT v.key FROM read.customer_view v
    JOIN same ON v.tenant = %(tenant)s AND v.merged_into = same.key
)
SELECT v.* FROM read.customer_view v JOIN same USING (key)
WHERE v.tenant = %(tenant)s
ORDER BY v.merged_into IS NOT NULL, v.key
"""
"""Every row of the customer who stands for %(key)s, the one who stands for all of them first."""

MERGED = """
WITH RECURSIVE same AS (
    SELECT key AS root, key FROM unnest(%(keys)s::uuid[]) AS roots (key)
    UNION
    SELECT same.root, v.key FROM read.customer_view v
    JOIN same ON v.tenant = %(tenant)s AND v.merged_into = same.key
)
SELECT same.root, v.* FROM same JOIN read.customer_view v USING (key)
WHERE v.tenant = %(tenant)s AND v.key <> same.root
ORDER BY v.key
"""
"""The rows that are merged into each of %(keys)s."""

PAGE = """
SELECT * FROM read.customer_view
WHERE tenant = %(tenant)s AND merged_into IS NULL AND key > %(after)s
  AND (%(stage)s::text IS NULL OR stage = %(stage)s)
  AND (%(tier)s::text IS NULL OR tier = %(tier)s)
ORDER BY key LIMIT %(limit)s
"""


def combine(rows: list[Row]) -> Row:
    """Show several rows that are the same customer as one; the first stands for all."""
    first, *others = rows
    shown = first | {"merged": [row["key"] for row in others]}
    for row in others:
        shown |= {
            "identifiers": [*listed(shown["identifiers"]), *listed(row["identifiers"])],
            "stage": max(shown["stage"], row["stage"], key=STAGES.index),
            "tier": shown["tier"] or row["tier"],
            "profile": {**row["profile"], **shown["profile"]},
            "consents": newest(shown["consents"], row["consents"], "since"),
            "links": [*shown["links"], *row["links"]],
            "channels": added(shown["channels"], row["channels"]),
            "revenue": added(shown["revenue"], row["revenue"]),
            "interactions": shown["interactions"] + row["interactions"],
            "purchases": shown["purchases"] + row["purchases"],
            "items": shown["items"] + row["items"],
            "last_contact_at": later(shown, row, "last_contact_at"),
            "last_purchase_at": later(shown, row, "last_purchase_at"),
            "satisfaction": newest(shown["satisfaction"], row["satisfaction"], "at"),
            "position": max(shown["position"], row["position"]),
        }
    return shown | {"identifiers": listed(shown["identifiers"])}


def listed(identifiers: Any) -> list[Any]:  # noqa: ANN401 - numbered in a row, listed when shown
    """Drop the numbers of identifiers."""
    return list(identifiers.values()) if isinstance(identifiers, dict) else identifiers


def added(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    """Add up counts by their names."""
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


def later(one: Row, other: Row, column: str) -> Any:  # noqa: ANN401 - an instant or nothing
    """Give the later instant of two rows."""
    return other[column] if one[column] is None else latest(other[column], one[column])
