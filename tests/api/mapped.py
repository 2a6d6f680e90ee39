"""Rows and the events that a mapping makes of them, for the tests of mappings."""

from contextlib import closing

from api.files.mapper import Mapper
from api.files.mapping import parse

PAID = 'paid = { from = "{paid}", as = "money", currency = "USD" }'


def purchase(top: str = "", fields: str = PAID, event: str = "", rest: str = "") -> str:
    return f"""
        source = "test"
        {top}
        [fields]
        {fields}
        [[events]]
        type = "customer.purchase_recorded.v1"
        {event}
        data.customer = {{ system = "test", id = "{{who}}" }}
        data.amount = "{{paid}}"
        {rest}
    """


def events_of(text: str, columns: str, *rows: str) -> list[list[dict]]:
    with closing(Mapper(parse(text), columns.split("|"), {})) as mapper:
        return [mapper.messages(row.split("|")) for row in rows]
