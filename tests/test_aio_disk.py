"""An event loop never waits for a disk that is slow, neither by itself nor by the GIL."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

SLOW_DISK = pathlib.Path(__file__).with_name("slow_disk.c")

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="LD_PRELOAD is Linux's")


@pytest.fixture
def slow_disk(tmp_path, monkeypatch):
    """The library that makes the disk slow is loaded by what is started."""
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no compiler here")
    library = tmp_path / "slow_disk.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, SLOW_DISK, "-ldl"], check=True)
    monkeypatch.setenv("LD_PRELOAD", f"{os.environ.get('LD_PRELOAD', '')} {library}")


@pytest.mark.parametrize("journal", [True, False])
def test_the_loop_neither_syncs_nor_writes_beside_a_sync_nor_waits_for_who_does(
    tmp_path, slow_disk, start_file, journal
):
    process = start_file("slow_disk", PROGRAM, str(tmp_path / "cache"), "journal" * journal)
    own_syncs, other_syncs, own_writes, kinds, handed_over, count = process.hear()
    process.finish()
    assert own_syncs == 0
    assert other_syncs > 0
    # A sync may begin in the middle of a write.
    assert own_writes <= 5 * other_syncs
    # The loop came round while maintenance synced, and while the thread of the cache did, to start the log over; what
    # is set in the journal has maintenance do that, too.
    assert kinds == (["maintenance"] if journal else ["maintenance", "worker"])
    assert handed_over < count
    assert journal or handed_over > 0


PROGRAM = """
    import asyncio, ctypes, json, sys, threading
    from fastcache import aio

    shim = ctypes.CDLL(None)

    async def main():
        async with aio.Cache(sys.argv[1], memory=0, journal=bool(sys.argv[2])) as cache:
            await cache.set("k", 1)
            worker = await cache._run(lambda sync: threading.get_native_id(), (), {}, False)
            for which in range(3):
                shim.slow_disk_count(which)
            calls, seen = [], set()
            post = cache._worker.post
            cache._worker.post = lambda call: (calls.append(call), post(call))

            async def watch():
                while True:
                    thread = shim.slow_disk_thread()
                    if thread:
                        seen.add("worker" if thread == worker else "maintenance")
                    await asyncio.sleep(0.001)

            watching = asyncio.create_task(watch())
            count = 0
            while count < 12_000 and (count < 4000 or len(seen) < 2):
                await cache.set(count, "x" * 1000)
                assert await cache[count] == "x" * 1000
                count += 1
                if count % 1000 == 0:
                    # All of the log is copied, so that the next one starts it over.
                    await asyncio.sleep(0.5)
            found = [shim.slow_disk_count(which) for which in range(3)]
            watching.cancel()
            print(json.dumps([*found, sorted(seen), len(calls), count]), flush=True)

    asyncio.run(main())
"""
