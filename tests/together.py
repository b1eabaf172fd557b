"""Threads that start together and whose failures reach the test."""

import threading

PATIENCE_SECONDS = 120


def together(*functions):
    """Run each function in a thread of its own, all released at once; return their results in order."""
    barrier = threading.Barrier(len(functions))
    results = [None] * len(functions)
    failures = []

    def run(position, function):
        try:
            barrier.wait(PATIENCE_SECONDS)
            results[position] = function()
        except BaseException as failure:
            failures.append(failure)

    threads = [
        threading.Thread(target=run, args=(position, function), daemon=True)
        for position, function in enumerate(functions)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive(), "a thread is stuck"
    if failures:
        raise failures[0]
    return results


def in_a_thread(function):
    """Run the function in another thread; return what it returns, raise what it raises."""
    return together(function)[0]
