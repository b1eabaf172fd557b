"""The only room that calls SQLite."""
