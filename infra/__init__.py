"""The only code that talks to PostgreSQL, Kafka, keys and files.

What lies here serves them all: `store`, `keys`, `read_models`, `audit`, `privacy`, `kafka`.
"""
