"""What can be looked up: pure functions from a row and an event to the next row."""
