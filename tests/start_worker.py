"""Run a command of ``workers``: imported, it is compiled once, not by each process that is started."""

import importlib
import json
import sys

module, command, arguments = sys.argv[1:]
getattr(importlib.import_module(f"workers.{module}"), command)(*json.loads(arguments))
