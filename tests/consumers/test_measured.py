"""Followers count what they do, and a process without an API can show it."""

import socket
from collections.abc import Iterator
from urllib.request import urlopen

import pytest

from consumers import measured


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_counters_are_served_where_they_are_asked_for(port: int) -> None:
    measured.count("served_here", applied=5, parked=1, waiting=2)
    with measured.served("127.0.0.1", port), urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    told = {line for line in lines if 'projection="served_here"' in line and "_total" in line}
    name = "crm_projection_events_processed_total"
    assert told == {
        f'{name}{{outcome="applied",projection="served_here"}} 5.0',
        f'{name}{{outcome="parked",projection="served_here"}} 1.0',
        f'{name}{{outcome="waiting",projection="served_here"}} 2.0',
    }
    with pytest.raises(OSError, match="refused"):
        urlopen(f"http://127.0.0.1:{port}/metrics")


def test_nothing_is_served_unless_it_is_asked_for() -> None:
    with measured.served("127.0.0.1", None):
        pass
