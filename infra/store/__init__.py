"""The event store: events sealed, kept once, given their positions, and read back."""
