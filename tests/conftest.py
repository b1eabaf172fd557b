"""What all tests share: reproducible hypothesis runs, a watchdog against hangs, a clock, processes."""

import faulthandler
import os
import shutil
import sys
import tempfile

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("tests.contract")

from tests import journals  # noqa: E402, F401
from tests.clock import Clock  # noqa: E402
from tests.processes import Processes  # noqa: E402

# A store is opened once for a test and cleared between its examples, and a contract's test runs in one class
# for each store: both are intended. Derandomized, so that a failure is the same one for everybody.
settings.register_profile(
    "reproducible",
    derandomize=True,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[
        HealthCheck.differing_executors,
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
settings.load_profile("reproducible")

HANGS_AFTER_SECONDS = 240

# What the tests sign with: nothing of theirs touches the user's own. (Those of the secret itself unset it.)
os.environ["FASTCACHE_SECRET"] = "the secret of the tests"

# What kills no machine needs no disk: in memory, all tests together take half the time. TMPDIR or --basetemp choose
# another place.
IN_MEMORY = "/dev/shm"
BYTES_NEEDED = 6 << 30
if "TMPDIR" not in os.environ and os.path.isdir(IN_MEMORY) and shutil.disk_usage(IN_MEMORY).free > BYTES_NEEDED:
    # For other processes, and for this one, which has looked already.
    os.environ["TMPDIR"] = tempfile.tempdir = IN_MEMORY

terminal = pytest.StashKey()


def pytest_configure(config):
    # The real standard error: for the length of a test pytest puts another file in its place.
    config.stash[terminal] = os.dup(sys.__stderr__.fileno())


def pytest_unconfigure(config):
    os.close(config.stash[terminal])


@pytest.fixture(autouse=True)
def _no_test_hangs(request):
    faulthandler.dump_traceback_later(HANGS_AFTER_SECONDS, exit=True, file=request.config.stash[terminal])
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def short_turns():
    """Have threads take turns often: they meet more often, and nobody waits for the GIL longer than he works."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0002)
    yield
    sys.setswitchinterval(before)


@pytest.fixture(name="_others")
def others(tmp_path_factory):
    with Processes(tmp_path_factory.mktemp("elsewhere"), tmp_path_factory.getbasetemp() / "bytecode") as processes:
        yield processes


@pytest.fixture
def start(_others):
    """Start a process that runs one of the commands of ``workers``."""
    return _others.start


@pytest.fixture
def start_program(_others):
    """Start a process that runs a program which is given as text, and has imported nothing before."""
    return _others.start_program


@pytest.fixture
def start_file(_others):
    """Start a program that is given as text, and lies in a file."""
    return _others.start_file
