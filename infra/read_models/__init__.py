"""Read models: their tables and versions, how they are built, compared and asked."""
