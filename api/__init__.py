"""HTTP, command line and console: all three only translate."""
