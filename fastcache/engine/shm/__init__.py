"""What processes map or lock together; knows no entry and no SQL."""
