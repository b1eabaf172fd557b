"""Keeping within max_size."""
