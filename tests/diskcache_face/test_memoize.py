"""Memoized functions of every container, and the keys of their calls."""

import functools

import pytest

from . import Point

ABSENT = object()


@pytest.fixture(params=["Cache", "FanoutCache", "Index"])
def container(library, directory, request):
    container = getattr(library, request.param)(directory)
    yield container
    (container.cache if request.param == "Index" else container).close()


def counted(function):
    """The function, which counts its calls."""

    @functools.wraps(function)
    def counting(*args, **kwargs):
        counting.calls += 1
        return function(*args, **kwargs)

    counting.calls = 0
    return counting


@counted
def together(*args, **kwargs):
    return args, kwargs


@pytest.fixture(autouse=True)
def _begin():
    together.calls = 0


def test_a_call_is_computed_once(container):
    memoized = container.memoize()(together)
    for _ in range(3):
        assert memoized(1, "a", b=Point(1, 2)) == ((1, "a"), {"b": Point(1, 2)})
    assert together.calls == 1


@pytest.mark.parametrize(
    ("one", "other", "calls"),
    [
        (((1, 2), {}), ((1, 2), {}), 1),
        (((1,), {"a": 1, "b": 2}), ((1,), {"b": 2, "a": 1}), 1),
        (((1, 2), {}), ((2, 1), {}), 2),
        (((1,), {}), ((), {"a": 1}), 2),
        ((("a", 1), {}), ((), {"a": 1}), 2),
        ((([1],), {}), (([1],), {}), 1),
        (((), {}), ((None,), {}), 2),
    ],
)
def test_which_calls_are_the_same(container, one, other, calls):
    memoized = container.memoize()(together)
    for args, kwargs in (one, other):
        assert memoized(*args, **kwargs) == (args, kwargs)
    assert together.calls == calls


@pytest.mark.parametrize("result", [None, False, 0, (), "x" * 200_000])
def test_any_result_is_kept(container, result):
    @counted
    def function():
        return result

    memoized = container.memoize()(function)
    assert [memoized(), memoized()] == [result, result]
    assert function.calls == 1


def test_what_is_raised_is_not_kept(container):
    @counted
    def function():
        raise ValueError("wrong")

    memoized = container.memoize()(function)
    for _ in range(2):
        with pytest.raises(ValueError, match="wrong"):
            memoized()
    assert function.calls == 2


def test_it_looks_like_the_function(container):
    def function(number):
        """Twice the number."""
        return 2 * number

    memoized = container.memoize()(function)
    assert memoized.__wrapped__ is function
    assert memoized.__name__ == "function"
    assert memoized.__doc__ == "Twice the number."
    assert memoized.__module__ == __name__


def test_the_key_of_a_call_finds_its_result(container):
    memoized = container.memoize()(together)
    memoized(1, b=2)
    key = memoized.__cache_key__(1, b=2)
    assert container[key] == ((1,), {"b": 2})
    assert list(container) == [key]
    del container[key]
    memoized(1, b=2)
    assert together.calls == 2


def test_the_key_begins_with_the_name(library, container):
    def function():
        pass

    assert container.memoize()(function).__cache_key__(1)[0] == library.core.full_name(function)
    assert container.memoize("name")(function).__cache_key__(1) == ("name", 1, None)
    assert container.memoize(name="name")(function).__cache_key__(1) == ("name", 1, None)


def test_functions_of_one_name_share_results(container):
    one = container.memoize("name")(together)
    other = container.memoize("name")(lambda number: number)
    assert one(1) == other(1) == ((1,), {})


def test_without_a_name_they_do_not(container):
    def other(number):
        return number

    assert container.memoize()(together)(1) == ((1,), {})
    assert container.memoize()(other)(1) == 1


@pytest.mark.parametrize("typed", [False, True])
def test_types_of_arguments_may_count(container, typed):
    memoized = container.memoize(None, typed)(together)
    assert memoized(1) == memoized(1) == ((1,), {})
    assert together.calls == 1
    assert (memoized.__cache_key__(1) == memoized.__cache_key__(1.0)) == (not typed)


def test_arguments_can_be_ignored(container):
    memoized = container.memoize(ignore={1, "b"})(together)
    assert memoized(1, 2, 3, a=4, b=5) == ((1, 2, 3), {"a": 4, "b": 5})
    assert memoized(1, "x", 3, a=4, b="x") == ((1, 2, 3), {"a": 4, "b": 5})
    assert together.calls == 1
    memoized("x", 2, 3, a=4, b=5)
    memoized(1, 2, 3, a="x", b=5)
    assert together.calls == 3


def test_a_function_needs_the_decorator_to_be_called(container):
    with pytest.raises(TypeError, match="name cannot be callable"):
        container.memoize(together)


def test_recursion(container):
    @container.memoize()
    def fibonacci(number):
        return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)

    assert fibonacci(100) == 354224848179261915075
    assert container[fibonacci.__cache_key__(100)] == 354224848179261915075
    assert len(container) == 101


@pytest.mark.parametrize("container", ["Cache", "FanoutCache"], indirect=True)
def test_results_have_a_tag_and_expire(container):
    memoized = container.memoize("name", False, 100, "red")(together)
    memoized(1)
    _, expire_time, tag = container.get(memoized.__cache_key__(1), expire_time=True, tag=True)
    assert expire_time is not None
    assert tag == "red"
    assert container.evict("red") == 1
    memoized(1)
    assert together.calls == 2


@pytest.mark.parametrize("container", ["Cache", "FanoutCache"], indirect=True)
def test_what_expires_at_once_is_not_kept(container):
    memoized = container.memoize(expire=0)(together)
    memoized(1)
    memoized(1)
    assert together.calls == 2
    assert len(container) == 0
    container[memoized.__cache_key__(2)] = "from elsewhere"
    assert memoized(2) == "from elsewhere"


def test_results_are_found_by_who_opens_the_directory_next(library, directory):
    with library.Cache(directory) as cache:
        cache.memoize()(together)(1)
    with library.Cache(directory) as again:
        assert again.memoize()(together)(1) == ((1,), {})
    assert together.calls == 1


@pytest.mark.parametrize(
    ("args", "kwargs", "typed", "ignore", "key"),
    [
        ((), {}, False, (), ("base", None)),
        ((1, "a"), {}, False, (), ("base", 1, "a", None)),
        ((1,), {"b": 2, "a": 3}, False, (), ("base", 1, None, "a", 3, "b", 2)),
        ((1, "a"), {}, True, (), ("base", 1, "a", None, int, str)),
        ((1,), {"b": 2.0}, True, (), ("base", 1, None, "b", 2.0, int, float)),
        ((1, 2, 3), {"a": 1, "b": 2}, False, {0, 2, "b"}, ("base", 2, None, "a", 1)),
        ((1, 2), {"a": 1}, True, {0, "a"}, ("base", 2, None, int)),
    ],
)
def test_the_key_of_arguments(library, args, kwargs, typed, ignore, key):  # noqa: PLR0917
    assert library.core.args_to_key(("base",), args, kwargs, typed, ignore) == key


def test_the_full_name_of_a_function(library):
    assert library.core.full_name(together) == f"{__name__}.together"
    assert library.core.full_name(Point.__eq__) == f"{Point.__module__}.Point.__eq__"
    assert library.core.full_name(Point) == f"{Point.__module__}.Point"
