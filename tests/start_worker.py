"""Run a command of ``workers``: imported, it is compiled once, not by each process that is started."""

import json
import sys

from workers import COMMANDS

COMMANDS[sys.argv[1]](*json.loads(sys.argv[2]))
