"""What there is once in a process: late imports, forks and the exit, the background thread."""
