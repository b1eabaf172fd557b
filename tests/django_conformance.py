"""Run Django's own tests of caches, sessions and template fragments over fastcache's backends.

    python tests/django_conformance.py
    python tests/django_conformance.py --source ~/django-5.2 -k incr

The tests are those of the Django that is installed here: its source distribution is fetched by pip into a temporary
directory, unless ``--source`` names an unpacked one or an archive of one. What runs:

- ``BaseCacheTests``, which every backend of Django's has to pass, over a Cache, with shards, without a journal, and
  through the methods for coroutines; over ``fastcache.diskcache``'s DjangoCache, too, where there is one;
- of ``FileBasedCacheTests`` what is about the directory, and not about the names of the files in it;
- the middleware's, the cached templates' and the sessions' tests, with our backend in the place of Django's.
"""

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path

import django
from asgiref.sync import async_to_sync
from django.conf import settings

from fastcache.django import FastCache

# What of FileBasedCacheTests looks into the files that only that backend has, or at its clock.
OF_FILES_ALONE = (
    "test_get_ignores_enoent",
    "test_get_does_not_ignore_non_filenotfound_exceptions",
    "test_empty_cache_file_considered_expired",
    "test_has_key_race_handling",
    # The directory is its owner's alone; those above it, which are missing, are what the umask says.
    "test_cache_dir_permissions",
)
THROUGH_COROUTINES = (
    *("get", "set", "add", "touch", "delete", "has_key", "incr", "decr", "get_or_set", "incr_version", "decr_version"),
    *("get_many", "set_many", "delete_many", "clear"),
)


class InCoroutines(FastCache):
    """A FastCache, each method of which runs the one for coroutines."""


for _name in THROUGH_COROUTINES:
    _coroutine = getattr(FastCache, f"a{_name}")

    def _run(self, *arguments, _coroutine=_coroutine, **named):
        if isinstance(self, _Inner):
            return getattr(FastCache, _coroutine.__name__[1:])(self, *arguments, **named)
        inner = _Inner.__new__(_Inner)
        inner.__dict__ = self.__dict__
        return async_to_sync(_coroutine)(inner, *arguments, **named)

    _run.__name__ = _name
    setattr(InCoroutines, _name, _run)


class _Inner(InCoroutines):
    """The same once it is in a coroutine, which calls what waits by its own name."""


