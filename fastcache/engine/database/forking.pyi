"""What a fork does with one database: it is held, closed, and let go again."""
