"""Culling: a number of entries removed when somebody asks for it."""
