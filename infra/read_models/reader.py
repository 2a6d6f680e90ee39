"""Answers questions: runs the projections' queries and opens the personal data in the answers.

One method per question, all of one tenant, plain values in and out. HTTP and CLI ask the same.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import orjson
from psycopg.rows import dict_row

from domain.values import Identifier
from infra.database import Pool
from infra.keys.keyring import NOBODY
from infra.read_models.as_of import AsOf
from infra.read_models.change_feed import as_change, changes_of
from infra.read_models.opening import open_events, open_rows
from infra.read_models.rectified import hide_wrong
from infra.runtime import Runtime
from infra.seeing import seeing_held
from projections import churn_alerts, customer_history, customer_view, sales_pipeline, sla_clocks
from projections.catalogue import INNER
from projections.projection import Projection, Row

HIDDEN = INNER | {"tenant"}

LEAD = "SELECT * FROM read.sales_pipeline WHERE tenant = %(tenant)s AND key = %(key)s"
CASE = f"SELECT * FROM ({sla_clocks.CLOCKS}) AS clocks WHERE key = %(key)s"

# A token is the `seq` of a write's last event; that is committed before anybody can show it.
WRITTEN = """
SELECT l.position FROM crm.event e LEFT JOIN crm.log l USING (seq)
WHERE e.seq = %(seq)s AND e.tenant = %(tenant)s
"""


class UnknownToken(Exception):
    """A read asks to be as fresh as a write that this tenant never made."""


class Listing(NamedTuple):
    """One page of an answer; `next` is where the following page begins, None after the last."""

    items: list[Row]
    next: str | None


class Changes(NamedTuple):
    """One page of a change feed. `next` is always there: ask again with it, for ever."""

    items: list[Row]
    next: int
    caught_up: bool
    version: int
    """Of the read model: the place means nothing in another one."""


class Superseded(Exception):
    """The place in a feed is none of this log and the version that serves: it begins again."""

    def __init__(self, version: int, why: str = "The read model was built anew") -> None:
        super().__init__(f"{why}: begin again.")
        self.version = version


class Reader:
    """Asks the read models and the log."""

    def __init__(self, runtime: Runtime) -> None:
        self._pool, self._keyring, self._store = runtime.pool, runtime.keyring, runtime.store
        self._tables, self._log = runtime.tables, runtime.events

    # ---- Customers -------------------------------------------------------------------------------

    def customer(
        self,
        tenant: str,
        id_: str,
        *,
        recorded_at: datetime | None = None,
        effective_at: datetime | None = None,
    ) -> Row | None:
        """Give the customer who stands for this id, as of now or as of an instant."""
        if recorded_at is not None or effective_at is not None:
            found = AsOf(self._pool, tenant, recorded_at, effective_at).customer(id_)
        else:
            rows = self._rows(customer_view.SAME_CUSTOMER, tenant=tenant, key=id_)
            found = customer_view.combine(rows) if rows else None
        return self._shown(tenant, [found])[0] if found else None

    def customers(
        self,
        tenant: str,
        *,
        after: str = "",
        limit: int = 100,
        stage: str | None = None,
        tier: str | None = None,
    ) -> Listing:
        """List the customers, each with all that is merged into it."""
        serving = self._tables["customer_view"].version
        page = self._page(customer_view.PAGE, tenant, after, limit, stage=stage, tier=tier)
        keys = [row["key"] for row in page.items]
        groups: dict[str, list[Row]] = {row["key"]: [row] for row in page.items}
        for row in self._rows(customer_view.MERGED, tenant=tenant, keys=keys):
            groups[row.pop("root")].append(row)
        if self._tables["customer_view"].version != serving:  # switched between the two questions
            return self.customers(tenant, after=after, limit=limit, stage=stage, tier=tier)
        combined = [customer_view.combine(rows) for rows in groups.values()]
        return Listing(self._shown(tenant, combined), page.next)

    def customer_known_by(self, tenant: str, identifier: Identifier) -> Row | None:
        """Find the customer that an identifier leads to."""
        owner = self._store.owners(tenant, [identifier]).get(identifier)
        return self.customer(tenant, owner) if owner else None

    def history(
        self,
        tenant: str,
        id_: str,
        *,
        after: str = "",
        limit: int = 100,
        types: Sequence[str] = (),
        stream: str | None = None,
        recorded_before: datetime | None = None,
        effective_before: datetime | None = None,
    ) -> Listing | None:
        """Tell what happened to a customer, in order; None when there is no such customer.

        What was wrong and has been rectified is told only by a replay.
        """
        subjects = self.same_customer(tenant, id_)
        if not subjects:
            return None
        arguments = {
            "tenant": tenant, "subjects": subjects, "types": list(types), "stream": stream,
            "recorded_before": recorded_before, "effective_before": effective_before,
            "after": int(after or 0), "limit": limit + 1,
        }  # fmt: skip
        with self._pool.connection() as conn:
            events = conn.execute(customer_history.PAGE, arguments, binary=True).fetchall()
        told = open_events(self._keyring, tenant, (envelope for _, envelope in events[:limit]))
        hide_wrong(self._pool, tenant, subjects, told)
        positions = [position for position, _ in events[:limit]]
        items = [{"position": p} | event for p, event in zip(positions, told, strict=True)]
        return Listing(items, str(positions[-1]) if len(events) > limit else None)

    def same_customer(self, tenant: str, id_: str) -> list[str]:
        """Give the ids that are the same customer, the one who stands for all of them first.

        Ids alone: those of a restricted customer, too, so that whoever erases misses none.
        """
        with seeing_held():
            same = self._rows(customer_view.SAME_CUSTOMER, tenant=tenant, key=id_)
        if not same and self._store.subjects(tenant, [id_]).get(id_) == id_:
            return [id_]  # no read model knows it yet
        return [row["key"] for row in same]

    # ---- Leads, cases, alerts --------------------------------------------------------------------

    def lead(self, tenant: str, id_: str) -> Row | None:
        """Give one lead."""
        return self._one(LEAD, tenant=tenant, key=id_)

    def lead_as_of(self, tenant: str, id_: str, **instants: datetime | None) -> Row | None:
        """Give one lead as of an instant: `recorded_at`, `effective_at`, or both."""
        row = self._as_of(tenant, id_, sales_pipeline.sales_pipeline, instants)
        return self._shown(tenant, [row])[0] if row else None

    def leads(
        self,
        tenant: str,
        *,
        after: str = "",
        limit: int = 100,
        status: str | None = None,
        stage: str | None = None,
        owner: str | None = None,
        customer: str | None = None,
    ) -> Listing:
        """List leads; those of a customer with those of everybody merged with it."""
        filters = {"status": status, "stage": stage, "owner": owner}
        customers = None if customer is None else self.same_customer(tenant, customer)
        page = sales_pipeline.PAGE
        return self._listing(page, tenant, after, limit, customers=customers, **filters)

    def pipeline_summary(
        self,
        tenant: str,
        *,
        group_by: str = "stage",
        at: datetime | None = None,
        pipeline: str | None = None,
        decided_from: datetime | None = None,
        decided_to: datetime | None = None,
    ) -> list[Row]:
        """Add up the leads by one of their properties, or by the period of the decision."""
        return self._rows(
            sales_pipeline.summary(group_by),
            tenant=tenant,
            at=at or datetime.now(UTC),
            pipeline=pipeline,
            decided_from=decided_from,
            decided_to=decided_to,
        )

    def case(self, tenant: str, id_: str, at: datetime | None = None) -> Row | None:
        """Give one case with its clocks as they stand at an instant, or now."""
        now = at or datetime.now(UTC)
        rows = self._rows(CASE, tenant=tenant, key=id_, at=now)
        return self._case(tenant, rows, now)

    def case_as_of(self, tenant: str, id_: str, **instants: datetime | None) -> Row | None:
        """Give one case as of an instant, with its clocks as they stood then."""
        row = self._as_of(tenant, id_, sla_clocks.sla_clocks, instants)
        if row is None:
            return None
        at = max(instant for instant in instants.values() if instant is not None)
        rows = self._rows(sla_clocks.CLOCKS_OF, row=orjson.dumps(row).decode(), at=at)
        return self._case(tenant, rows, at)

    def cases(
        self,
        tenant: str,
        *,
        after: str = "",
        limit: int = 100,
        at: datetime | None = None,
        status: str | None = None,
        verdict: str | None = None,
        customer: str | None = None,
    ) -> Listing:
        """List cases with their clocks; `verdict` is of either clock.

        Those of a customer come with those of everybody merged with it.
        """
        filters = {"status": status, "verdict": verdict, "at": at or datetime.now(UTC)}
        customers = None if customer is None else self.same_customer(tenant, customer)
        page = sla_clocks.PAGE
        return self._listing(page, tenant, after, limit, customers=customers, **filters)

    def sla_summary(self, tenant: str, at: datetime | None = None) -> list[Row]:
        """Count the cases whose targets were met and missed, by priority."""
        return self._rows(sla_clocks.SUMMARY, tenant=tenant, at=at or datetime.now(UTC))

    def churn_alerts(
        self, tenant: str, *, after: str = "", limit: int = 100, at: datetime | None = None
    ) -> Listing:
        """List the customers who are silent for longer than is usual for them."""
        return self._listing(
            churn_alerts.PAGE, tenant, after, limit,
            at=at or datetime.now(UTC),
            contacts_min=churn_alerts.CONTACTS_MIN,
            factor=churn_alerts.SILENCE_FACTOR,
        )  # fmt: skip

    # ---- Freshness and changes -------------------------------------------------------------------

    def is_fresh(self, tenant: str, token: int, read_model: str | None) -> bool:
        """Tell whether a read is as fresh as a write. Raises `UnknownToken`.

        None as the read model stands for the log itself.
        """
        rows = self._rows(WRITTEN, tenant=tenant, seq=token)
        if not rows:
            raise UnknownToken
        position = rows[0]["position"]
        if position is None or read_model is None:
            return position is not None
        return self._tables[read_model].reached() >= int(position)

    def changes(
        self,
        tenant: str,
        read_model: str,
        after: int = 0,
        limit: int = 100,
        version: int | None = None,
    ) -> Changes:
        """Give the rows that changed after a position of the log, in the order of their changes.

        How far the read model has come is asked first: whatever changes from then on, or has not
        been given yet, has a position beyond `next`. A row that changes again moves forward and is
        given again; one that was removed says so. All is of one version, that which serves; raises
        `Superseded` when the place `after` is of another `version`, or of a log that has lost it.
        """
        table, head = self._tables[read_model], self._log.head()
        if version not in (None, table.version):
            raise Superseded(table.version)
        if after > head:  # waiting there would skip all that comes until then
            raise Superseded(table.version, "The log ends before this place: it was restored")
        upto = max(after, table.reached())
        asked = {"tenant": tenant, "after": after, "upto": upto, "limit": limit, **table.arguments}
        rows = self._rows(changes_of(table), **asked)
        items = self._shown(tenant, [as_change(table, row) for row in rows])
        if len(rows) >= limit:
            return Changes(items, items[-1]["position"], caught_up=False, version=table.version)
        return Changes(items, upto, caught_up=upto >= head, version=table.version)

    # ---- How it is asked -------------------------------------------------------------------------

    def _as_of(
        self,
        tenant: str,
        stream: str,
        projection: Projection,
        instants: Mapping[str, datetime | None],
    ) -> Row | None:
        subject = self._store.subjects(tenant, [stream]).get(stream)
        if subject is None:
            return None
        recorded_at, effective_at = instants.get("recorded_at"), instants.get("effective_at")
        then = AsOf(self._pool, tenant, recorded_at, effective_at)
        return then.of_stream(projection, subject, stream)

    def _rows(self, query: str, **arguments: object) -> list[Row]:
        with self._pool.connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, arguments).fetchall()

    def _one(self, query: str, tenant: str, **arguments: object) -> Row | None:
        rows = self._rows(query, tenant=tenant, **arguments)
        return self._shown(tenant, rows)[0] if rows else None

    def _case(self, tenant: str, rows: list[Row], at: datetime) -> Row | None:
        judged = [sla_clocks.as_of(row, at) for row in rows]
        return self._shown(tenant, judged)[0] if judged else None

    def _listing(
        self, query: str, tenant: str, after: str, limit: int, **arguments: object
    ) -> Listing:
        page = self._page(query, tenant, after, limit, **arguments)
        return Listing(self._shown(tenant, page.items), page.next)

    def _page(
        self, query: str, tenant: str, after: str, limit: int, **arguments: object
    ) -> Listing:
        """Ask for one row more than is wanted, which tells whether there is another page."""
        rows = self._rows(query, tenant=tenant, after=after or NOBODY, limit=limit + 1, **arguments)
        return Listing(rows[:limit], rows[limit - 1]["key"] if len(rows) > limit else None)

    def _shown(self, tenant: str, rows: Sequence[Row]) -> list[Row]:
        return [shown(row) for row in open_rows(self._keyring, tenant, rows)]


def customer_events(pool: Pool, tenant: str, subjects: Sequence[str]) -> list[tuple[int, bytes]]:
    """Give all events about some customers, sealed as they are, with their positions."""
    arguments = {
        "tenant": tenant, "subjects": list(subjects), "types": [], "stream": None,
        "recorded_before": None, "effective_before": None, "after": 0, "limit": None,
    }  # fmt: skip
    with pool.connection() as conn:
        return conn.execute(customer_history.PAGE, arguments, binary=True).fetchall()


def shown(row: Row) -> Row:
    """Show a row to the outside, its personal data being open: its key is called `id`."""
    return {"id": row.pop("key")} | {n: plain(v) for n, v in row.items() if n not in HIDDEN}


def plain(value: Any) -> Any:  # noqa: ANN401 - a value of any column
    """Give a number as a float where PostgreSQL counts in decimals."""
    return float(value) if isinstance(value, Decimal) else value
