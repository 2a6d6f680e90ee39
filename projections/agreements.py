"""What was agreed with whom, in which versions, and when is it to be looked at again?"""

from datetime import datetime, timedelta
from typing import Any

from domain.agreement import (
    AgreementDefined,
    AgreementRetired,
    AgreementReviewed,
    AgreementRevised,
    Promise,
)
from domain.catalogue import RETENTION, names
from domain.events import Recorded
from projections.projection import Column, Projection, Row, by_stream

agreements = Projection(
    name="agreements",
    version=1,
    question="What was agreed with whom, in which versions, and when is it to be reviewed?",
    key=by_stream,
    columns={
        "title": Column("text"),
        "rank": Column("int"),
        "versions": Column("jsonb", []),
        "retired_from": Column("timestamptz"),
        "reviewed_at": Column("timestamptz"),
        "review_outcome": Column("text"),
        "review_due": Column("timestamptz"),
    },
    indexes=("tenant, review_due",),
    ignores=names("customer.", "lead.", "case.", "interaction.", "credit.", *RETENTION),
)


@agreements.on(AgreementDefined)
def defined(row: Row, event: AgreementDefined, _: Recorded[Any]) -> Row:
    return versioned(row, event.promise, event.applies_from, "defined") | {
        "review_due": due(event.promise, event.applies_from),
    }


@agreements.on(AgreementRevised)
def revised(row: Row, event: AgreementRevised, _: Recorded[Any]) -> Row:
    last = row["reviewed_at"] or row["versions"][0]["applies_from"]
    return versioned(row, event.promise, event.applies_from, event.reason) | {
        "review_due": due(event.promise, instant(last)),
    }


@agreements.on(AgreementRetired)
def retired(row: Row, event: AgreementRetired, _: Recorded[Any]) -> Row:
    return row | {"retired_from": event.applies_from, "review_due": None}


@agreements.on(AgreementReviewed)
def reviewed(row: Row, event: AgreementReviewed, recorded: Recorded[Any]) -> Row:
    promise = Promise.model_validate(row["versions"][-1]["promise"])
    return row | {
        "reviewed_at": recorded.time,
        "review_outcome": event.outcome,
        "review_due": due(promise, recorded.time),
    }


def versioned(row: Row, promise: Promise, applies_from: datetime, reason: str) -> Row:
    version = {
        "number": len(row["versions"]) + 1,
        "applies_from": applies_from.isoformat(),
        "reason": reason,
        "promise": promise.model_dump(mode="json"),
    }
    versions = [*row["versions"], version]
    return row | {"title": promise.title, "rank": promise.rank, "versions": versions}


def due(promise: Promise, last: datetime) -> datetime:
    return last + timedelta(days=promise.review_every_days)


def instant(at: str | datetime) -> datetime:
    return datetime.fromisoformat(at) if isinstance(at, str) else at


# ---- Reading -------------------------------------------------------------------------------------

ONE = "SELECT * FROM read.agreements WHERE tenant = %(tenant)s AND key = %(key)s"

ALL = "SELECT * FROM read.agreements WHERE tenant = %(tenant)s ORDER BY rank, title, key"
