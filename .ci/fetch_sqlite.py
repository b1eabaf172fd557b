"""Fetch the SQLite that the wheels carry:  python .ci/fetch_sqlite.py FOLDER

Leaves sqlite3.c and sqlite3.h in the folder, for FASTCACHE_SQLITE_AMALGAMATION. Nothing is unpacked from an
archive that has another hash than the one below.
"""

import hashlib
import io
import sys
import urllib.request
import zipfile
from pathlib import Path, PurePosixPath

ARCHIVE = "https://sqlite.org/2026/sqlite-amalgamation-3530400.zip"

# https://sqlite.org/download.html lists the SHA3-256 of every archive. This one was not read off that page,
# but found, the same each time, in a dozen unrelated projects that pin this archive and name the page as its
# source. Whoever moves to another version takes the hash from the page.
SHA3_256 = "628a44cfe82c66aed1ccbbe85a562d2e33ebe64b3288981ed76285612227934e"


def main(folder: Path) -> None:
    """Download, compare, unpack."""
    with urllib.request.urlopen(ARCHIVE, timeout=60) as response:
        archive = response.read()
    found = hashlib.sha3_256(archive).hexdigest()
    if found != SHA3_256:
        sys.exit(f"{ARCHIVE} has SHA3-256 {found}, expected {SHA3_256}")
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(archive)) as members:
        for member in members.namelist():
            name = PurePosixPath(member).name
            if name in ("sqlite3.c", "sqlite3.h"):
                (folder / name).write_bytes(members.read(member))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
