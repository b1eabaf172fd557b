"""Caches that frameworks ask for, each over fastcache's public names, and each with an extra of its name."""
