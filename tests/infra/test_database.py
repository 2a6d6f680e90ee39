"""The pool of connections."""

from infra.database import pool


def test_the_connection_that_came_back_last_is_lent_first(database_url: str) -> None:
    with pool(database_url, 3) as opened:
        with opened.connection() as last, opened.connection() as first:
            assert first is not last
        for _ in range(4):
            with opened.connection() as lent:
                assert lent is last
