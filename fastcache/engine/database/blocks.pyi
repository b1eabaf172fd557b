"""Transactions of a database: blocks that nest, begun, committed and undone."""
