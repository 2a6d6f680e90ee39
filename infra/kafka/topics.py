"""The topics of the log: how they must be set up, and whether they hold what the store holds."""

from collections.abc import Iterable
from typing import NamedTuple

from kafka.admin import ConfigResource, KafkaAdminClient, NewTopic
from kafka.errors import RetriableError

from infra.settings import INBOUND_DAYS

KAFKA_AWAY = (RetriableError,)
"""What is raised while no broker can be reached; trying again may help."""

REACH_SECONDS = 10.0
"""How long a process that starts, or a command, tries to reach a broker."""

BACK_SOON = {"reconnect_backoff_max_ms": 1_000}
"""What every client is told: a broker that was away is found within a second, not half a minute."""

PATIENT = {**BACK_SOON, "delivery_timeout_ms": 2**31 - 1}
"""What every producer is told: a record waits for its broker as long as that takes.

By default the client gives up after two minutes, and sends nothing ever again: it drops the number
under which it is known to the broker, and asks for another one only when it has just begun.
"""

DAY = 86_400_000
COMPACTED = {"cleanup.policy": "compact", "delete.retention.ms": "604800000"}
FOREVER = {"retention.ms": "-1", "retention.bytes": "-1", "cleanup.policy": "delete"}


class TopicNames(NamedTuple):
    """The names of our topics on a cluster; several systems can share one by their prefixes."""

    prefix: str = "crm"

    @property
    def events(self) -> str:
        """The log: every event, keyed by customer, for ever."""
        return f"{self.prefix}.events"

    @property
    def inbound(self) -> str:
        """Where channels produce CloudEvents."""
        return f"{self.prefix}.inbound"

    @property
    def refused(self) -> str:
        """Dead letters: which message was not kept and why, in headers; not what it said."""
        return f"{self.prefix}.inbound.refused"

    def read_model(self, table: str) -> str:
        """A read model's rows, compacted: key = entity, no value = gone."""
        return f"{self.prefix}.read.{table}"


class TopicSettings(NamedTuple):
    """How a topic must be set up."""

    name: str
    partitions: int
    config: dict[str, str]


class TopicChange(NamedTuple):
    """What has to be done to a topic: `create`, `configure` or nothing."""

    name: str
    action: str
    details: str


class WrongTopic(Exception):
    """A topic is set up in a way that cannot be mended in place."""


def wanted(
    names: TopicNames, partitions: int, replicas: int, read_models: Iterable[str] = ()
) -> list[TopicSettings]:
    """Give the topics that the system needs."""
    durable = {"min.insync.replicas": str(max(1, replicas - 1))}
    # What is deleted when goes by the broker's clock, whatever time a producer claims.
    inbound = {**durable, "retention.ms": str(INBOUND_DAYS * DAY), "segment.ms": str(DAY),
               "message.timestamp.type": "LogAppendTime"}  # fmt: skip
    log = {**FOREVER, **durable, "max.message.bytes": "12000000"}
    return [
        TopicSettings(names.events, partitions, log),
        TopicSettings(names.inbound, partitions, {**inbound, "max.message.bytes": "12000000"}),
        TopicSettings(names.refused, partitions, log),
        *(
            TopicSettings(names.read_model(table), partitions, {**COMPACTED, **durable})
            for table in read_models
        ),
    ]


class Topics:
    """Looks at the topics of a cluster and sets them up."""

    def __init__(self, bootstrap: str) -> None:
        self._admin = KafkaAdminClient(
            bootstrap_servers=bootstrap,
            bootstrap_timeout_ms=int(REACH_SECONDS * 1000),
            client_id="crm-topics",
        )

    def close(self) -> None:
        """Leave the cluster."""
        self._admin.close()

    def partitions(self, name: str) -> int | None:
        """Give the number of partitions of a topic, None when there is no such topic."""
        (topic,) = self._admin.describe_topics([name])
        return len(topic["partitions"]) or None

    def unsafe(self, name: str, replicas: int) -> list[str]:
        """Tell in sentences how a topic could lose what was acknowledged."""
        (topic,) = self._admin.describe_topics([name])
        has = min((len(each["replica_nodes"]) for each in topic["partitions"]), default=0)
        insync = int(self._config(name)["min.insync.replicas"])
        faults = []
        if has < replicas:
            faults.append(f"The topic {name} has {has} replicas, not {replicas}.")
        if insync < replicas - 1:
            faults.append(f"The topic {name} has min.insync.replicas={insync}, not {replicas - 1}.")
        return faults

    def apply(
        self, topics: list[TopicSettings], replicas: int, *, dry_run: bool = False
    ) -> list[TopicChange]:
        """Create what is missing and mend what can be mended; raises `WrongTopic` before that."""
        changes = [self._needed(topic) for topic in topics]
        if not dry_run:
            planned = [*zip(topics, changes, strict=True)]
            self._create([topic for topic, to_do in planned if to_do.action == "create"], replicas)
            self._configure([topic for topic, to_do in planned if to_do.action == "configure"])
        return changes

    def _needed(self, topic: TopicSettings) -> TopicChange:
        partitions = self.partitions(topic.name)
        if partitions is None:
            return TopicChange(topic.name, "create", f"{topic.partitions} partitions")
        if partitions != topic.partitions:
            raise WrongTopic(
                f"The topic {topic.name} has {partitions} partitions, not {topic.partitions}: "
                "changing that would split customers over two partitions. Use a new topic."
            )
        has = self._config(topic.name)
        differing = {
            key: has.get(key) for key, value in topic.config.items() if has.get(key) != value
        }
        if not differing:
            return TopicChange(topic.name, "none", "as it should be")
        told = ", ".join(f"{key} {old} → {topic.config[key]}" for key, old in differing.items())
        return TopicChange(topic.name, "configure", told)

    def _create(self, topics: list[TopicSettings], replicas: int) -> None:
        if topics:
            self._admin.create_topics(
                [NewTopic(t.name, t.partitions, replicas, topic_configs=t.config) for t in topics]
            )
            self._admin.wait_for_topics([topic.name for topic in topics])

    def _configure(self, topics: list[TopicSettings]) -> None:
        if topics:
            resources = [ConfigResource("topic", each.name, each.config) for each in topics]
            self._admin.alter_configs(resources)

    def _config(self, name: str) -> dict[str, str]:
        resource = ConfigResource("topic", name)
        described = self._admin.describe_configs([resource], config_filter="all")["topic"][name]
        return {key: str(setting["value"]) for key, setting in described.items()}
