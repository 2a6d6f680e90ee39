"""The only code that talks to PostgreSQL, Kafka, keys and files.

What lies here serves the packages: `store`, `keys`, `read_models`, `audit`, `privacy`, `kafka`.
"""
