"""Counting how often something occurred in a file, in little memory whatever the file's size."""

import sqlite3
from hashlib import blake2b

CACHE_KIB = 16_384


class Occurrences:
    """Counts by digest. Beyond its cache it goes to a temporary file, which nobody else sees."""

    def __init__(self) -> None:
        self._counts = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._counts.execute("PRAGMA journal_mode = OFF")
        self._counts.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self._counts.execute("BEGIN")
        self._counts.execute("CREATE TABLE seen (key BLOB PRIMARY KEY, n INT) WITHOUT ROWID")

    def count(self, key: bytes) -> int:
        """Tell which occurrence this is: 1 for the first."""
        query = "INSERT INTO seen VALUES (?, 1) ON CONFLICT DO UPDATE SET n = n + 1 RETURNING n"
        ((n,),) = self._counts.execute(query, [key])
        return int(n)

    def close(self) -> None:
        """Forget everything."""
        self._counts.close()


def digest(secret: bytes, *parts: str) -> bytes:
    """Give what stands for some texts; where one ends and the next begins makes a difference.

    Whoever does not know the secret cannot find out by guessing what the texts were.
    """
    joined = "".join(f"{len(part)}:{part}" for part in parts)
    named = joined.encode("utf-8", "surrogatepass")
    return blake2b(named, digest_size=16, key=secret, person=b"import").digest()
