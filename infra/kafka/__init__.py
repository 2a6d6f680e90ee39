"""The log on Kafka: topics, what is published, what is read, what comes in."""
