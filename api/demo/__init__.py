"""The demo: a generated year in the life of a company, played, checked and kept going."""
