"""The compiled engine: all that touches SQLite, and nothing that knows policy."""
