"""Values as SQLite knows them: declarations for compiled modules, none for Python."""
