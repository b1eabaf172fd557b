"""`python -m fastcache` is the command `fastcache`."""

import sys

from fastcache.cli import main

if __name__ == "__main__":
    sys.exit(main())
