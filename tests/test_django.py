"""What FastCache promises as a backend of Django's cache, and beyond what Django asks of one.

What Django asks, its own tests ask: ``python tests/django_conformance.py``.
"""

import asyncio
import contextlib
import http.client
import importlib.util
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest

import fastcache
from tests.together import in_a_thread, together

pytest.importorskip("django", reason="Django is not installed")

from django.core.cache import CacheKeyWarning
from django.core.exceptions import ImproperlyConfigured

from fastcache.django import FastCache

HERE = Path(__file__).parent
SITE = str(HERE / "django_site.py")
WORKERS = 4
PATIENCE_SECONDS = 60


def shout(key, prefix, version):
    return f"{prefix}/{version}/{key}".upper()


class Opening:
    """What makes backends over one directory, and closes what they have opened."""

    def __init__(self, location):
        self.location = location
        self.made = []

    def __call__(self, location=None, options=(), **params):
        backend = FastCache(str(location or self.location), {**params, "OPTIONS": dict(options)})
        self.made.append(backend)
        return backend

    def close(self):
        for backend in self.made:
            if "cache" in vars(backend):
                backend.cache.close()


@pytest.fixture
def open_backend(tmp_path):
    opening = Opening(tmp_path / "cache")
    yield opening
    opening.close()


@pytest.fixture(params=[{}, {"shards": 3}, {"memory": 0}, {"journal": False}], ids=str)
def backend(request, open_backend):
    return open_backend(options=request.param)


# -- keys, versions, timeouts ------------------------------------------------------------------------------------


def test_what_cannot_be_stored_is_an_error_as_django_and_we_know_it(backend):
    backend.set("k", "before")
    for store in (
        lambda value: backend.set("k", value),
        lambda value: backend.add("l", value),
        lambda value: backend.set_many({"k": 1, "l": value}),
        lambda value: backend.get_or_set("l", lambda: value),
        lambda value: asyncio.run(backend.aset("k", value)),
    ):
        with pytest.raises(pickle.PicklingError) as raised:
            store(threading.Lock())
        assert isinstance(raised.value, fastcache.EncodeError)
    assert backend.get_many("kl") == {"k": "before"}


def test_none_is_a_value(backend):
    backend.set("k", None)
    assert backend.get("k", "default") is None
    assert "k" in backend
    assert backend.get_or_set("k", 1) is None
    assert backend.get_many(["k", "absent"]) == {"k": None}


def test_prefixes_versions_and_key_functions_are_apart(open_backend):
    plain, prefixed, second = open_backend(), open_backend(KEY_PREFIX="p"), open_backend(VERSION=2)
    shouting = open_backend(KEY_FUNCTION=f"{__name__}.shout", KEY_PREFIX="p")
    for number, each in enumerate([plain, prefixed, second, shouting]):
        each.set("k", number)
    assert [each.get("k") for each in (plain, prefixed, second, shouting)] == [0, 1, 2, 3]
    assert plain.get("k", version=2) == 2
    assert sorted(plain.cache) == [":1:k", ":2:k", "P/1/K", "p:1:k"]


def test_a_timeout_is_for_ever_or_has_passed_or_is_the_default(open_backend, clock):
    backend = open_backend(options={"timer": clock}, TIMEOUT=8)
    backend.set("default", 1)
    backend.set("ever", 1, None)
    backend.set("longer", 1, timeout=16)
    for name, seconds in [("zero", 0), ("less", -1)]:
        backend.set(name, 0)
        backend.set(name, 1, seconds)
    backend.add("added", 1, 0)
    assert backend.get_many(["zero", "less", "added", "default"]) == {"default": 1}
    clock.advance(8)
    assert backend.get_many(["default", "ever", "longer"]) == {"ever": 1, "longer": 1}
    assert backend.touch("longer", 0)
    assert not backend.touch("longer")
    assert open_backend(options={"timer": clock}, TIMEOUT=None).get_backend_timeout() is None


def test_incr_counts_together_and_keeps_the_timeout(backend, open_backend):
    backend.set("n", 0, timeout=600)
    expires = backend.cache.get(backend.make_key("n"), expire_time=True)[1]
    together(*[lambda: [backend.incr("n") for _ in range(50)] for _ in range(4)])
    assert backend.cache.get(backend.make_key("n"), expire_time=True) == (200, expires)
    assert backend.decr("n", 300) == -100


