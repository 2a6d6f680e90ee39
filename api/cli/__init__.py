"""The `crm` command, a file for each group of commands."""
