"""Run a command of ``workers``: imported, it is compiled once, not by each process that is started."""

import importlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
importlib.import_module("journals")

module, command, arguments = sys.argv[1:]
getattr(importlib.import_module(f"workers.{module}"), command)(*json.loads(arguments))
