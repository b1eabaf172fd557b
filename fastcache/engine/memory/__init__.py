"""What this process remembers."""
