"""Traces are read as they were written, the models do what their definitions say, and the player counts right."""

import gzip
import io
import json
import sys
from functools import cache
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

# What is in bench imports each other by these names, as it does when it is run from there.
sys.path.append(str(Path(__file__).resolve().parents[1] / "bench"))

import replacement
import synthetic
import trace_files
import traces
from contenders import BareContender
from loops import Loops

ARC = "10 3 0 0\n4 1 0 1\n11 2 0 2\n"
LIRS = "5\n*\n7\n5\n"
KEYS = "a key\n\n/path/of it\na key\n"

some_requests = st.lists(st.integers(0, 6), max_size=60)
some_capacities = st.integers(1, 6)


def requests_of(text, format_name=None):
    return list(trace_files.requests_of(io.StringIO(text), format_name))


@pytest.mark.parametrize("format_name", [None, "arc"])
def test_a_line_of_arc_asks_for_each_of_its_blocks(format_name):
    assert requests_of(ARC, format_name) == ["10", "11", "12", "4", "11", "12"]


@pytest.mark.parametrize("format_name", [None, "lirs"])
def test_a_line_of_lirs_is_a_block_unless_it_has_a_star(format_name):
    assert requests_of(LIRS, format_name) == ["5", "7", "5"]


@pytest.mark.parametrize("format_name", [None, "keys"])
def test_a_line_of_keys_is_a_key(format_name):
    assert requests_of(KEYS, format_name) == ["a key", "/path/of it", "a key"]


@pytest.mark.parametrize(
    ("text", "guessed"),
    [
        (ARC, "arc"),
        (LIRS, "lirs"),
        (KEYS, "keys"),
        ("*\n*\n", "keys"),
        ("", "keys"),
        ("1\n2\nthree\n", "keys"),
        ("1 2 3\n4 5 6\n", "keys"),
        ("1 2 3 4\n5\n", "keys"),
        ("\n 1 2 3 4 \n", "arc"),
    ],
)
def test_the_format_is_what_all_of_the_first_lines_agree_on(text, guessed):
    assert trace_files.guess(text.splitlines(keepends=True)) == guessed


@pytest.mark.parametrize(
    ("format_name", "line"), [("arc", "1 2 3"), ("arc", "1 -2 3 4"), ("lirs", "1 2"), ("lirs", "x")]
)
def test_a_line_of_another_format_is_an_error_that_names_it(format_name, line):
    with pytest.raises(trace_files.TraceError, match=f"line 2 is '{line}'"):
        requests_of(f"{'1 1 0 0' if format_name == 'arc' else '1'}\n{line}\n", format_name)


def test_a_trace_is_read_no_further_than_asked():
    def lines():
        yield from ["1 1000000000 0 0\n"] * trace_files.LOOKED_AT
        raise AssertionError("read too much")

    assert list(islice(trace_files.requests_of(lines()), 3)) == ["1", "2", "3"]


def test_a_file_may_be_packed_and_need_not_be_utf8(tmp_path):
    plain, packed = tmp_path / "trace", tmp_path / "trace.gz"
    plain.write_bytes(b"caf\xc3\xa9\ncaf\xe9\ncaf\xe8\n")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert trace_files.read(str(plain)) == ["café", "caf\\xe9", "caf\\xe8"] == trace_files.read(str(packed))
    assert trace_files.read(str(packed), limit=1) == ["café"]


def test_the_standard_input_can_be_a_trace(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LIRS.encode())))
    assert trace_files.read("-") == ["5", "7", "5"]


@pytest.mark.parametrize("name", synthetic.SEEDED)
def test_a_seed_makes_the_same_requests_each_time_and_another_seed_others(name):
    made = list(synthetic.SEEDED[name](3_000, 1))
    assert len(made) == 3_000
    assert list(synthetic.SEEDED[name](3_000, 1)) == made
    assert list(synthetic.SEEDED[name](3_000, 2)) != made


def test_a_loop_asks_for_all_keys_in_turn():
    made = list(synthetic.loop(250, 100))
    assert len(made) == 250
    assert len(set(made)) == 100
    assert made[100:200] == made[:100]
    assert made[200:] == made[:50]


def test_a_scan_asks_for_new_keys_only():
    between, scan = synthetic.BETWEEN_SCANS, synthetic.SCAN
    made = list(synthetic.scans(2 * (between + scan), 1))
    scanned = made[between : between + scan] + made[-scan:]
    assert len(set(scanned)) == 2 * scan
    assert set(scanned).isdisjoint(made[:between])


