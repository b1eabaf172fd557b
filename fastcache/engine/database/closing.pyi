"""The end of a database's use."""
