"""The pool of connections."""

from contextlib import ExitStack

import psycopg
import pytest

from infra.database import Pool, pool


def test_the_connection_that_came_back_last_is_lent_first(database_url: str) -> None:
    with pool(database_url, 3) as opened:
        with opened.connection() as last, opened.connection() as first:
            assert first is not last
        for _ in range(4):
            with opened.connection() as lent:
                assert lent is last


def lost_at_work(opened: Pool) -> None:
    with pytest.raises(psycopg.OperationalError), opened.connection() as conn:
        conn.execute("SELECT 1")


def test_whoever_finds_one_connection_lost_has_all_replaced(database_url: str) -> None:
    with pool(database_url, 4) as opened:
        with ExitStack() as all_of_them:
            lent = [all_of_them.enter_context(opened.connection()) for _ in range(4)]
        with psycopg.connect(database_url) as conn:
            for each in lent:
                conn.execute("SELECT pg_terminate_backend(%s, 5000)", [each.info.backend_pid])
        lost_at_work(opened)
        with ExitStack() as all_of_them:
            for _ in range(4):
                conn = all_of_them.enter_context(opened.connection())
                assert conn.execute("SELECT 1").fetchone() == (1,)
                assert conn not in lent
