"""`python -m fastcache` is the command `fastcache`."""

import sys

from fastcache.tools.cli import main

if __name__ == "__main__":
    sys.exit(main())
