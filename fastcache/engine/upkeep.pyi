"""What maintenance does for one store, beside its callers."""
