"""The audit of one installation: its trees, its signing key, its witnesses."""

from collections.abc import Sequence
from pathlib import Path

import structlog

from infra.audit.proofs import BadProof
from infra.audit.signing import Signer
from infra.audit.stamping import Stamping, check_times, stamped
from infra.audit.tree import ACCESS, EVENTS, LOGS, StoredTree
from infra.audit.verify import Report, at, log_head, verify
from infra.audit.witness import FileWitness, HttpWitness, Witness, publish
from infra.database import Conn, Pool

log = structlog.get_logger()


class LogBehind(Exception):
    """The log ends before what was witnessed of it: it must not go on without anybody knowing."""


class Audit:
    """Signs what the logs have become, shows it to witnesses, and checks it again."""

    def __init__(self, pool: Pool, signing_key: Path, witness_file: Path) -> None:
        self._pool, self.signer = pool, Signer(signing_key)
        self.trees = {name: StoredTree(pool, name, self.signer) for name in (EVENTS, ACCESS)}
        self.file = FileWitness(witness_file)
        self.others: Sequence[Witness] = ()
        self.stamping: Stamping | None = None

    def add_witness(self, url: str, key: str) -> None:
        """Have somebody else remember our checkpoints, too."""
        self.others = (*self.others, HttpWitness(url, key))

    def checkpoint(self) -> bool:
        """Sign what is new and have it witnessed; tells whether there was anything new."""
        new = False
        for tree in self.trees.values():
            before = tree.head()
            head = tree.checkpoint()
            new = new or head != before
            for witness in (self.file, *self.others):
                try:
                    publish(tree, witness)
                except (BadProof, OSError, ValueError) as fault:
                    log.error(  # noqa: TRY400 - the place tells nothing
                        "audit.not_witnessed", tree=tree.name, witness=type(witness).__name__,
                        reason=str(fault),
                    )  # fmt: skip
        return new

    def stamp(self, *, now: bool = False) -> None:
        """Have the newest checkpoints time-stamped, if that is due.

        `now` does not wait for that. Raises `Rejected`.
        """
        if self.stamping is None:
            return
        for tree in self.trees.values():
            if now:
                self.stamping.stamp(tree)
            else:
                self.stamping.when_due(tree)

    def behind(self) -> dict[str, tuple[int, int]]:
        """Tell which logs end before what the witness has seen: at how many leaves, of how many."""
        # The witness is asked first: whatever it has seen is in a log that goes on meanwhile.
        seen = {name: self.file.size(self.signer.key(name)) for name in self.trees}
        with self._pool.connection() as conn:
            has = {name: log_head(conn, LOGS[name]) for name in self.trees}
        return {name: (has[name], seen[name]) for name in self.trees if has[name] < seen[name]}

    def check_whole(self) -> None:
        """Refuse a log that ends before what the witness has seen. Raises `LogBehind`."""
        for tree, (has, seen) in self.behind().items():
            raise LogBehind(
                f"The log of {tree} ends at {has:,}, and the witness has seen {seen:,}: the"
                " database was restored from a backup, or cut, or is a new one beside the witness"
                " of another. `crm privacy restore` lets it go on, if a second person approves."
            )

    def verify(self, tree: str = EVENTS, *, deep: bool = True) -> Report:
        """Check a log against what was signed and witnessed; reads one state of the database."""
        with self._pool.connection() as conn, conn.transaction():
            conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            return self.verify_on(conn, tree, deep=deep)

    def verify_on(self, conn: Conn, tree: str, *, deep: bool = True) -> Report:
        """Check a log as a connection sees it."""
        key = self.signer.key(tree)
        report = verify(conn, key, self.file.checkpoints(key), tree, deep=deep)
        found = stamped(conn, tree)
        if not self.stamping:
            return report._replace(stamps=len(found))
        times, wrong = check_times(self.stamping.authority, found)
        false = [at(0, f"The time stamp of the checkpoint of size {n}: {why}") for n, why in wrong]
        findings = sorted([*false, *report.findings])
        return report._replace(stamps=len(found), times=times, findings=findings)
