"""What can be asked: every command by its name, and by the event that publishes the same."""
