"""The face's functions and methods take what diskcache's take, in the same order, with the same defaults."""

import importlib
import inspect

import pytest

from . import FACE, ORIGINAL

CLASSES = {
    "Cache": """__init__ transact set touch add incr decr get read pop delete push pull peek peekitem memoize check
        create_tag_index drop_tag_index evict expire cull clear iterkeys stats volume close reset""",
    "FanoutCache": """__init__ transact set touch add incr decr get read pop delete check expire create_tag_index
        drop_tag_index evict cull clear stats volume close reset cache deque index memoize""",
    "Deque": """__init__ fromcache append appendleft clear copy count extend extendleft peek peekleft pop popleft
        remove reverse rotate transact""",
    "Index": """__init__ fromcache setdefault peekitem pop popitem push pull clear keys values items memoize
        transact""",
    "Disk": "__init__ hash put get store fetch filename remove",
    "JSONDisk": "__init__ put get store fetch",
    "Averager": "__init__ add get pop",
    "Lock": "__init__ acquire release locked",
    "RLock": "__init__ acquire release",
    "BoundedSemaphore": "__init__ acquire release",
}
FUNCTIONS = ["throttle", "barrier", "memoize_stampede", "core.args_to_key", "core.full_name"]
METHODS = [f"{name}.{method}" for name, methods in CLASSES.items() for method in methods.split()]
MODULES = {
    "": """Averager BoundedSemaphore Cache DEFAULT_SETTINGS Deque Disk ENOVAL EVICTION_POLICY EmptyDirWarning
        FanoutCache Index JSONDisk Lock RLock Timeout UNKNOWN UnknownFileWarning barrier memoize_stampede throttle""",
    "core": """Cache Disk JSONDisk Timeout UnknownFileWarning EmptyDirWarning Constant DBNAME ENOVAL UNKNOWN MODE_NONE
        MODE_RAW MODE_BINARY MODE_TEXT MODE_PICKLE DEFAULT_SETTINGS METADATA EVICTION_POLICY args_to_key full_name""",
    "fanout": "FanoutCache",
    "persistent": "Deque Index",
    "recipes": "Averager Lock RLock BoundedSemaphore throttle barrier memoize_stampede",
}


def parameters(module, path):
    function = importlib.import_module(module)
    for name in path.split("."):
        function = getattr(function, name)
    return inspect.signature(function).parameters.values()


def taken(parameters):
    """Names, kinds and defaults; what takes all other names has no name that counts."""
    return [
        (
            "" if parameter.kind is parameter.VAR_KEYWORD else parameter.name,
            parameter.kind,
            getattr(parameter.default, "__name__", parameter.default),
        )
        for parameter in parameters
    ]


@pytest.mark.parametrize("path", [*FUNCTIONS, *METHODS])
def test_it_takes_the_same(path):
    pytest.importorskip(ORIGINAL)
    theirs = parameters(ORIGINAL, path)
    # What is ours alone needs its name.
    ours = [parameter for parameter in parameters(FACE, path) if parameter.kind is not parameter.KEYWORD_ONLY]
    assert taken(ours) == taken(theirs)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_the_same_names(library, module):
    found = importlib.import_module(f"{library.__name__}.{module}".rstrip("."))
    assert not [name for name in MODULES[module].split() if not hasattr(found, name)]


def test_what_is_imported_with_a_star(library):
    assert set(library.__all__) >= set(MODULES[""].split())
    for name in library.__all__:
        assert hasattr(library, name)
