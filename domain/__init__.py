"""What can be true: events, aggregates and rules. No I/O, no clock, no randomness."""
