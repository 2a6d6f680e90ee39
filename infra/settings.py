"""Settings, read from the environment (`CRM_…`) once and frozen."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """How this process runs. Without any setting it uses an embedded PostgreSQL in `.crm/`."""

    model_config = SettingsConfigDict(env_prefix="CRM_", frozen=True, extra="ignore")

    directory: Path = Path(".crm")
    """Where the embedded database and the master key live."""
    database_url: str | None = None
    """Any PostgreSQL of version 15 or newer; none means the embedded one."""
    master_key_file: Path | None = None
    """The master key of the personal data; `master.key` in the directory by default."""
    tenant: str = "default"
    """Whose data commands on the command line work on; over HTTP the key alone decides."""
    host: str = "127.0.0.1"
    port: int = 8080
    allow_unsafe_database: bool = False
    """Start although the database could lose acknowledged events."""
    read_wait_seconds: float = 2.0
    """How long a read waits to become as fresh as it was asked to be."""

    @property
    def key_file(self) -> Path:
        """Give the place of the master key."""
        return self.master_key_file or self.directory / "master.key"
