"""Many entries removed by one statement: all, what has expired, what carries a tag."""
