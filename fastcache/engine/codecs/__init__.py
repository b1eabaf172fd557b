"""Objects to bytes and back: no database, no files."""
