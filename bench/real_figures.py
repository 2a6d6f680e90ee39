"""What the three real data sets must come out as, and the question to the read models for each.

The expected figures are published with the data, or follow from it without this program.
"""

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from psycopg.rows import dict_row

from domain.case import CaseAssigned
from domain.events import Recorded
from domain.interaction import InteractionRecorded
from domain.values import external_id
from infra.runtime import Runtime
from infra.store.envelope import decode
from projections import customer_history, sales_pipeline

Row = dict[str, Any]
HISTORY_PAGE = 1_000
TOTALS = ("leads", "open", "won", "lost", "won_amount")


class Figure(NamedTuple):
    """A figure, what it must be, and where the answer comes from."""

    data_set: str
    name: str
    expected: object
    source: str
    answer: Callable[["Books"], object]


class Books:
    """Asks the read models of one tenant."""

    def __init__(self, runtime: Runtime, tenant: str, data: Path) -> None:
        self.runtime, self.tenant, self.data = runtime, tenant, data

    def rows(self, query: str, **arguments: object) -> list[Row]:
        """Ask for rows."""
        with self.runtime.pool.connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, {"tenant": self.tenant, **arguments}).fetchall()

    def one(self, query: str, **arguments: object) -> Any:
        """Ask for one value."""
        ((value,),) = (row.values() for row in self.rows(query, **arguments))
        return value

    def sales(self, group: str, column: str, of: str) -> Any:
        """Ask the sales pipeline for a column of one group. A group has a row per currency."""
        found = [row[column] for row in self.summary(group) if row["group"] == of]
        if column in TOTALS:
            return sum(found)
        (value,) = {value for value in found if value is not None}
        return value

    def summary(self, group: str) -> list[Row]:
        """Ask the sales pipeline for its totals."""
        anything = dict.fromkeys(("pipeline", "decided_from", "decided_to"))
        return self.rows(sales_pipeline.summary(group), **anything, at="2018-01-01T00:00:00Z")

    def history(self, customer: str, types: list[str]) -> Iterator[Recorded[Any]]:
        """Ask for what happened to a customer."""
        asked = {"subjects": [customer], "types": types, "limit": HISTORY_PAGE, "stream": None}
        always = {"recorded_before": None, "effective_before": None}
        after = 0
        while page := self.rows(customer_history.PAGE, **asked, **always, after=after):
            for row in page:
                yield decode(bytes(row["envelope"]), row["position"])
            after = page[-1]["position"]

    @cached_property
    def told(self) -> list[Recorded[Any]]:
        """Ask for the activities and agents of all cases, in the order in which they were told."""
        types = [InteractionRecorded.name, CaseAssigned.name]
        query = "SELECT key FROM read.customer_view WHERE tenant = %(tenant)s"
        told = [each for row in self.rows(query) for each in self.history(row["key"], types)]
        return sorted(told, key=lambda recorded: recorded.position)

    def sequences(self) -> dict[str, tuple[str, ...]]:
        """Give the activities of each case in their order."""
        found: dict[str, tuple[str, ...]] = {}
        for recorded in self.told:
            if isinstance(recorded.event, InteractionRecorded):
                about = str(recorded.event.about)
                found[about] = (*found.get(about, ()), recorded.event.kind)
        return found

    def agents(self) -> set[str]:
        """Give everybody who was ever responsible for a case."""
        events = (recorded.event for recorded in self.told)
        return {event.agent for event in events if isinstance(event, CaseAssigned)}


CUSTOMERS = "SELECT count(*) FROM read.customer_view WHERE tenant = %(tenant)s"
TOTAL = "SELECT sum({})::bigint FROM read.customer_view WHERE tenant = %(tenant)s"
CASES = "SELECT count(*) FROM read.sla_clocks WHERE tenant = %(tenant)s"
WITHOUT_ACCOUNT = """
SELECT count(*) FROM read.sales_pipeline AS lead
JOIN read.customer_view AS who ON (who.tenant, who.key) = (lead.tenant, lead.customer)
WHERE lead.tenant = %(tenant)s AND lead.status = 'open' AND who.stage = 'stranger'
"""
ORGANISATIONS = CUSTOMERS + " AND kind = 'organisation'"
SAMPLE = TOTAL.format("purchases") + " AND key = ANY(%(keys)s::uuid[])"


def dollars(cents: int) -> str:
    """Write an amount down exactly."""
    return f"{cents // 100}.{cents % 100:02d}"


def sample_customers(books: Books) -> list[str]:
    """Find the customers of the published sample by their ids in the master file."""
    with (books.data / "cdnow/CDNOW_sample.txt").open() as file:
        known_as = {external_id("cdnow", line.split()[0]) for line in file}
    return list(books.runtime.store.owners(books.tenant, known_as).values())


