"""One SQLite database in use: sessions, transactions, checkpoints."""
