"""Agreement between threads and processes."""
