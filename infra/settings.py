"""Settings, read from the environment (`CRM_…`) once and frozen."""

from pathlib import Path
from typing import Annotated

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

INBOUND_DAYS = 7
"""How long the inbound topic keeps what channels produced, as they produced it."""


def address(url: str) -> str:
    """Refuse what is no address of a database, without repeating it: a password may be in it."""
    try:
        conninfo_to_dict(url)
    except ProgrammingError:
        raise ValueError("this is neither a URL nor key=value pairs") from None
    return url


DatabaseUrl = Annotated[str, AfterValidator(address)]
Port = Annotated[int, Field(ge=0, le=65_535)]
Count = Annotated[int, Field(ge=1)]


class Settings(BaseSettings):
    """How this process runs. Without any setting it uses an embedded PostgreSQL in `.crm/`."""

    model_config = SettingsConfigDict(
        env_prefix="CRM_", env_ignore_empty=True, frozen=True, extra="ignore"
    )

    directory: Path = Path(".crm")
    """Where the embedded database and the master key live."""
    database_url: DatabaseUrl | None = None
    """Any PostgreSQL of version 15 or newer; none means the embedded one."""
    keys_database_url: DatabaseUrl | None = None
    """The database of the data keys, with a backup of its own; none means beside the events."""
    master_key_file: Path | None = None
    """The master key of the personal data; `master.key` in the directory by default."""
    master_keys: str = "file"
    """Where master keys are kept: `file`, `vault:URL#MOUNT/PREFIX`, `aws-kms:REGION/PREFIX`."""
    erasure_ledger_file: Path | None = None
    """Where erasures are written down; `erasures.jsonl` beside the master key by default."""
    backup_days: Annotated[int, Field(ge=0)] = 30
    """How long a backup lives: so long after its retirement a master key is destroyed."""
    signing_key_file: Path | None = None
    """The key that signs checkpoints of the log; `audit.key` in the directory by default."""
    witness_file: Path | None = None
    """Where checkpoints are remembered; `witness.jsonl` in the directory by default."""
    witness_url: str | None = None
    """A witness that speaks C2SP tlog-witness."""
    witness_key: str | None = None
    """What checks the signatures of that witness: NAME+ID+BASE64."""
    tsa_url: str | None = None
    """A time-stamp authority (RFC 3161)."""
    tsa_certificates: Path | None = None
    """The certificates, in PEM, that its time stamps must come from."""
    tsa_seconds: float = 3600.0
    """How often it is asked for a time stamp, if there is anything new."""
    tenant: str = "default"
    """Whose data commands on the command line work on; over HTTP the key alone decides."""
    purpose: str = "not stated"
    """Why the command line looks at personal data; it is noted with every look."""
    sees_held: bool = False
    """Whether the command line works on restrictions and holds, and so sees what they keep."""
    kafka_bootstrap_servers: str | None = None
    """Any Kafka of version 4 or newer; none means that followers read the log from the database."""
    kafka_prefix: str = "crm"
    """What the names of our topics and groups begin with."""
    kafka_partitions: Count = 12
    """How many partitions the log has; it cannot be changed once events are in it."""
    kafka_replicas: Count = 3
    kafka_member: str | None = None
    """A name that this process keeps over restarts, so that a restart moves no partitions."""
    inbound_tenant: str = "default"
    """The tenant of the messages that channels produce to Kafka."""
    inbound_hours: float = Field(default=24.0, ge=0.0)
    """How long the inbound topic keeps messages that are taken in: they lie there in the clear."""
    host: str = "127.0.0.1"
    port: Port = 8080
    metrics_port: Port | None = None
    """Where a process without an API serves what its followers count; none means nowhere."""
    allow_unsafe_database: bool = False
    """Start although the database could lose acknowledged events."""
    read_wait_seconds: Annotated[float, Field(ge=0)] = 2.0
    """How long a read waits to become as fresh as it was asked to be."""

    @property
    def key_file(self) -> Path:
        """Give the place of the master key."""
        return self.master_key_file or self.directory / "master.key"

    @property
    def audit_key_file(self) -> Path:
        """Give the place of the key that signs checkpoints."""
        return self.signing_key_file or self.directory / "audit.key"

    @property
    def erasure_ledger(self) -> Path:
        """Give the place of the ledger of erasures."""
        return self.erasure_ledger_file or self.key_file.with_name("erasures.jsonl")

    @property
    def witness(self) -> Path:
        """Give the place of the file witness."""
        return self.witness_file or self.directory / "witness.jsonl"
