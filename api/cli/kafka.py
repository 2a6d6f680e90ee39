"""Commands about Kafka: the roles that work on it, its topics, and whether they are complete."""

from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.common import FAILED, Fault, Json, opened
from api.cli.run import loop, need_kafka

if TYPE_CHECKING:
    from infra.runtime import Runtime

topics = typer.Typer(help="Set up the topics on Kafka, compare them.", no_args_is_help=True)


def relay(
    from_: Annotated[
        int | None,
        typer.Option("--from", min=0, max=0, help="0: fill the topic again from the beginning."),
    ] = None,
) -> None:
    """Run the relay to Kafka alone; a second one stands by."""
    with opened("INFO") as runtime:
        need_kafka(runtime)
        if from_ is not None:
            begin_again(runtime)
        loop(runtime, ["relay"])


def inbound() -> None:
    """Run the consumer of inbound Kafka messages alone."""
    with opened("INFO") as runtime:
        need_kafka(runtime)
        loop(runtime, ["inbound"])


def announce() -> None:
    """Run the announcers of the read models' compacted topics alone."""
    with opened("INFO") as runtime:
        need_kafka(runtime)
        loop(runtime, ["announce"])


@topics.command()
def apply(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    json: Json = False,
) -> None:
    """Create the topics that are missing and mend their settings; doing it twice is nothing."""
    from api.output import print_json, print_table
    from infra.kafka.topics import TopicNames, Topics, WrongTopic, wanted

    with opened() as runtime:
        need_kafka(runtime)
        chosen = runtime.settings
        models = list(runtime.tables)
        names = TopicNames(chosen.kafka_prefix)
        cluster = Topics(str(chosen.kafka_bootstrap_servers))
        try:
            settings = wanted(names, chosen.kafka_partitions, chosen.kafka_replicas, models)
            changes = cluster.apply(settings, chosen.kafka_replicas, dry_run=dry_run)
        except WrongTopic as wrong:
            raise Fault(FAILED, str(wrong)) from None
        finally:
            cluster.close()
    if json:
        print_json([change._asdict() for change in changes])
    else:
        print_table(("topic", "action", "details"), changes, empty="No topics.")


@topics.command()
def verify(*, json: Json = False) -> None:
    """Compare the log's topic with the store, record by record; exit code 1 on any difference."""
    from dataclasses import asdict

    from api.output import print_fields, print_json
    from infra.kafka.topics import TopicNames
    from infra.kafka.verify import compare

    with opened() as runtime:
        need_kafka(runtime)
        topic = TopicNames(runtime.settings.kafka_prefix).events
        found = compare(runtime.pool, str(runtime.settings.kafka_bootstrap_servers), topic)
    told = {"topic": topic, "complete": found.complete, **asdict(found)}
    if json:
        print_json(told)
    else:
        print_fields(told.items())
    if not found.complete:
        raise Fault(FAILED, f"The topic {topic} is not what the store holds.")


def begin_again(runtime: "Runtime") -> None:
    """Forget what was published, unless a relay is at work."""
    from infra.kafka.published import Publication
    from infra.kafka.topics import TopicNames
    from infra.lease import holder

    topic = TopicNames(runtime.settings.kafka_prefix).events
    bootstrap = str(runtime.settings.kafka_bootstrap_servers)
    publication = Publication(runtime.pool, bootstrap, holder(), topic)
    try:
        if not publication.lease.take():
            raise Fault(FAILED, "A relay is at work; stop it first.")
        publication.restart()
        publication.lease.give_up()
    finally:
        publication.close()
