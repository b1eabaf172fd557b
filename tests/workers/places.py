"""Workers for directories that go, that are a group's, or that cannot be written to."""

import contextlib
import io
import os
import shutil
import warnings

import fastcache

from .commands import command, hear, open_store, say


def load_all():
    """Have everything loaded while the rights are there to read it: root's Python may be nobody's business."""
    with warnings.catch_warnings(record=True):
        warnings.warn("loads what shows it", fastcache.ReadOnlyWarning, stacklevel=1)
    for name in ("pwd", "grp", "mmap"):
        __import__(name)
    for kind in ("Cache", "Index", "FanoutCache", "FanoutIndex"):
        with open_store(kind, None) as store:
            store["large"] = b"x" * 3_000_000
            store["class"] = complex
            with store.lock("lock"):
                store.get_or_set("made", lambda: store["large"])
            store.check()


def become(uid, gid, umask):
    """Go on as another account."""
    os.setgroups([gid])
    os.setgid(uid)
    os.setuid(uid)
    os.umask(umask)


@command
def remove_directory(directory):
    shutil.rmtree(directory)


@command
def store_in(kind, directory, key, value):
    """Store an entry; say what there is then."""
    with open_store(kind, directory) as store:
        store[key] = value
        say(sorted(map(str, store)))


@command
def acquire_in(kind, directory, name):
    """Acquire a lock; say whether, and hold it until told."""
    with open_store(kind, directory) as store:
        say(store.lock(name).acquire(blocking=False))
        hear()


@command
def use_as(kind, directory, uid, gid, umask):
    """Use a store as another account, whatever others have left there."""
    load_all()
    become(uid, gid, umask)
    with open_store(kind, directory) as store:
        seen = sorted(map(str, store))
        for key in list(store):
            if str(key).startswith("large"):
                assert len(store[key]) == 3_000_000
        for key in list(store):
            if str(key).startswith("gone"):
                del store[key]
        store[f"large {uid}"] = b"x" * 3_000_000
        store[f"gone {uid}"] = b"y" * 3_000_000
        store["shared"] = store.get("shared", 0) + 1
        with store.lock("lock"):
            store.get_or_set(f"made {uid}", lambda: uid)
        if hasattr(store, "max_size") and store.max_size:
            for number in range(20):
                store[f"fills {number}"] = b"z" * 2_000_000
        found = store.check()
        say([seen, store["shared"], str(found)])
        # Until the next one has opened it.
        hear()


@command
def sign_as(kind, directory, uid, gid):
    """Store or read a value that has to be signed, with the secret of another account; say the error."""
    load_all()
    become(uid, gid, 0o002)
    del os.environ["FASTCACHE_SECRET"]
    os.environ["XDG_CONFIG_HOME"] = f"{directory}/home-{uid}"
    with open_store(kind, directory) as store:
        try:
            if "signed" in store:
                say(str(store["signed"]))
            else:
                store["signed"] = complex
                say("stored")
        except fastcache.UntrustedValueError as error:
            say(str(error))


@command
def read_as(kind, directory, uid, gid, read_only):
    """Open a store as another account; say the error, or what was warned of, what is there, and what a write raises."""
    load_all()
    if os.getuid() == 0:
        become(uid, gid, 0o022)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            store = open_store(kind, directory, read_only=read_only)
        except Exception as error:
            say([[kind.__name__ for kind in type(error).__mro__], str(error)])
            return
    said = [f"{warning.category.__name__}: {warning.message}" for warning in told]
    try:
        store["new"] = 1
    except fastcache.CacheError as error:
        refused = type(error).__name__
    else:
        refused = ""
    say(["", said, sorted(store), refused])
    while hear() == "look":
        say(sorted(store))
    store.close()


@command
def fill_and_copy(kind, directory, copies):
    """Fill a store, and copy its directory while it is open: with the index of the WAL, and without."""
    with open_store(kind, directory) as store:
        for number in range(20):
            store[number] = number
        store["list"] = [1, 2, 3]
        store["large"] = b"x" * 3_000_000
    with open_store(kind, directory) as store:
        store["late"] = 1
        # What is in the journal alone, nobody could drain there.
        store.flush()
        for way in ("open", "without index"):
            shutil.copytree(directory, f"{copies}/{way}")
    for folder, _, names in os.walk(f"{copies}/without index"):
        for name in names:
            if name.endswith("-shm"):
                os.unlink(os.path.join(folder, name))
    shutil.copytree(directory, f"{copies}/closed")


@command
def use_read_only(kind, directory):
    """Read a store in every way, and be refused in every way; say what was wrong."""
    wrong = []
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        store = open_store(kind, directory)
    if [warning.category for warning in told] != [fastcache.ReadOnlyWarning]:
        wrong.append(f"warned {[str(warning.message) for warning in told]}")
    say([store.read_only, len(store), store.get("late"), store["list"], len(store["large"]), sorted(map(str, store))])
    hear()
    wrong += [f"{again} gave {store.get('late')}" for again in range(3) if store.get("late") != 1]
    store.close()
    say(wrong)


@command
def command_without_writing(directory, name):
    """Run a command on a cache that nobody can write to; say its exit code."""
    from fastcache.tools.cli import main

    load_all()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main(["--help"])
    for folder, _, names in os.walk(directory):
        for path in (folder, *(os.path.join(folder, each) for each in names)):
            os.chmod(path, 0o555 if os.path.isdir(path) else 0o444)
    if os.getuid() == 0:
        become(65534, 65534, 0o022)
    with contextlib.redirect_stdout(io.StringIO()):
        code = main([name, directory])
    say(code)
