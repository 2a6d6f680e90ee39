"""Everything a process needs, opened from its settings: embedded or production, the same code."""

import gc
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from commands.session import Ports
from domain.rejected import Rejected
from infra.access import AccessLog
from infra.audit.audit import Audit
from infra.audit.stamping import Stamping
from infra.database import Pool, migrate, pool, unsafe_settings
from infra.ids import uuid7
from infra.keys.keyring import Keyring
from infra.keys.masters import master_keys
from infra.privacy.erasure_ledger import ErasureLedger
from infra.read_models.versions import ServingTables
from infra.settings import Settings
from infra.store.event_store import PostgresEventStore
from infra.store.log import EmbeddedLog
from infra.store.refused import PostgresRefusedMessages
from infra.zones import use_pinned_zones
from projections.catalogue import ALL

log = structlog.get_logger()


class UnsafeDatabase(Exception):
    """The database is set up so that it could lose acknowledged events."""


class KeysLost(Exception):
    """Nothing of the personal data can be opened: this is not the key store of these events."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """What the parts of a process share."""

    settings: Settings
    pool: Pool
    keys: Pool
    """Of the database of the data keys: the same one, unless another is named."""
    keyring: Keyring
    store: PostgresEventStore
    events: EmbeddedLog
    tables: ServingTables
    refused: PostgresRefusedMessages
    ports: Ports
    audit: Audit
    ledger: ErasureLedger


@contextmanager
def open_runtime(settings: Settings, *, erased: bool = True) -> Iterator[Runtime]:
    """Start or reach the database, bring its schema up to date, and close all of it at the end.

    A database that does not know of every erasure, or has less of the log than was witnessed, is
    refused, unless `erased` says otherwise.
    """
    # Batches are made of many objects and no cycles: looking for some took a fifth of following.
    gc.set_threshold(50_000, 20, 20)
    use_pinned_zones()
    ledger = ErasureLedger(settings.erasure_ledger)
    with (
        database_url(settings) as url,
        pool(url) as connections,
        pool_of_keys(settings, connections) as keys,
        closing(
            Keyring(
                keys,
                master_keys(settings.master_keys, settings.key_file),
                AccessLog(connections),
            )
        ) as keyring,
    ):
        applied = prepare(connections, settings)
        made = prepare(keys, settings) if keys is not connections else applied
        if "0002_keys.sql" in made:
            keyring.masters.make(1)
        refuse_lost_keys(connections, keys)
        audit = audit_of(settings, connections)
        if erased:
            refuse_restored(settings, keys, ledger, audit)
            if settings.master_keys == "file":  # a service is asked when it is needed
                keyring.check()
        store = PostgresEventStore(connections, keyring)
        topic = f"{settings.kafka_prefix}.events" if settings.kafka_bootstrap_servers else None
        tables = ServingTables(connections, ALL, topic)
        tables.create()
        yield Runtime(
            settings=settings,
            pool=connections,
            keys=keys,
            keyring=keyring,
            store=store,
            events=EmbeddedLog(connections),
            tables=tables,
            refused=PostgresRefusedMessages(connections, keyring),
            ports=Ports(store, lambda: datetime.now(UTC), uuid7),
            audit=audit,
            ledger=ledger,
        )


def audit_of(settings: Settings, connections: Pool) -> Audit:
    """Give the audit of this installation, with the witnesses of its settings."""
    audit = Audit(connections, settings.audit_key_file, settings.witness)
    if settings.witness_url is not None and settings.witness_key is not None:
        audit.add_witness(settings.witness_url, settings.witness_key)
    audit.stamping = stamping_of(settings, connections)
    return audit


def stamping_of(settings: Settings, connections: Pool) -> Stamping | None:
    """Give what has checkpoints time-stamped, and checks that. Raises `Rejected`."""
    if settings.tsa_certificates is None:
        if settings.tsa_url is not None:
            sentence = "CRM_TSA_URL needs CRM_TSA_CERTIFICATES: whose time stamps are believed."
            raise Rejected("time_stamp.no_anchor", sentence)
        return None
    from infra.audit.time_stamp import TimeStampAuthority, anchors_in  # noqa: PLC0415 - few need it

    authority = TimeStampAuthority(settings.tsa_url, anchors_in(settings.tsa_certificates))
    return Stamping(connections, authority, settings.tsa_seconds)


@contextmanager
def database_url(settings: Settings) -> Iterator[str]:
    """Give the address of the database, starting the embedded one if there is no other."""
    if settings.database_url is not None:
        yield settings.database_url
        return
    from infra.embedded import EmbeddedPostgres  # noqa: PLC0415 - only who embeds it pays for it

    with EmbeddedPostgres(settings.directory) as server:
        yield server.url


@contextmanager
def pool_of_keys(settings: Settings, connections: Pool) -> Iterator[Pool]:
    """Give connections to the database of the keys."""
    if settings.keys_database_url is None:
        yield connections
        return
    with pool(settings.keys_database_url) as keys:
        yield keys


def prepare(connections: Pool, settings: Settings) -> list[str]:
    """Check a database and bring its schema up to date; that of the keys has all of it, too."""
    with connections.connection() as conn:
        refuse_unsafe(unsafe_settings(conn), settings)
        applied = migrate(conn)
    if applied:
        log.info("schema.migrated", scripts=applied)
    return applied


def refuse_lost_keys(connections: Pool, keys: Pool) -> None:
    """Refuse events without a single key: making new ones would hide that. Raises `KeysLost`."""
    with connections.connection() as conn:
        events = conn.execute("SELECT EXISTS (SELECT FROM crm.event)").fetchone()
    with keys.connection() as conn:
        known = conn.execute("SELECT EXISTS (SELECT FROM crm_keys.data_key)").fetchone()
    if events == (True,) and known == (False,):
        raise KeysLost(
            "There are events and not one key: the key store was lost, or CRM_KEYS_DATABASE_URL"
            " names another database than before."
        )


def refuse_restored(settings: Settings, keys: Pool, ledger: ErasureLedger, audit: Audit) -> None:
    """Refuse what a backup has brought back. Raises `ErasuresMissing`, `LogBehind`."""
    with keys.connection() as conn:
        ledger.check(conn)
    if not settings.allow_unsafe_database:  # which may lose something with every crash
        audit.check_whole()


def refuse_unsafe(faults: list[str], settings: Settings) -> None:
    """Refuse to start on a database that could lose what was acknowledged."""
    if faults and not settings.allow_unsafe_database:
        raise UnsafeDatabase(" ".join(faults) + " CRM_ALLOW_UNSAFE_DATABASE=true overrides this.")
    for fault in faults:
        log.warning("database.unsafe", fault=fault)
