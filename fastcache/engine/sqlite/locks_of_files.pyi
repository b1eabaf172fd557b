"""SQLite's locks as locks of open file descriptions: declarations for compiled modules, none for Python."""