def test_incr_of_nothing_and_of_none_are_errors(backend):
    with pytest.raises(ValueError, match="'absent' not found"):
        backend.incr("absent")
    backend.set("none", None)
    with pytest.raises(TypeError):
        backend.incr("none")
    assert backend.get("none", 1) is None


def test_a_version_moves_with_its_expiry_and_tag(backend):
    backend.set("k", [1], timeout=600, tag="t")
    expires = backend.cache.get(":1:k", expire_time=True)[1]
    assert backend.incr_version("k") == 2
    assert backend.get("k") is None
    value, expires_now, tag = backend.cache.get(":2:k", expire_time=True, tag=True)
    assert (value, tag) == ([1], "t")
    assert expires_now == pytest.approx(expires, abs=0.01)
    assert backend.decr_version("k", version=2) == 1
    assert backend.incr_version("k", 0) == 1
    assert backend.get("k") == [1]
    with pytest.raises(ValueError, match="not found"):
        backend.incr_version("absent")


def test_keys_that_memcached_refuses_are_warned_of_and_others_are_not(backend):
    for key in ("with space", "with\ttab", "delete\x7f", "x" * 250):
        with pytest.warns(CacheKeyWarning):
            backend.set(key, 1)
        with pytest.warns(CacheKeyWarning):
            assert backend.get_many([key]) == {key: 1}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        backend.set("grüße-\u2028-\U0001f600", 1)
        assert backend.get("grüße-\u2028-\U0001f600") == 1


# -- the limit to the number of entries --------------------------------------------------------------------------


@pytest.mark.parametrize("shards", [{}, {"shards": 3}], ids=str)
def test_there_are_never_more_than_max_entries(open_backend, shards):
    backend = open_backend(options={"MAX_ENTRIES": 30, **shards})
    for number in range(60):
        [backend.set, backend.add, backend.get_or_set][number % 3](str(number), number)
        assert backend.get(str(number)) == number
        assert len(backend.cache) <= 30
    backend.set_many({f"many{number}": number for number in range(100)})
    assert 0 < len(backend.cache) <= 30
    together(*[lambda name=name: [backend.set(f"{name}{n}", n) for n in range(40)] for name in "abcd"])
    assert len(backend.cache) <= 30 + 4


def test_what_is_there_already_makes_nothing_go(open_backend):
    backend = open_backend(options={"MAX_ENTRIES": 3})
    for number in range(3):
        backend.set(str(number), number)
    for number in range(3):
        backend.set(str(number), -number)
    assert len(backend.cache) == 3


def test_the_oldest_go_first(open_backend):
    backend = open_backend(options={"MAX_ENTRIES": 10, "CULL_FREQUENCY": 2})
    for number in range(11):
        backend.set(str(number), number)
    assert list(backend.get_many(map(str, range(11)))) == ["5", "6", "7", "8", "9", "10"]


def test_a_frequency_of_zero_removes_all(open_backend):
    backend = open_backend(options={"MAX_ENTRIES": 3, "CULL_FREQUENCY": 0})
    for number in range(4):
        backend.set(str(number), number)
    assert list(backend.cache) == [":1:3"]


def test_without_max_entries_there_is_no_such_limit(open_backend):
    backend = open_backend()
    backend.set_many({str(number): number for number in range(1000)})
    assert len(backend.cache) == 1000


# -- settings ----------------------------------------------------------------------------------------------------


def test_what_is_no_setting_is_refused_by_name(open_backend, tmp_path):
    for options, message in [
        ({"size_limit": 1}, "size_limit.*max_size"),
        ({"directory": "x"}, "OPTIONS has directory"),
        ({"MAX_ENTRIES": "many"}, "MAX_ENTRIES must be an int"),
        ({"CULL_FREQUENCY": -1}, "CULL_FREQUENCY must be 0 or more"),
        ({"CULL_FREQUENCY": "often"}, "CULL_FREQUENCY must be an int"),
    ]:
        with pytest.raises(ImproperlyConfigured, match=message):
            open_backend(options=options)
    for location in ("", None, ["a", "b"], 3):
        with pytest.raises(ImproperlyConfigured, match="LOCATION must be the path"):
            FastCache(location, {})
    assert FastCache(tmp_path / "path", {}).get_backend_timeout() == 300


