"""What makes room where the disk is full: declarations for compiled modules, none for Python."""