def fetch(folder):
    """The unpacked source distribution of the Django that is installed."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    subprocess.run([*command, "--no-binary", ":all:", f"Django=={django.__version__}", "-d", folder], check=True)
    return unpack(next(Path(folder).glob("*.tar.gz")), folder)


def unpack(archive, folder):
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data") if hasattr(tarfile, "data_filter") else tar.extractall(folder)
    return next(each for each in Path(folder).iterdir() if each.is_dir())


def configure(location):
    settings.configure(
        SECRET_KEY="the key of the conformance tests",
        DATABASES={name: {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"} for name in ("default", "other")},
        CACHES={"default": {"BACKEND": "fastcache.django.FastCache", "LOCATION": location}},
        INSTALLED_APPS=[
            *("django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"),
            *("cache", "sessions_tests"),
        ],
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        USE_TZ=False,
        LANGUAGE_CODE="en",
    )
    django.setup()


def backends(folder):
    """The settings of what is tested, by name."""
    ours = {"BACKEND": "fastcache.django.FastCache"}
    coroutines = {"BACKEND": f"{__name__}.InCoroutines"}
    found = {
        "OverACache": ours,
        "WithShards": ours | {"OPTIONS": {"shards": 4}},
        "WithoutAJournal": ours | {"OPTIONS": {"journal": False}},
        "WithoutMemory": ours | {"OPTIONS": {"memory": 0}},
        "InCoroutines": coroutines,
        "InCoroutinesWithShards": coroutines | {"OPTIONS": {"shards": 4, "memory": 0}},
    }
    if importlib.util.find_spec("fastcache.diskcache"):
        found["OverTheFaceOfDiskcache"] = {"BACKEND": "fastcache.diskcache.DjangoCache"}
    return {name: each | {"LOCATION": os.path.join(folder, name)} for name, each in found.items()}


def as_django_tests(tests, params):
    """The settings of all the caches that BaseCacheTests asks for."""
    caches = tests.caches_setting_for_tests()
    for alias, own in caches.items():
        caches[alias] = {**params, **own, "OPTIONS": {**params.get("OPTIONS", {}), **own.get("OPTIONS", {})}}
    return caches


def classes(folder):
    """The test cases."""
    from cache import tests
    from django.test import TestCase, override_settings

    with_ours = override_settings
    for name, params in backends(folder).items():
        kind = type(f"{name}Tests", (tests.BaseCacheTests, TestCase), {"__module__": __name__})
        if "Diskcache" in name:
            # It has no limit to the number of entries, and no warnings about keys.
            for absent in ("test_cull", "test_zero_cull", "test_cull_delete_when_store_empty"):
                setattr(kind, absent, None)
            for absent in [each for each in dir(kind) if each.startswith("test_invalid_")]:
                setattr(kind, absent, None)
        yield with_ours(CACHES=as_django_tests(tests, params))(kind)
    ours = {"BACKEND": "fastcache.django.FastCache", "LOCATION": os.path.join(folder, "other")}
    own = dict.fromkeys(OF_FILES_ALONE) | {"test_touch": tests.BaseCacheTests.test_touch}
    for base in (tests.FileBasedCacheTests, tests.FileBasedCachePathLibTests):
        kind = type(f"Our{base.__name__}", (base,), own | {"__module__": __name__})
        yield with_ours(CACHES=as_django_tests(tests, ours))(kind)
    for base in (tests.CacheI18nTest, tests.CacheHEADTest, tests.CacheMiddlewareTest, tests.TestWithTemplateResponse):
        caches = {
            alias: params | ours | {"LOCATION": os.path.join(folder, base.__name__, alias), "OPTIONS": {}}
            for alias, params in base._overridden_settings["CACHES"].items()
        }
        yield with_ours(CACHES=caches)(type(f"Our{base.__name__}", (base,), {"__module__": __name__}))
    from sessions_tests import tests as sessions

    # One looks whether any cache that is named gets the data, by a name of Django's own.
    for base in (sessions.CacheSessionTests, sessions.CacheDBSessionTests):
        yield with_ours(CACHES={"default": ours})(type(f"Our{base.__name__}", (base,), {"__module__": __name__}))


def main():
    """Run them, and say which Django they are of."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--source", help="an unpacked source distribution of Django, or an archive of one")
    parser.add_argument("-k", dest="patterns", action="append", help="run what has this in its name")
    parser.add_argument("-v", "--verbose", action="count", default=1)
    parsed = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="django-conformance-")
    try:
        source = Path(parsed.source) if parsed.source else fetch(folder)
        if source.is_file():
            source = unpack(source, folder)
        sys.path.insert(0, str(source / "tests"))
        configure(os.path.join(folder, "default"))
        return run(folder, parsed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(folder, parsed):
    from django.test.runner import DiscoverRunner

    loader = unittest.TestLoader()
    loader.testNamePatterns = [f"*{pattern}*" for pattern in parsed.patterns] if parsed.patterns else None
    suite = unittest.TestSuite(loader.loadTestsFromTestCase(kind) for kind in classes(folder))
    runner = DiscoverRunner(verbosity=parsed.verbose, interactive=False)
    runner.setup_test_environment()
    databases = runner.setup_databases()
    result = runner.run_suite(suite)
    runner.teardown_databases(databases)
    runner.teardown_test_environment()
    failed = len(result.failures) + len(result.errors)
    print(
        f"Django {django.__version__}, Python {sys.version.split()[0]}: "
        f"{result.testsRun} tests, {failed} failed, {len(result.skipped)} skipped"
    )
    return not result.wasSuccessful()


if __name__ == "__main__":
    # As a module, so that settings may name what is here.
    sys.path.insert(0, str(Path(__file__).parent))
    sys.exit(importlib.import_module(Path(__file__).stem).main())