def test_options_may_be_dotted_paths(open_backend):
    backend = open_backend(
        options={
            "serializer": "fastcache.MsgspecSerializer",
            "timer": "time.time",
            "on_evict": "builtins.print",
        }
    )
    backend.set("k", {"a": [1]})
    assert backend.get("k") == {"a": [1]}
    assert backend.cache.serializer.name == fastcache.MsgspecSerializer().name
    listed = open_backend(backend.cache.directory + "2", options={"safe_types": ["http.HTTPStatus"]})
    listed.set("k", importlib.import_module("http").HTTPStatus.OK)
    assert listed.get("k") == 200


def test_nothing_is_opened_before_it_is_used(open_backend, tmp_path):
    backend = open_backend()
    backend.close()
    assert not list(tmp_path.iterdir())
    assert backend.get("k") is None
    assert [each.name for each in tmp_path.iterdir()] == ["cache"]


def test_all_threads_and_aliases_use_what_is_opened_once(open_backend):
    caches = together(*[lambda: open_backend(options={"safe_types": [set]}).cache for _ in range(8)])
    caches.append(open_backend(options={"MAX_ENTRIES": 5, "safe_types": (set,)}, KEY_PREFIX="p").cache)
    assert len(set(map(id, caches))) == 1
    assert open_backend(options={"memory": 0}).cache is not caches[0]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts what /proc lists")
def test_the_end_of_a_request_closes_nothing(open_backend):
    backend = open_backend()
    backend.set("k", "v")
    cache, opened = backend.cache, len(os.listdir("/proc/self/fd"))
    for _ in range(100):
        backend.close()
        asyncio.run(backend.aclose())
    assert backend.get("k") == "v"
    assert backend.cache is cache
    assert len(os.listdir("/proc/self/fd")) == opened


def test_what_was_closed_is_opened_anew(open_backend):
    backend = open_backend()
    backend.set("k", "v")
    backend.cache.close()
    assert open_backend().get("k") == "v"


def test_a_directory_that_is_removed_is_made_anew(open_backend):
    backend = open_backend()
    backend.set("k", "v")
    subprocess.run(["rm", "-r", backend.cache.directory], check=True)
    backend.set("k", "w")
    assert backend.get("k") == "w"
    assert os.path.isdir(backend.cache.directory)


def test_what_cannot_be_decoded_is_a_miss(open_backend, caplog):
    written, read = (open_backend(options={"secret": each * 16}) for each in "ab")
    for key in ("one", "two", "three"):
        written.set(key, ValueError("of no plain type"))
    assert read.get("one", "default") == "default"
    assert "counts as missing" in caplog.text
    assert read.get_many(["one", "two"]) == {}
    assert asyncio.run(read.aget("one", 1)) == 1
    assert asyncio.run(read.aget_many(["one", "two"])) == {}
    assert read.has_key("one")
    assert asyncio.run(read.ahas_key("one"))
    with pytest.raises(ValueError, match="not found"):
        read.incr_version("one")
    assert read.get_or_set("one", 1) == 1
    assert asyncio.run(read.aget_or_set("two", 2)) == 2
    read.set("three", 3)
    assert read.get_many(["one", "two", "three"]) == {"one": 1, "two": 2, "three": 3}


def test_values_are_signed_with_the_secret_key_of_the_site(tmp_path, start_file):
    program = """
        import json, logging, os, sys
        logging.disable()
        os.environ.pop("FASTCACHE_SECRET", None)
        os.environ["XDG_CONFIG_HOME"] = {home!r}
        from django.conf import settings
        settings.configure(SECRET_KEY={key!r})
        from fastcache.django import FastCache
        backend = FastCache({location!r}, {{}})
        found = str(backend.get("k", "nothing"))
        backend.set("k", ValueError("by {key}"))
        print(json.dumps([found, os.path.exists({home!r})]))
    """

    def run(key, home):
        names = {"key": key, "home": str(tmp_path / home), "location": str(tmp_path / "cache")}
        return start_file("secrets_of_a_site", program.format(**names)).finish()

    # Other accounts have other secrets of their own, which are not asked for.
    assert run("x" * 50, "home") == ["nothing", False]
    assert run("x" * 50, "home of another") == ["by " + "x" * 50, False]
    assert run("y" * 50, "home") == ["nothing", False]
    assert run("short", "home") == ["nothing", True]
    assert run("short", "home") == ["by short", True]