def maven(name: str, expected: object, group: str, of: str, column: str, unit: int = 1) -> Figure:
    """Describe a figure of the sales pipeline; amounts are in cents, the expected in dollars."""

    def answer(books: Books) -> object:
        found = books.sales(group, column, of)
        return found // unit if unit > 1 and found % unit == 0 else found

    return Figure("maven", name, expected, f"sales_pipeline by {group}", answer)


MAVEN = (
    maven("opportunities", 8800, "source", "maven", "leads"),
    maven("won", 4238, "status", "won", "won"),
    maven("won, dollars", 10_005_534, "status", "won", "won_amount", 100),
    maven("lost", 2473, "status", "lost", "lost"),
    maven("open at Engaging", 1589, "stage", "Engaging", "open"),
    maven("open at Prospecting", 500, "stage", "Prospecting", "open"),
    maven("win rate, percent", 63.15, "source", "maven", "win_rate_percent"),
    maven("won, mean cycle in days", 51.78, "source", "maven", "won_mean_cycle_days"),
    maven("won, median cycle in days", 57.0, "source", "maven", "won_median_cycle_days"),
    maven("lost, mean cycle in days", 41.48, "source", "maven", "lost_mean_cycle_days"),
    maven("lost, median cycle in days", 14.0, "source", "maven", "lost_median_cycle_days"),
    maven("West, dollars", 3_568_647, "territory", "West", "won_amount", 100),
    maven("Central, dollars", 3_346_293, "territory", "Central", "won_amount", 100),
    maven("East, dollars", 3_090_594, "territory", "East", "won_amount", 100),
    maven("1st quarter of 2017, dollars", 1_134_672, "quarter", "2017-01-01", "won_amount", 100),
    maven("2nd quarter of 2017, dollars", 3_086_111, "quarter", "2017-04-01", "won_amount", 100),
    maven("3rd quarter of 2017, dollars", 2_982_255, "quarter", "2017-07-01", "won_amount", 100),
    maven("4th quarter of 2017, dollars", 2_802_496, "quarter", "2017-10-01", "won_amount", 100),
    Figure(
        "maven", "products", 7, "sales_pipeline by product",
        lambda books: len({row["group"] for row in books.summary("product")}),
    ),
    Figure(
        "maven", "agents", 30, "sales_pipeline by owner",
        lambda books: len({row["group"] for row in books.summary("owner")}),
    ),
    Figure(
        "maven", "accounts", 85, "customer_view",
        lambda books: books.one(ORGANISATIONS),
    ),
    Figure(
        "maven", "open without account", 1425, "sales_pipeline, customer_view",
        lambda books: books.one(WITHOUT_ACCOUNT),
    ),
)  # fmt: skip

HELPDESK = (
    Figure("helpdesk", "cases", 4580, "sla_clocks", lambda books: books.one(CASES)),
    Figure("helpdesk", "customers", 397, "customer_view", lambda books: books.one(CUSTOMERS)),
    Figure(
        "helpdesk", "events", 21_348, "customer_view",
        lambda books: books.one(TOTAL.format("interactions")),
    ),
    Figure("helpdesk", "agents", 22, "customer_history", lambda books: len(books.agents())),
    Figure(
        "helpdesk", "cases told of in the history", 4580, "customer_history",
        lambda books: len(books.sequences()),
    ),
    Figure(
        "helpdesk", "distinct activity sequences", 226, "customer_history",
        lambda books: len(set(books.sequences().values())),
    ),
    Figure(
        "helpdesk", "activities", 14, "customer_history",
        lambda books: len({kind for kinds in books.sequences().values() for kind in kinds}),
    ),
)  # fmt: skip

CDNOW = (
    Figure("cdnow", "customers", 23_570, "customer_view", lambda books: books.one(CUSTOMERS)),
    Figure(
        "cdnow", "purchases", 69_659, "customer_view",
        lambda books: books.one(TOTAL.format("purchases")),
    ),
    Figure(
        "cdnow", "purchases", 69_659, "churn_alerts",
        lambda books: books.one(TOTAL.format("purchases").replace("customer_view", "churn_alerts")),
    ),
    Figure(
        "cdnow", "dollars", "2500315.63", "customer_view",
        lambda books: dollars(books.one(TOTAL.format("(revenue ->> 'USD')::bigint"))),
    ),
    Figure(
        "cdnow", "CDs", 167_881, "customer_view",
        lambda books: books.one(TOTAL.format("items")),
    ),
    Figure(
        "cdnow", "customers of the 1/10 sample", 2357, "identifiers",
        lambda books: len(sample_customers(books)),
    ),
    Figure(
        "cdnow", "purchases of the 1/10 sample", 6919, "customer_view",
        lambda books: books.one(SAMPLE, keys=sample_customers(books)),
    ),
)  # fmt: skip

CDNOW_SAMPLE = (
    Figure("cdnow-sample", "customers", 2357, "customer_view", lambda books: books.one(CUSTOMERS)),
    Figure(
        "cdnow-sample", "purchases", 6919, "customer_view",
        lambda books: books.one(TOTAL.format("purchases")),
    ),
)  # fmt: skip
