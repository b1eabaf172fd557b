"""Free pages given back to the file system, a few at a time."""