# -- what a Cache has --------------------------------------------------------------------------------------------


def test_what_carries_a_tag_goes_together(backend):
    backend.set("a", 1, tag="news")
    backend.add("b", 2, tag="news")
    backend.set_many({"c": 3, "d": 4}, tag="news")
    backend.get_or_set("e", 5, tag="news")
    backend.set("f", 6)
    assert backend.evict_tag("news") == 5
    assert backend.get_many("abcdef") == {"f": 6}
    assert asyncio.run(backend.aevict_tag("news")) == 0


def test_a_lock_is_apart_from_entries_and_from_other_prefixes(open_backend):
    one, other = open_backend(), open_backend(KEY_PREFIX="p")
    with one.lock("k", timeout=0), other.lock("k", timeout=0), one.lock("k", timeout=0, version=2):
        assert one.get("k") is None
        one.set("k", 1)
        assert in_a_thread(lambda: one.lock("k", timeout=0).acquire(timeout=0)) is False


def test_a_transaction_is_all_or_nothing(open_backend):
    for backend in (open_backend(), open_backend(open_backend.location.with_name("shards"), {"shards": 2})):
        backend.set("k", 1)
        with contextlib.suppress(ZeroDivisionError), backend.transact("k"):
            backend.incr("k", 5)
            1 / 0  # noqa: B018
        assert backend.get("k") == 1
    with open_backend().transact():
        open_backend().set("k", 2)
    assert open_backend().get("k") == 2


def test_of_all_who_miss_a_key_one_computes(backend):
    calls = []
    started = threading.Event()

    def compute():
        calls.append(1)
        started.wait(0.2)
        return len(calls)

    assert together(*[lambda: backend.get_or_set("k", compute) for _ in range(6)]) == [1] * 6


def test_functions_are_memoized_apart_by_prefix_and_version(open_backend):
    calls = []

    def square(number):
        calls.append(number)
        return number * number

    one, other = open_backend(), open_backend(KEY_PREFIX="p")
    memoized = [one.memoize(square), one.memoize(timeout=60, version=2)(square), other.memoize(square)]
    assert [each(3) for each in memoized + memoized] == [9] * 6
    assert calls == [3, 3, 3]
    one.memoize(timeout=60, tag="t", name="named")(square)(4)
    assert one.evict_tag("t") == 1

    async def double(number):
        return 2 * number

    assert asyncio.run(one.memoize(double)(4)) == 8


def test_memoized_methods_keep_their_kind(open_backend):
    backend = open_backend()

    class Sums:
        @backend.memoize
        @staticmethod
        def add(one, other):
            return one + other

        @backend.memoize(ignore=("cls",))
        @classmethod
        def name(cls):
            return cls.__name__

    assert (Sums.add(1, 2), Sums().add(1, 2), Sums.name()) == (3, 3, "Sums")


# -- coroutines --------------------------------------------------------------------------------------------------


def test_each_method_has_a_coroutine_that_does_the_same(backend):
    async def use():
        await backend.aset("k", 1, 60, tag="t")
        assert await backend.aadd("k", 2) is False
        assert await backend.aadd("l", 2, tag="t") is True
        assert await backend.aget("k") == 1
        assert await backend.aget("k", version=2) is None
        assert await backend.aincr("k", 4) == 5
        assert await backend.adecr("k") == 4
        assert await backend.ahas_key("k")
        assert not await backend.ahas_key("absent")
        assert await backend.aset_many({"m": None, "n": [1]}) == []
        assert await backend.aget_many(iter(["k", "l", "m", "n", "absent"])) == {"k": 4, "l": 2, "m": None, "n": [1]}
        assert await backend.atouch("k", 100)
        assert not await backend.atouch("absent")
        assert await backend.aincr_version("l") == 2
        assert await backend.adecr_version("l", version=2) == 1
        assert await backend.adelete("l")
        assert not await backend.adelete("l")
        assert await backend.aevict_tag("t") == 1
        await backend.adelete_many(["m"])
        assert await backend.aget_many(["k", "l", "m", "n"]) == {"n": [1]}
        with pytest.raises(ValueError, match="'absent' not found"):
            await backend.aincr("absent")
        await backend.aclear()
        assert len(backend.cache) == 0

    asyncio.run(use())


