"""Record what this Python writes, for every other version to read.

    python tests/record_pickles.py

Adds to recorded_pickles.json, for each of samples.REDUCED, in hexadecimal, with the versions of Python and numpy that
wrote it:

- "plain": what PickleSerializer makes of it as a value, with the classes in safe_types;
- "key": the same as a key, of which every version has to make the same bytes;
- "pickle": what Python itself makes of it with protocol 5.
"""

import collections.abc
import json
import pathlib
import pickle
import platform
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
RECORD = ROOT / "tests" / "recorded_pickles.json"


def written(samples):
    """Kind, name and bytes of all that is recorded."""
    from fastcache import PickleSerializer

    serializer = PickleSerializer(safe_types=samples.REDUCED_TYPES, secret="signs nothing of this")
    for name, value in samples.REDUCED.items():
        yield "plain", name, serializer.dumps(value)
        yield "pickle", name, pickle.dumps(value, 5)
        if is_key(value):
            yield "key", name, serializer.dumps_key(value)


def is_key(value):
    """Whether it is a key in every version: a slice is one from Python 3.12 on."""
    return not isinstance(value, slice) and isinstance(value, collections.abc.Hashable)


def main():
    sys.path.insert(0, str(ROOT))
    from tests import samples

    writer = platform.python_version()
    if "numpy" in sys.modules:
        writer += f", numpy {sys.modules['numpy'].__version__}"
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    for kind, name, data in written(samples):
        writers = record.setdefault(kind, {}).setdefault(name, {}).setdefault(data.hex(), [])
        if writer not in writers:
            writers.append(writer)
            writers.sort()
    RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
