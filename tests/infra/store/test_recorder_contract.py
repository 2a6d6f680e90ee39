"""The `eventsourcing` library's own recorder tests, run against our recorders.

What is left out, and why, is told in README.md beside this file.
"""

import sys
from collections.abc import Iterator

import pytest
from eventsourcing import cryptography

from infra.database import Pool, pool
from infra.store.recorder import Recorder, SequencedRecorder

# The module of these tests imports the library's default cipher, which needs pycryptodome, for
# other tests than these. The library has the same class on top of `cryptography`, which we have.
sys.modules.setdefault("eventsourcing.cipher", cryptography)
from eventsourcing.tests import persistence as library  # noqa: E402 - see above


class OnOurDatabase:
    """Gives the library's test cases a fresh database of ours."""

    connections: Pool

    @pytest.fixture(autouse=True)
    def _connect(self, database_url: str) -> Iterator[None]:
        with pool(database_url) as self.connections:
            yield


class TestRecorder(OnOurDatabase, library.AggregateRecorderTestCase):
    def create_recorder(self) -> Recorder:
        return Recorder(self.connections, "library")


class TestSequencedRecorder(OnOurDatabase, library.ApplicationRecorderTestCase):
    def create_recorder(self) -> SequencedRecorder:
        return SequencedRecorder(self.connections, "library")

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestPositionsOfOneInsert(OnOurDatabase, library.NonInterleavingNotificationIDsBaseCase):
    def create_recorder(self) -> SequencedRecorder:
        return SequencedRecorder(self.connections, "library")
