"""Values outside of rows."""
