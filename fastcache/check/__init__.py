"""Damage, found and repaired."""
