"""Entries that are held in memory alone."""