@pytest.fixture
def no_thread(monkeypatch):
    """From when it is called, what goes to another thread fails."""

    def begin():
        def refuse(function, **how):
            raise AssertionError("this takes another thread")

        monkeypatch.setattr("fastcache.django.backend.sync_to_async", refuse)

    return begin


@pytest.mark.parametrize("options", [{}, {"shards": 3}, {"journal": False}], ids=str)
def test_what_is_remembered_is_answered_in_the_coroutine(open_backend, no_thread, options):
    backend = open_backend(options=options)
    values = {"text": "v", "list": [1, {"a": 2}], "none": None, "object": ValueError("x"), "for ever": 1}
    values = {name.replace(" ", "-"): value for name, value in values.items()}
    backend.set_many(values)
    backend.set("for-ever", 1, None)
    backend.cache.flush()
    assert set(backend.get_many([*values, "absent"])) == set(values)
    assert backend.get("absent") is None
    for name in values:
        backend.get(name)
    no_thread()

    async def use():
        assert await backend.aget("text") == "v"
        assert await backend.aget("list") == [1, {"a": 2}]
        assert await backend.aget("none", 1) is None
        assert repr(await backend.aget("object")) == "ValueError('x')"
        assert await backend.aget("absent", "default") == "default"
        assert await backend.ahas_key("list")
        assert not await backend.ahas_key("absent")
        assert await backend.aget_or_set("text", "w") == "v"
        assert await backend.aget_many(["text", "for-ever", "absent"]) == {"text": "v", "for-ever": 1}
        with pytest.raises(AssertionError, match="another thread"):
            await backend.aget("never asked for")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CacheKeyWarning)
        asyncio.run(use())


def test_a_coroutine_does_not_wait_for_the_directory_to_be_opened(open_backend, monkeypatch):
    opened_by = []

    class Watched(fastcache.Cache):
        def __init__(self, *arguments, **options):
            opened_by.append(threading.get_ident())
            super().__init__(*arguments, **options)

    monkeypatch.setattr("fastcache.django.opening.Cache", Watched)

    async def use():
        assert await open_backend().aget("k") is None
        assert not await open_backend().ahas_key("k")
        return threading.get_ident()

    here = asyncio.run(use())
    assert len(opened_by) == 1
    assert opened_by != [here]


def test_what_has_expired_or_was_changed_elsewhere_is_not_remembered(open_backend, clock, start):
    backend = open_backend(options={"timer": clock})
    backend.set("k", 1, timeout=8)
    assert asyncio.run(backend.aget("k")) == 1
    clock.advance(8)
    assert asyncio.run(backend.aget("k")) is None
    backend.set("k", 1)
    assert asyncio.run(backend.aget("k")) == 1
    with fastcache.Cache(backend.cache.directory) as other:
        other[":1:k"] = 2
    assert asyncio.run(backend.aget("k")) == 2


def test_an_async_factory_is_awaited_and_others_are_called_in_the_coroutine(backend):
    async def use():
        here = threading.get_ident()

        async def make():
            await asyncio.sleep(0)
            return "made"

        assert await backend.aget_or_set("a", make) == "made"
        assert await backend.aget_or_set("b", threading.get_ident) == here
        assert await backend.aget_or_set("c", None) is None
        assert await backend.aget_many("abc") == {"a": "made", "b": here, "c": None}

    asyncio.run(use())


def test_a_transaction_of_a_task_holds_for_its_coroutines(open_backend):
    for backend in (open_backend(), open_backend(open_backend.location.with_name("shards"), {"shards": 2})):

        async def use(backend=backend):
            with contextlib.suppress(ZeroDivisionError), backend.transact("k"):
                await backend.aset("k", 1)
                assert await backend.aget("k") == 1
                assert await backend.aincr("k") == 2
                1 / 0  # noqa: B018
            assert await backend.aget("k") is None

        asyncio.run(use())


# -- a site ------------------------------------------------------------------------------------------------------


def site_environment(tmp_path, options):
    paths = [str(HERE), str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "SITE_CACHE": str(tmp_path / "site"),
        "SITE_OPTIONS": json.dumps(options),
    }


