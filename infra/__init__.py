"""The only code that talks to PostgreSQL, Kafka, keys and files."""
