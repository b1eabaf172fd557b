"""Bytes to objects that SQLite has no value for, and back."""
