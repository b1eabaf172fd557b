"""Rows in memory as a table of SQLite's: declarations for compiled modules, none for Python."""