@pytest.mark.parametrize("options", [{}, {"shards": 2}], ids=str)
def test_sessions_fragments_and_pages_of_a_site(tmp_path, options):
    command = [sys.executable, "-W", "error::RuntimeWarning", SITE]
    said = subprocess.run(
        command, env=site_environment(tmp_path, options), capture_output=True, text=True, timeout=60, check=False
    )
    assert said.stdout == '"checked"\n', said.stderr


class Site:
    """A site that gunicorn serves."""

    def __init__(self, tmp_path, options, *arguments):
        self.log = tmp_path / "log"
        command = ["-m", "gunicorn", "--workers", str(WORKERS), "--bind", "127.0.0.1:0", "--log-file", str(self.log)]
        command += [*arguments, "--worker-tmp-dir", str(tmp_path), "django_site:application"]
        environment = site_environment(tmp_path, options)
        self.server = subprocess.Popen([sys.executable, *command], env=environment, cwd=tmp_path)
        self.port = int(self.told(r"Listening at: http://127\.0\.0\.1:(\d+)"))
        self.cookie = threading.local()

    def told(self, pattern):
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until and self.server.poll() is None:
            found = self.log.exists() and re.search(pattern, self.log.read_text())
            if found:
                return found[1]
            time.sleep(0.01)
        raise AssertionError(f"gunicorn does not serve: {self.log.read_text()}")

    def get(self, path):
        """The body of a page, with the cookies of this thread."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        try:
            cookie = getattr(self.cookie, "value", None)
            connection.request("GET", path, headers={"Cookie": cookie} if cookie else {})
            response = connection.getresponse()
            body = response.read().decode()
            assert response.status == 200, body
            if response.getheader("Set-Cookie"):
                self.cookie.value = response.getheader("Set-Cookie").partition(";")[0]
            return body
        finally:
            connection.close()

    def ask(self, path):
        return json.loads(self.get(path))

    def meet(self):
        """The numbers of all workers."""
        here = together(*[lambda: self.ask(f"/meet/?many={WORKERS}")] * WORKERS)
        return {each["pid"] for each in here}

    def stop(self):
        self.server.send_signal(signal.SIGTERM)
        assert self.server.wait(PATIENCE_SECONDS) == 0, self.log.read_text()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="gunicorn forks")
@pytest.mark.skipif(importlib.util.find_spec("gunicorn") is None, reason="gunicorn is not installed")
@pytest.mark.parametrize(
    ("options", "arguments"),
    [({}, []), ({"shards": 2}, ["--preload", "--threads", "2"])],
    ids=["cache", "preloaded-shards-threads"],
)
def test_workers_of_a_site_share_sessions_fragments_and_counts(tmp_path, options, arguments):
    with contextlib.ExitStack() as stack:
        site = Site(tmp_path, options, *arguments)
        stack.callback(site.server.kill)

        workers = site.meet() if not arguments else set()
        assert len(workers) in (0, WORKERS)

        def visit():
            assert [site.ask("/visits/")["visits"] for _ in range(25)] == list(range(1, 26))
            return [site.get("/greeting/?name=Ada"), site.get("/page/"), site.ask("/compute/")["value"]]

        shown = together(*[visit] * 8)
        assert len({greeting for greeting, _, _ in shown}) <= WORKERS
        assert {value for _, _, value in shown} == {1}
        # What two have rendered at the same time, one has kept.
        assert len({tuple(together(*[lambda: site.get("/greeting/?name=Ada")] * 8))}) == 1
        assert len(set(together(*[lambda: site.get("/greeting/?name=Ada")] * 8))) == 1
        assert len(set(together(*[lambda: site.get("/page/")] * 8))) == 1

        together(*[lambda: [site.ask("/count/") for _ in range(20)]] * 8)
        assert site.ask("/count/")["count"] == 161

        if workers:
            os.kill(min(workers), signal.SIGKILL)
            together(*[lambda: [visits_again(site) for _ in range(10)]] * 4)
            # What it had counted and not answered yet was asked for twice.
            assert site.ask("/count/")["count"] >= 202
        assert site.ask("/forget/?name=Ada") == {"forgotten": True}
        site.stop()


def visits_again(site):
    """A request that counts, made again if it met the worker that was killed before it was taken."""
    while True:
        try:
            return site.ask("/count/")
        except (ConnectionError, http.client.HTTPException):
            continue