def test_the_hot_set_moves_by_half():
    stay, hot = synthetic.STAY, synthetic.HOT
    made = [int(key.removeprefix("shift-")) for key in synthetic.shift(2 * stay, 1)]
    for requests, start in ((made[:stay], 0), (made[stay:], hot // 2)):
        share = sum(start <= key < start + hot for key in requests) / stay
        assert share == pytest.approx(1 - synthetic.ELSEWHERE, abs=0.03)


def test_half_of_the_onehit_trace_is_asked_for_once():
    made = list(synthetic.onehit(10_000, 1))
    once = [key for key in made if key.startswith("once-")]
    assert len(once) == len(set(once)) == pytest.approx(5_000, abs=300)


def test_the_first_key_of_a_zipf_trace_is_asked_for_twice_as_often_as_the_second():
    made = list(synthetic.zipf(100_000, 1, keys=100))
    counts = sorted((made.count(key) for key in set(made)), reverse=True)
    assert counts[0] / counts[1] == pytest.approx(2, rel=0.05)
    assert counts[0] / counts[9] == pytest.approx(10, rel=0.1)


def hits(model, requests, capacity):
    """The requests, those that hit in capitals."""
    return "".join(key.upper() if hit else key for key, hit in zip(requests, model(requests, capacity), strict=True))


def test_fifo_evicts_what_was_stored_first_though_it_is_asked_for():
    # d evicts a, although that was just asked for; a evicts b, and b evicts c.
    assert hits(replacement.fifo, "abcadabc", 3) == "abcAdabc"
    assert hits(replacement.fifo, "abacada", 2) == "abAcadA"


def test_lru_evicts_what_was_not_asked_for_the_longest():
    # d evicts b, since a was asked for after it; b evicts c.
    assert hits(replacement.lru, "abcadab", 3) == "abcAdAb"
    assert hits(replacement.lru, "abacada", 2) == "abAcAdA"


def test_sieve_spares_what_was_asked_and_the_hand_stays_where_it_was():
    # For d the hand spares a and takes b; for e it takes c, where it stands, and not a, though a is the oldest.
    assert hits(replacement.sieve, "abcadeda", 3) == "abcAdeDA"
    # For f it spares d, which was asked for, and takes e, the newest: so it begins anew, and takes a for g.
    assert hits(replacement.sieve, "abcadedfgda", 3) == "abcAdeDfgDa"


def test_belady_evicts_what_is_asked_for_last():
    # With a and b held, c evicts b, which is asked for after a, and so on.
    assert hits(replacement.belady, "abcabc", 2) == "abcAbC"
    assert hits(replacement.belady, "abcdabcd", 3) == "abcdABcD"


def plain_sieve(requests, capacity):
    """By a list from the oldest to the newest entry, and the place of the hand in it."""
    queue, asked, hand = [], set(), 0
    for key in requests:
        yield key in queue
        if key in queue:
            asked.add(key)
            continue
        if len(queue) == capacity:
            hand %= capacity
            while queue[hand] in asked:
                asked.remove(queue[hand])
                hand = (hand + 1) % capacity
            del queue[hand]
            # Where the newest was taken, the hand is at the end, and the next time at the oldest.
            if hand == len(queue):
                hand = 0
        queue.append(key)


@given(some_requests, some_capacities)
def test_sieve_does_what_a_plain_list_does(requests, capacity):
    assert list(replacement.sieve(requests, capacity)) == list(plain_sieve(requests, capacity))


def most_hits(requests, capacity):
    """By trying every choice of what to evict."""

    @cache
    def most(at, held):
        if at == len(requests):
            return 0
        key = requests[at]
        if key in held:
            return 1 + most(at + 1, held)
        if len(held) < capacity:
            return most(at + 1, held | {key})
        return max(most(at + 1, held - {evicted} | {key}) for evicted in held)

    return most(0, frozenset())


@given(st.lists(st.integers(0, 5), max_size=14), st.integers(1, 4))
def test_no_choice_has_more_hits_than_belady(requests, capacity):
    assert sum(replacement.belady(requests, capacity)) == most_hits(tuple(requests), capacity)


@given(some_requests, some_capacities)
def test_belady_has_no_fewer_hits_than_the_others(requests, capacity):
    counted = {name: sum(model(requests, capacity)) for name, model in replacement.MODELS.items()}
    assert max(counted.values()) == counted["Belady's optimum"]


@given(some_requests)
def test_with_room_for_everything_only_the_first_request_of_a_key_misses(requests):
    for model in replacement.MODELS.values():
        assert list(model(requests, 7)) == [key in requests[:at] for at, key in enumerate(requests)]


class DictOfFiles(dict):
    """A cache that keeps so many bytes of what was set last, and is a file in its directory as large as they are."""

    def __init__(self, directory, max_size, eviction="fifo"):
        self.file = Path(directory, "values")
        self.file.parent.mkdir()
        self.max_size = max_size

    def set(self, key, value):
        self[key] = value
        while self.volume() > self.max_size:
            del self[next(iter(self))]
        self.file.write_bytes(bytes(self.volume()))

    def volume(self):
        return sum(map(len, self.values()))

    def close(self):
        self.file.with_name("values-wal").write_bytes(b"not counted")


class DictContender(BareContender):
    def open_bounded(self, directory, most_bytes, **settings):
        return Loops(DictOfFiles(directory, most_bytes, **settings))


@pytest.fixture
def dict_alone(monkeypatch):
    """The only contender there is."""
    contender = DictContender("a dict", "builtins", peer=True)
    monkeypatch.setattr(traces, "PEERS", {"a dict": contender})
    return contender


def test_a_played_trace_hits_as_its_model_does(dict_alone, tmp_path):
    requests = list(synthetic.zipf(6_000, 3, keys=900))
    played = traces.Player(300 * 10, 10, str(tmp_path)).play("a dict", dict_alone, requests)
    assert played.requests == 6_000
    assert played.hits == sum(replacement.fifo(requests, 300))
    assert (played.entries, played.held) == (300, 300)
    assert played.volume == played.on_disk == played.most_on_disk == 3_000
    assert played.seconds > 0
    assert not list(tmp_path.iterdir())


def test_what_never_evicts_was_never_full(dict_alone):
    requests = list(synthetic.zipf(3_000, 3, keys=900))
    played = traces.Player(1_000_000, 10).play("a dict", dict_alone, requests)
    assert (played.held, played.entries) == (None, len(set(requests)))


def test_traces_are_played_from_end_to_end(dict_alone, tmp_path, capsys):
    trace, results = tmp_path / "small.lirs", tmp_path / "results.json"
    trace.write_text("1\n2\n*\n1\n3\n2\n" * 2)
    arguments = ["--policies", "", "--peers", "a dict", "--value-size", "10", "--max-size", "20", "--capacity", "2"]
    traces.main([str(trace), "loop", "--requests", "30", "--limit", "5", *arguments, "--json", str(results)])
    printed = capsys.readouterr().out
    assert "small.lirs: 5 requests of 3 keys; values of 10 bytes" in printed
    assert "| exact LRU | 20.00 | +0.00 |  | 2 |" in printed
    assert "| exact FIFO | 40.00 | +20.00 |" in printed
    small, looped = json.loads(results.read_text())
    assert {row["name"]: row["hits"] for row in small["rows"]} == {
        "a dict": 2,
        "exact LRU": 1,
        "exact SIEVE": 1,
        "exact FIFO": 2,
        "Belady's optimum": 2,
    }
    assert (looped["requests"], looped["keys"], looped["capacity"]) == (30, 2, 2)


def test_the_models_hold_as_many_entries_as_lru_does(dict_alone, monkeypatch, capsys):
    monkeypatch.setattr(traces, "FASTCACHE", dict_alone)
    sizes = ["--value-size", "10", "--max-size", "3000", "--peers", ""]
    traces.main(["zipf", "loop", "--requests", "5000", "--policies", "fifo,lru", *sizes])
    printed = capsys.readouterr().out
    assert printed.count("and one of 300 entries for the models") == 2
    assert "loop (1.2 times the capacity): 5,000 requests of 360 keys" in printed


def test_without_lru_the_capacity_is_that_of_a_cache_filled_for_it(dict_alone, monkeypatch, capsys):
    monkeypatch.setattr(traces, "FASTCACHE", dict_alone)
    sizes = ["--value-size", "10", "--max-size", "3000"]
    traces.main(["zipf", "--requests", "1000", "--policies", "", *sizes])
    assert "and one of 300 entries for the models" in capsys.readouterr().out
    monkeypatch.setattr(DictOfFiles, "volume", lambda self: 0)
    with pytest.raises(RuntimeError, match="evicted nothing of 3,200 entries; give --capacity"):
        traces.main(["zipf", "--requests", "1000", "--policies", "", *sizes])


def test_the_models_can_be_alone(capsys):
    traces.main(["zipf", "--requests", "1000", "--models-only", "--capacity", "100"])
    assert [line.split(" | ")[0] for line in capsys.readouterr().out.splitlines()[4:-1]] == [
        f"| {name}" for name in replacement.MODELS
    ]


def test_models_alone_need_a_capacity(capsys):
    with pytest.raises(SystemExit):
        traces.main(["zipf", "--models-only"])
    assert "--capacity" in capsys.readouterr().err


def test_a_trace_without_requests_is_refused(tmp_path):
    empty = tmp_path / "empty"
    empty.touch()
    with pytest.raises(trace_files.TraceError, match="no requests"):
        traces.main([str(empty), "--models-only", "--capacity", "1"])
