"""Sources that a cache can be migrated from: one module for each kind, with one interface (source.py)."""
