"""Throw damaged and hostile payloads at every decoder, and look at what comes out.

    python tests/soak_decoders.py --payloads 1000000 --seed 1
    python tests/soak_decoders.py --payloads 1000000 --engine atheris

Whoever can write into a cache's directory must not be able to run code in a program that reads it, nor to end it.
Samples of what is really stored, and short programs of opcodes made by hand, are mutated and decoded:

- *whole paths* (rows, keys and value files of a cache, planted with sqlite3) may raise kinds of CacheError only;
- *serializers of ours, alone*, likewise;
- *bare decoders* (what the engine calls, and wraps) may raise any Exception, of which the engine makes the cause of its
  own, but MemoryError, which it lets through: no payload is worth so much memory.

Decoding happens in child processes, with a limit on memory and on time. Payload number N depends on the seed, the
decoder and N alone, and a child writes N into a shared page before it decodes. So whatever ends the child (a signal,
the time limit), the payload can be made again, and is reported in hexadecimal; the next child goes on behind it. A
child also notices attempts to run something: an audit hook sees Python's own ways, and the PATH leads to programs that
tell that they were started, for libraries written in C.

With atheris (libFuzzer) payloads follow the coverage of fastcache's Python modules, and --seed chooses its seed.
"""

import argparse
import array
import collections
import contextlib
import dataclasses
import datetime
import decimal
import enum
import faulthandler
import fractions
import functools
import importlib.util
import json
import mmap
import os
import pathlib
import random
import reprlib
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import typing
import uuid

import fastcache
from fastcache.engine.codecs.compression import by_number

SECRET = "the secret of the decoders' soak"
BATCH = 500
BATCH_SECONDS = 20
MEMORY_BYTES = 4 << 30
# A decoder with so many findings is not asked further.
ENOUGH = 10
LARGEST = 200_000
# So many containers in one another overflow the stack of whoever follows them by recursion.
DEEP = 200_000
COMPRESSION = {"zstd": ("zstandard", 1), "lz4": ("lz4", 2), "blosc2": ("blosc2", 3)}
SERIALIZED, SIGNED, BUFFERS, COMPRESSION_SHIFT = 16, 0x100, 0x200, 12
MARK = b"\xfcfc\x01"

# What no decoder has any business with, and loading a library neither.
FORBIDDEN = {
    *("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.startfile", "subprocess.Popen", "pty.spawn"),
    *("os.chmod", "os.chown", "shutil.rmtree", "socket.connect"),
}


# -- samples ---------------------------------------------------------------------------------------------------------
#
# A sample is a tuple of parts, bytes or ints, which are mutated one by one.


class Level(enum.Enum):
    LOW = 1
    HIGH = 2


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Rich(enum.Enum):
    """With more than members, and with values that are no plain data."""

    KIND = int
    PAIR = (1, 2)

    def act(self, *_):
        os.system("true")

    told = property(act)
    extend = __setitem__ = __setstate__ = act


class Point(typing.NamedTuple):
    x: float
    y: float


@dataclasses.dataclass(frozen=True)
class Place:
    name: str
    number: int


class Slotted:
    __slots__ = ("left", "right")

    def __init__(self, left=1, right=2):
        self.left, self.right = left, right


# Importable under this name in every process, whether this runs as a command or as a module.
for _kind in (Level, Access, Rich, Point, Place, Slotted):
    _kind.__module__ = "soak_decoders"
sys.modules.setdefault("soak_decoders", sys.modules[__name__])

SAFE_TYPES = (Level, Access, Rich, Point, Place, Slotted)


def serializer():
    return fastcache.PickleSerializer(safe_types=SAFE_TYPES, secret=SECRET)


def plain_values():
    utc = datetime.timezone.utc
    now = datetime.datetime(2026, 2, 28, 12, 30, 1, 5)
    path = pathlib.PurePosixPath("/a/b")
    yield from ([], {}, (), set(), frozenset("ab"), bytearray(b"abc"), [1, -1, 300, 70_000, 2**40, 2**3000, 1.5, None])
    yield from (["é\ud800", b"x" * 300, True, False, ...], {"a": {"b": (1, (2, (3, [])))}}, [[[[[[]]]]]], {1, 2, 3})
    yield from (now, now.replace(tzinfo=utc), now.date(), now.time(), datetime.timedelta(1, 2, 3), utc)
    yield from (decimal.Decimal("1.5e-7"), fractions.Fraction(1, 3), uuid.UUID(int=7), 1j, range(1, 9, 2), slice(1, 2))
    yield datetime.timezone(datetime.timedelta(hours=1), "one")
    yield from (path, pathlib.PureWindowsPath("c:/x"), collections.OrderedDict(a=1), collections.deque([1, 2], 5))
    yield collections.defaultdict(list, a=[1])
    yield {now: [path, (decimal.Decimal(1), {fractions.Fraction(1, 2): slice(None)})]}
    yield from (Access.READ | Access.WRITE, Access(0), Rich.KIND, [Rich.PAIR, {Rich.KIND: Access.READ}])
    yield from (Level.LOW, Point(1.0, 2.0), Place("here", 1), Slotted(), [Place("a", 1), {Level.HIGH: Point(0.5, 1.0)}])
    if importlib.util.find_spec("numpy"):
        yield from arrays()


def arrays():
    import numpy

    yield numpy.arange(5)
    yield numpy.asfortranarray(numpy.arange(6.0).reshape(2, 3))
    yield from (numpy.zeros((0, 3)), numpy.array(["ab", "c"]), numpy.array([b"ab"]), numpy.array([1j, 2]))
    yield from (numpy.array(["2026-01-01"], "M8[D]"), numpy.array([True]), numpy.zeros(2, "m8[5s]"))
    yield from (numpy.float32(1), numpy.datetime64("2026-01-01"), numpy.str_("a\0"), numpy.bytes_(b"a"), numpy.int8(1))
    fields = numpy.dtype([("a", "i4"), (("title", "b"), "f8", (2, 3)), ("c", [("d", "U3")])], align=True)
    yield from (fields, numpy.zeros(3, fields), numpy.zeros(2, fields)[0], numpy.dtype(("f4", (2, 2))))


def large_arrays():
    """What travels beside the pickle."""
    if not importlib.util.find_spec("numpy"):
        return
    import numpy

    yield numpy.arange(5000)
    yield [numpy.zeros((50, 60)), {"b": numpy.ones(20_000, "u1")}]


def other_values():
    """What has to be signed."""
    yield from (int, [len, print], array.array("i", [1, 2]), {"a": ValueError("x")})


def text(of):
    encoded = of.encode()
    return b"\x8c" + bytes([len(encoded)]) + encoded


def raw(of):
    return b"C" + bytes([len(of)]) + of


def builder(name):
    return text("fastcache.plain") + text(name) + b"\x93"


def call(name, *arguments):
    return builder(name) + b"(" + b"".join(arguments) + b"tR"


def programs():
    """Pickles by hand: what the pickler does not write, near to what is refused, or to what would do harm."""
    bodies = [
        text("os") + text("system") + b"\x93" + text("true") + b"\x85R",
        text("builtins") + text("Ellipsis") + b"\x93",
        builder("build_date") + b"}b",
        builder("build_date") + b")\x81",
        call("build_date", raw(b"\x07\xea\x02\x1c")),
        call("build_time", raw(b"\x0c\x1e\x01\0\0\x05")),
        call("build_datetime", raw(b"\x07\xea\x02\x1c\x0c\x1e\x01\0\0\x05"), call("build_timezone", b"K\1")),
        call("build_array", raw(b"abcdefgh"), text("<i4"), b"K\2\x85", text("C")),
        call("build_array", raw(b""), text("|S0"), b"K\3\x85", text("C")),
        call("build_array", raw(b"abc"), text("|V0"), b"J\1\0\0\0\x85", text("C")),
        call("build_array", b"\x96" + struct.pack("<Q", 8) + b"abcdefgh\x94", text("|u1"), b"K\x08\x85", text("F"))
        + b"\x940h\0(K\1K\2eh\1h\0\x86",
        call("build_array", b"\x97", text("|u1"), b"K\x08\x85", text("C")),
        call("build_array", b"\x97\x98", text("<M8[7s]"), b"K\1K\1\x86", text("C")),
        call("build_scalar", text("<U1"), raw(b"a\0\0\0")),
        call("build_scalar", text("<f16"), raw(bytes(16))),
        call("build_dtype", text("<i4") + b"K\2K\3\x86\x86"),
        call(
            "build_dtype",
            b"}(" + text("names") + b"]" + text("a") + b"a" + text("formats") + b"]" + text("<i4") + b"au",
        ),
        call("build_deque", b"]K\2") + call("build_deque", b"]N") + b"a",
        call("build_defaultdict", text("list"), b"}") + b"K\1" + call("build_ordered_dict", b"}") + b"s",
        call("build_listed", text("soak_decoders:Slotted"), b"\x89)NNN"),
        call("build_listed", text("soak_decoders:Slotted"), b"\x89)N}" + text("left") + b"Ns\x86NN"),
        call("build_listed", text("soak_decoders:Level"), b"\x88K\1\x85NNN"),
        call("build_listed", text("soak_decoders:Level"), b"\x88K\1\x85", b"N]K\1a}K\1K\2s"),
        call("build_listed", text("soak_decoders:Access"), b"\x88\x8a\x20" + b"\xff" * 31 + b"\x7f\x85NNN"),
        *(
            call("build_member", text("soak_decoders:Rich"), text(name))
            for name in ("KIND", "told", "act", "mro", "__reduce__", "__class__", "_member_map_", "KIND.act")
        ),
        call("build_member", text("soak_decoders:Place"), text("__init__")),
        call("build_member", call("build_member", text("soak_decoders:Rich"), text("KIND")), text("KIND")),
        call("build_member", text("soak_decoders:Rich"), text("KIND")) + b"}" + text("_value_") + b"K\1sb",
        text("builtins")
        + text("getattr")
        + b"\x93"
        + text("soak_decoders")
        + text("Rich")
        + b"\x93"
        + text("told")
        + b"\x86R",
        call("build_listed", text("soak_decoders:Place"), b"\x88" + text("a") + b"K\1\x86}NN"),
        call("build_path", text("PosixPath"), text("/"), text("a")),
        b"}" + b")\x94h\0h\0\x86\x94h\1h\1\x86\x94h\2h\2\x86" + b"Ns",
        b"}" + b")" + b"\x85" * 900 + b"Ns",
        b")" + b"\x85" * 1100,
        b"]" * 500 + b"a" * 499,
        b"\x8f(K\1K\2\x90" + b"(K\1)\x91",
        b"\x96" + struct.pack("<Q", 3) + b"abc" + call("build_slice", b"N", b"K\2", b"N") + raw(b"x") + b"s",
        b"(K\1K\x021N",
        b"\x8a\x04\xff\xff\xff\x7f",
        b"\x95" + struct.pack("<Q", 3) + b"K\1",
        b"\x8e" + struct.pack("<Q", 2) + b"ab",
        b"\x82\1",
    ]
    for body in bodies:
        yield b"\x80\x05" + body + b"."


def memoized(body):
    """Remembered, and off the stack."""
    return body + b"\x940"


def chain(make, link, joint, length):
    """Containers in containers, as deep as that. What ``make`` leaves is called with nothing, or with None."""
    return memoized(make) + memoized(b"N\x85") + link + (joint + link) * (length - 1)


def doubled(first, again, times):
    """What is made of two of the one before, so many times: few bytes, and 2**times to walk over."""
    return memoized(first) + b"".join(memoized(again(b"h" + bytes([number]))) for number in range(times))


def pair_of_fields(inner):
    names = b"](" + text("a") + text("b") + b"e"
    return b"}(" + text("names") + names + text("formats") + b"](" + inner + inner + b"eu"


def hidden(body):
    """A program in what seems to be a text.

    An unpickler that reads a file drops the rest of a frame when it reads beyond its end; so it goes on elsewhere than
    who walks from one opcode to the next.
    """
    body += b"."
    # No byte of its length may be none of a text.
    while any(byte > 0x7F for byte in struct.pack("<I", 5 + len(body))):
        body += b"."
    frame = builder("build_deque") + b"0\x8c\x20" + b"a" * 10
    behind = b"b" * 22 + b"X" + struct.pack("<I", 5 + len(body)) + b"c" * 5 + body
    return b"\x95" + struct.pack("<Q", len(frame)) + frame + behind


def field_far_behind():
    """An array, to which BUILD gives a type with a field a gigabyte behind its items."""
    fields = b"}" + text("a") + call("build_dtype", text("<i8")) + b"J\0\0\0\x40\x86s"
    state = b"(K\3" + text("|") + b"N" + text("a") + b"\x85" + fields + b"K\x08K\1K\0tb"
    array = call("build_array", raw(b""), text("|u1"), b"K\0\x85", text("C"))
    return array + b"(K\1K\2\x85" + call("build_dtype", text("|V8")) + state + b"\x89" + raw(bytes(16)) + b"tb"


def hostile():
    """What ended a process, or kept it busy for ever, before it was refused."""
    bodies = [
        # CPython lets go of these by recursion.
        chain(builder("build_deque"), b"h\0)R", b"", DEEP) + b"a" * (DEEP - 1),
        chain(builder("build_defaultdict"), b"h\0h\1R", b"K\0", DEEP) + b"s" * (DEEP - 1),
        # A hash is not remembered, and equal parts are walked over again.
        doubled(b")", lambda inner: inner + inner + b"\x86", 60) + b"}h\x3cNs",
        doubled(text("|V0"), pair_of_fields, 40) + builder("build_dtype") + b"h\x28\x85R",
        # numpy divides by the size of the items, and by the unit's divisor.
        call("build_array", raw(b"abc"), text("|V0"), b"J\xff\xff\xff\xff\x85", text("C")),
        call("build_array", raw(b"abc"), text("<i4") + b"K\0\x85\x86", b"J\xff\xff\xff\xff\x85", text("C")),
        call("build_dtype", text("<M8[s/0]")),
        # numpy gives a text without a size that of one character.
        call("build_array", raw(b""), text("|S0"), b"\x8a\x06\0\0\0\0\0\x20\x85", text("C")),
        call("build_array", raw(b""), text("|V0"), b"\x8a\x08\0\0\0\0\0\0\0\x10\x85", text("C")),
        hidden(field_far_behind()),
        # A constructor that looks at the month alone.
        call("build_date", raw(b"\0\0\1\0")),
        call("build_datetime", raw(b"\0\0\1\0\xff\xff\xff\xff\xff\xff")),
    ]
    for body in bodies:
        yield b"\x80\x05" + body + b"."


def laid_out(payload, buffers):
    """A pickle and what travels beside it, as engine/codecs/values.pyx lays them out."""
    numbers = [len(buffers), len(payload), *map(len, buffers)]
    whole = struct.pack(f"<{len(numbers)}Q", *numbers) + payload
    for buffer in buffers:
        whole += bytes(-len(whole) % 64) + buffer
    return whole


def pickles():
    ours = serializer()
    for value in (*plain_values(), *large_arrays(), *other_values()):
        yield (ours.dumps(value),)
    for key in (Level.LOW, (uuid.UUID(int=8), 1), Point(1.0, 0.5), len):
        yield (ours.dumps_key(key),)
    for program in (*programs(), *hostile()):
        yield (program,)


def pickles_with_buffers():
    rules = serializer().trust
    for value in (*large_arrays(), *plain_values()):
        payload, buffers, _, _ = rules.pack(value)
        yield (payload, *(bytes(buffer) for buffer in buffers))
    for program in (*programs(), *hostile()):
        yield (program, bytes(64))


def messages():
    import msgspec

    encode = msgspec.msgpack.Encoder().encode
    yield (encode([1, -1, 2**40, 1.5, None, True, "é", b"ab", {"a": [1, {"b": 2}]}, "x" * 300]),)
    yield (encode(datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)),)
    yield (encode({"name": "a", "number": 1}),)
    yield (encode(list(range(200))),)
    yield (b"\x91" * 5000 + b"\1",)
    ours = fastcache.MsgspecSerializer()
    if importlib.util.find_spec("numpy"):
        for array in arrays():
            with contextlib.suppress(NotImplementedError):
                yield (ours.dumps([array, 1]),)
    for code, content in ((1, ["<i4", [2], "C"]), (2, "<i4"), (9, 1), (-1, [1, 2]), (1, [{"names": ["a"]}, [1], "F"])):
        yield (encode(msgspec.msgpack.Ext(code, encode([content, b"12345678"]))),)


def compressible():
    yield from ((bytes(3000), 1), (bytes(range(256)) * 20, 1), (random.Random(1).randbytes(2000), 1))
    yield from ((array.array("i", range(3000)).tobytes(), 4), (array.array("d", range(4000)).tobytes(), 8))


def compressed(name):
    library = by_number(COMPRESSION[name][1])
    for whole, itemsize in compressible():
        chunk = library.compress(whole, itemsize)
        if chunk is not None:
            yield (chunk, len(whole))
    if name == "blosc2":
        yield from hostile_chunks(library)


def hostile_chunks(library):
    """Chunks that name a codec which blosc2 looks for by starting Python, and one that stands for two gigabytes."""
    whole = bytes(range(256)) * 10
    for codec in range(32, 48):
        chunk = bytearray(library.compress(whole, 1))
        # The codec is another than those in the flags, and nothing is stored as it is.
        chunk[2] = chunk[2] & 0x1D | 6 << 5
        chunk[22] = codec
        yield (bytes(chunk), len(whole))
    zeros = bytearray(library.library.compress2(bytes(1 << 20), typesize=1))
    size = (1 << 31) - 64
    zeros[4:8] = size.to_bytes(4, "little")
    yield (bytes(zeros), size)


def installed():
    """The names of the compression libraries that are."""
    return [name for name, (module, _) in COMPRESSION.items() if importlib.util.find_spec(module)]


def stored_rows():
    """What a cache has written: key, codec, value. Files aside."""
    for compression in (None, *installed()):
        with tempfile.TemporaryDirectory() as folder:
            options = {"secret": SECRET, "safe_types": SAFE_TYPES, "compression": compression}
            with fastcache.Cache(folder, **options) as cache:
                values = [*plain_values(), *large_arrays(), *other_values()]
                values += [2**70, float("nan"), True, "\ud800", ["x"] * 2000, bytes(3000), "é" * 3000, [int] * 1000]
                for number, value in enumerate(values):
                    cache[b"%d" % number] = value
            with contextlib.closing(sqlite3.connect(os.path.join(folder, "cache.db"))) as database:
                for key, codec, value, file in database.execute("SELECT key, codec, value, file FROM entry"):
                    stored = value if file is None else pathlib.Path(folder, "values", file).read_bytes()
                    if isinstance(stored, bytes):
                        yield (key, codec, stored)


def rows():
    yield from stored_rows()
    for program in (*programs(), *hostile()):
        yield (b"k", SERIALIZED, program)
        yield (b"k", SERIALIZED | BUFFERS, laid_out(program, [bytes(64)]))


def message_rows():
    for (message,) in messages():
        yield (b"k", SERIALIZED, message)


def keys():
    with tempfile.TemporaryDirectory() as folder:
        kinds = [None, 2**70, 0.5, (1, "a", b"b", (2.5, None)), frozenset([1, "x", (2,)]), "\ud800", MARK, Level.LOW]
        kinds += [(Level.HIGH, decimal.Decimal("0.1")), datetime.date(2026, 1, 1), len, (uuid.UUID(int=1), ...)]
        with fastcache.Cache(folder, secret=SECRET, safe_types=SAFE_TYPES) as cache:
            for key in kinds:
                cache[key, "in a tuple"] = cache[key] = 1
        with contextlib.closing(sqlite3.connect(os.path.join(folder, "cache.db"))) as database:
            for (key,) in database.execute("SELECT key FROM entry WHERE typeof(key) = 'blob'"):
                yield (key,)
    for program in (*programs(), *hostile()):
        yield (MARK + b"P" + struct.pack(">I", len(program)) + program,)


# -- mutations -------------------------------------------------------------------------------------------------------

INTERESTING = sorted(
    {0, 1, 2, 7, 8, 16, 31, 32, 33, 36, 37, 63, 64, 65, 100, 127, 128, 255, 256, 1000, 1024, 4096, 65535, 65536}
    | {2**power + step for power in (24, 30, 31, 32, 40, 47, 62, 63, 64) for step in (-1, 0, 1)}
)
OPCODES = bytes(
    [*b"()]}.01NRKMJGCBXabehjstu", *range(0x80, 0x99), *b"cioQPgpqr2dlIFLSTUVZ"],
)  # fmt: skip
WORDS = b"""
    build_array build_dtype build_scalar build_deque build_slice build_listed fastcache.plain builtins
    |S0 |V0 <U0 <M8[s/0] <f16 |O <U9 names formats titles offsets list __class__ __dict__ 1e999999999
    build_member soak_decoders:Level soak_decoders:Access soak_decoders:Rich KIND told act __reduce__ getattr or_
""".split()


def number_in_bytes(chance):
    number = chance.choice(INTERESTING)
    width = chance.choice((1, 2, 4, 8))
    number = -number if chance.random() < 0.2 else number
    return (number % (1 << 8 * width)).to_bytes(width, chance.choice(("little", "big")))


def mutate_once(chance, data, others):
    """Change ``data`` (a bytearray) in one way."""
    at = chance.randrange(len(data) + 1)
    # Heads matter more than what they describe.
    if chance.random() < 0.3:
        at = min(at, chance.randrange(64))
    act = chance.randrange(10)
    if act == 0 and at < len(data):
        data[at] ^= 1 << chance.randrange(8)
    elif act == 1 and at < len(data):
        data[at] = chance.randrange(256)
    elif act == 2:
        data[at:at] = chance.randbytes(chance.randrange(1, 5))
    elif act == 3:
        del data[at : at + chance.choice((1, 1, 2, 8, 100))]
    elif act == 4:
        number = number_in_bytes(chance)
        data[at : at + len(number)] = number
    elif act == 5 and at < len(data):
        data[at] = chance.choice(OPCODES)
    elif act == 6:
        data[at:at] = bytes([chance.choice(OPCODES)]) * chance.choice((1, 1, 1, 3, 200))
    elif act == 7:
        other = chance.choice(others)
        start = chance.randrange(len(other) + 1)
        data[at:] = other[start:]
    elif act == 8:
        start = chance.randrange(len(data) + 1)
        data[at:at] = data[start : start + chance.choice((1, 4, 16, 64))]
    else:
        # The length, too, so that what follows is still understood.
        word = chance.choice(WORDS)
        found = data.find(0x8C, at)
        if 0 <= found < len(data) - 1:
            data[found + 1 : found + 2 + data[found + 1]] = bytes([len(word)]) + word


def mutate_number(chance, number):
    act = chance.randrange(3)
    if act == 0:
        return number ^ 1 << chance.randrange(20)
    if act == 1:
        return number + chance.choice((-1, 1))
    return chance.choice((*INTERESTING, *(SERIALIZED | flags for flags in (0, SIGNED, BUFFERS, SIGNED | BUFFERS))))


def mutate(chance, sample, samples):
    """A sample with one to six mutations, somewhere in its parts."""
    parts = list(sample)
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 6))):
        index = chance.randrange(len(parts))
        if isinstance(parts[index], int):
            if chance.random() < 0.3:
                parts[index] = mutate_number(chance, parts[index])
                continue
            index = max(range(len(parts)), key=lambda each: isinstance(parts[each], bytes) and len(parts[each]))
        others = [part for part in chance.choice(samples) if isinstance(part, bytes)]
        changed = bytearray(parts[index])
        mutate_once(chance, changed, others)
        parts[index] = bytes(changed[:LARGEST])
    return tuple(parts)


def payload(name, samples, seed, number):
    """Payload ``number`` of a decoder: for a while the samples as they are, then mutations."""
    if number < len(samples):
        return samples[number]
    chance = random.Random(f"{seed} {name} {number}")
    return mutate(chance, chance.choice(samples), samples)


def in_text(sample):
    return " ".join(part.hex() or "(empty)" if isinstance(part, bytes) else str(part) for part in sample)


# -- decoders --------------------------------------------------------------------------------------------------------


def use(value):
    """What any program may do with a value: it may fail, but must not end the process."""
    with contextlib.suppress(Exception):
        # Not all of it: what holds the same parts again and again has no end that one could wait for.
        reprlib.repr(value)
        if isinstance(value, datetime.date):
            value.ctime()


def do_all(expected, *acts):
    """Do each of them, and raise the first expected error only when all were done."""
    failed = None
    for act in acts:
        try:
            use(act())
        except expected as error:
            failed = failed or error
    if failed is not None:
        raise failed


class Decoder:
    """One of them: whether it is a whole path, and how to ``decode`` a payload."""

    whole_path = False

    def decode(self, *parts):
        raise NotImplementedError

    def allows(self, error):
        if self.whole_path:
            return isinstance(error, fastcache.CacheError)
        return isinstance(error, Exception) and not isinstance(error, MemoryError)


class Loads(Decoder):
    whole_path = True

    def __init__(self):
        self.serializer = serializer()

    def decode(self, data):
        use(self.serializer.loads(data))


class Unpack(Decoder):
    """Arrays as views and as copies."""

    def __init__(self):
        self.rules = serializer().trust

    def decode(self, data, *buffers):
        views = [memoryview(buffer) for buffer in buffers]
        do_all(
            (ValueError, TypeError),
            lambda: self.rules.unpack(data, views, False, False),
            lambda: self.rules.unpack(data, views, False, True),
        )


class Msgspec(Decoder):
    whole_path = True

    def __init__(self):
        self.loads = [fastcache.MsgspecSerializer(kind).loads for kind in (typing.Any, Place, list[int], Access)]

    def decode(self, data):
        do_all(fastcache.CacheError, *(functools.partial(loads, data) for loads in self.loads))


class Decompress(Decoder):
    def __init__(self, name):
        self.library = by_number(COMPRESSION[name][1])

    def decode(self, data, size):
        self.library.decompress(data, size)


class Planted(Decoder):
    """Through a cache, the one row of which somebody else replaces again and again."""

    whole_path = True

    def __init__(self):
        self.folder = tempfile.mkdtemp()
        self.cache = fastcache.Cache(self.folder, serializer=self.serializer(), memory=0)
        self.cache[b"k"] = 1
        # Nobody may write beside what is pending.
        self.cache.flush()
        self.database = sqlite3.connect(os.path.join(self.folder, "cache.db"), isolation_level=None)
        self.database.execute("PRAGMA synchronous = OFF")

    def serializer(self):
        return serializer()

    def plant(self, key, codec, value, size, file=None):
        # Beyond 64 bits there are no integers in SQLite.
        codec = (codec + 2**63) % 2**64 - 2**63
        statement = "UPDATE entry SET key = ?, codec = ?, size = ?, file = ?, value = ?"
        if not self.database.execute(statement, (key, codec, size, file, value)).rowcount:
            # A row whose file is lost is removed by whoever reads it.
            statement = "INSERT INTO entry (key, codec, size, file, value) VALUES (?, ?, ?, ?, ?)"
            self.database.execute(statement, (key, codec, size, file, value))

    def items(self):
        for _, value in self.cache.items():
            use(value)

    def check(self):
        """A check has to say what a read would, and raises nothing."""
        failed = None
        try:
            self.items()
        except fastcache.CacheError as error:
            failed = error
        found = self.cache.check()
        assert failed is None or not found, f"the check says ok, and a read raised {failed!r}"


class Rows(Planted):
    def decode(self, key, codec, value):
        self.plant(key, codec, value, len(value))
        do_all(fastcache.CacheError, lambda: self.cache.get(key), self.items, self.check)


class MessageRows(Rows):
    """The same in a cache with the other serializer of ours."""

    def serializer(self):
        return fastcache.MsgspecSerializer(list)


class Files(Planted):
    """The same in value files."""

    def __init__(self):
        super().__init__()
        self.file = "0" * 32
        self.path = pathlib.Path(self.folder, "values", self.file)
        self.path.parent.mkdir(exist_ok=True)

    def decode(self, key, codec, value):
        self.path.write_bytes(value)
        self.plant(key, codec, None, len(value), self.file)
        do_all(fastcache.CacheError, lambda: self.cache.get(key), self.items)


class Keys(Planted):
    def decode(self, key):
        self.plant(key, 0, 1, 8)
        do_all(fastcache.CacheError, lambda: list(self.cache), self.items)


# By name: what decodes, and the samples for it.
DECODERS = {
    "loads": (Loads, pickles),
    "unpack": (Unpack, pickles_with_buffers),
    "keys": (Keys, keys),
    "rows": (Rows, rows),
    "files": (Files, rows),
    "msgspec": (Msgspec, messages),
    "msgspec rows": (MessageRows, message_rows),
    "zstd": (functools.partial(Decompress, "zstd"), functools.partial(compressed, "zstd")),
    "lz4": (functools.partial(Decompress, "lz4"), functools.partial(compressed, "lz4")),
    "blosc2": (functools.partial(Decompress, "blosc2"), functools.partial(compressed, "blosc2")),
}


def available():
    missing = set(COMPRESSION) - set(installed())
    return [name for name in DECODERS if name not in missing]


# -- the child -------------------------------------------------------------------------------------------------------


class Tripwire:
    """Notices that something was run."""

    def __init__(self, folder):
        self.told = pathlib.Path(folder, "told")
        self.events = []
        self.armed = False
        sys.addaudithook(self.hear)
        if os.name != "nt":
            self.lay(pathlib.Path(folder, "bin"))

    def lay(self, folder):
        folder.mkdir()
        for name in ("python", "python3", "sh", "cc", "true"):
            program = folder / name
            program.write_text(f"#!/bin/sh\necho {name} >> {self.told}\n")
            program.chmod(0o700)
        os.environ["PATH"] = str(folder)

    def hear(self, event, _):
        if self.armed and event in FORBIDDEN:
            self.events.append(event)

    def sprung(self):
        """What was run since the last look, if anything."""
        ran, self.events = self.events, []
        if self.told.exists():
            ran = [*ran, *self.told.read_text().split()]
            self.told.unlink()
        return ran


def limit_memory():
    with contextlib.suppress(ImportError):
        import resource

        # A sanitizer takes all addresses that there are.
        if "ASAN_OPTIONS" not in os.environ:
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def outcome_of(decoder, parts):
    """What decoding comes to, in a word, and what was wrong with that, if anything."""
    try:
        decoder.decode(*parts)
    except BaseException as error:
        name = type(error).__name__
        if decoder.allows(error):
            return name, None
        last = traceback.extract_tb(error.__traceback__)[-1]
        return name, f"{name}: {error} ({os.path.basename(last.filename)}, line {last.lineno})"
    return "decoded", None


class Child:
    """A decoder at work, and the report on it."""

    def __init__(self, name, folder):
        tempfile.tempdir = folder
        make, samples = DECODERS[name]
        self.name = name
        self.samples = list(samples())
        self.decoder = make()
        self.outcomes = collections.Counter()
        self.findings = []
        self.tripwire = Tripwire(folder)
        pathlib.Path(folder, "ready").touch()
        limit_memory()
        self.tripwire.armed = True

    def decode(self, number, parts):
        """Decode one payload; returns what is wrong with what came out, if anything."""
        outcome, wrong = outcome_of(self.decoder, parts)
        self.outcomes[outcome] += 1
        ran = self.tripwire.sprung()
        if ran and wrong is None:
            wrong = f"it ran something: {', '.join(ran)}"
        if wrong is not None:
            # At once: the next payload may end the process.
            self.findings.append((number, wrong))
            self.report()
        return wrong

    def report(self):
        print(json.dumps([self.outcomes, self.findings]), flush=True)
        self.outcomes.clear()
        self.findings.clear()

    def decode_range(self, seed, start, stop):
        with open(os.path.join(tempfile.tempdir, "number"), "w+b") as file:
            file.write(bytes(8))
            file.flush()
            number_page = mmap.mmap(file.fileno(), 8)
        for first in range(start, stop, BATCH):
            faulthandler.dump_traceback_later(BATCH_SECONDS, exit=True)
            for number in range(first, min(first + BATCH, stop)):
                number_page[:] = number.to_bytes(8, "little")
                self.decode(number, payload(self.name, self.samples, seed, number))
            faulthandler.cancel_dump_traceback_later()
            self.report()

    def follow_coverage(self, seed, runs):
        """Let libFuzzer choose the payloads. It ends the process, and leaves the one that was wrong in a file."""
        import atheris

        for module in ("plain", "trust", "signing", "compression"):
            loaded = sys.modules.get(f"fastcache.{module}")
            for function in vars(loaded).values() if loaded else ():
                if getattr(function, "__module__", None) == loaded.__name__ and hasattr(function, "__code__"):
                    atheris.instrument_func(function)
        corpus = pathlib.Path(tempfile.tempdir, "corpus")
        corpus.mkdir()
        for number, sample in enumerate(self.samples):
            (corpus / str(number)).write_bytes(framed(sample))
        limits = [f"-timeout={BATCH_SECONDS}", "-rss_limit_mb=0", f"-max_len={LARGEST}", f"-runs={runs}"]
        atheris.Setup(
            [sys.argv[0], str(corpus), f"-seed={seed}", f"-artifact_prefix={tempfile.tempdir}/wrong-", *limits],
            self.decode_framed,
        )
        atheris.Fuzz()

    def decode_framed(self, data):
        wrong = self.decode(None, unframed(data, self.samples[0]))
        if wrong is not None:
            raise AssertionError(wrong)
        if self.outcomes.total() == BATCH:
            self.report()


def framed(sample):
    """A sample as libFuzzer's bytes: ints in eight, bytes behind their length."""
    parts = [struct.pack("<Q", p % 2**64) if isinstance(p, int) else struct.pack("<I", len(p)) + p for p in sample]
    return b"".join(parts)


def unframed(data, pattern):
    """The sample that bytes stand for, whatever they are; with parts of the same kinds as the pattern's."""
    parts = []
    for kind in map(type, pattern):
        if kind is int:
            parts.append(int.from_bytes(data[:8], "little"))
            data = data[8:]
        else:
            size = int.from_bytes(data[:4], "little")
            parts.append(data[4 : 4 + size])
            data = data[4 + size :]
    return tuple(parts)


def run_as_child(command, name, seed, *rest):
    if command == "show":
        samples = list(DECODERS[name][1]())
        print(in_text(payload(name, samples, seed, int(rest[0]))))
    elif command == "mutation":
        Child(name, rest[2]).decode_range(seed, int(rest[0]), int(rest[1]))
    else:
        Child(name, rest[2]).follow_coverage(seed, int(rest[1]))


# -- the parent ------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Seen:
    """What became of the payloads of one decoder."""

    decoder: str
    payloads: int = 0
    seconds: float = 0.0
    outcomes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    findings: list = dataclasses.field(default_factory=list)

    def __str__(self):
        rate = self.payloads / self.seconds if self.seconds else 0
        outcomes = ", ".join(f"{count} {name}" for name, count in self.outcomes.most_common())
        return f"{self.decoder}: {self.payloads} payloads, {rate:.0f} a second: {outcomes}"


def child_command(*arguments):
    return [sys.executable, __file__, "--child", *map(str, arguments)]


def child_environment():
    # The same order of sets in all processes; and no threads, for which a limit on memory leaves no room.
    return {**os.environ, "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1", "BLOSC_NTHREADS": "1"}


def end_of(returncode, complaint):
    """Why a child has ended early."""
    if "Timeout" in complaint or "libFuzzer: timeout" in complaint:
        return f"it hangs: more than {BATCH_SECONDS} s for one batch"
    if returncode < 0:
        return f"the process was killed by {signal.Signals(-returncode).name}"
    errors = [line for line in complaint.splitlines() if "ERROR" in line or "Error" in line]
    return f"the process ended with {returncode}: {' '.join(errors) or complaint[-500:]}"


def shown(name, seed, number):
    """A payload in hexadecimal, made by a process like the one that decoded it."""
    command = child_command("show", name, seed, number)
    return subprocess.run(command, env=child_environment(), check=True, capture_output=True, text=True).stdout.strip()


def run_child(seen, engine, seed, start, stop):
    """Have a child decode, and add what it reports; returns with which number to go on."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as errors:
        command = child_command(engine, seen.decoder, seed, start, stop, folder)
        pipes = {"stdout": subprocess.PIPE, "stderr": errors, "text": True, "env": child_environment()}
        with subprocess.Popen(command, **pipes) as child:
            for line in child.stdout:
                outcomes, findings = json.loads(line)
                seen.outcomes.update(outcomes)
                # What libFuzzer has chosen it leaves in a file.
                numbered = [(number, what) for number, what in findings if number is not None]
                seen.findings += [
                    f"{what}\n  {number}: {shown(seen.decoder, seed, number)}" for number, what in numbered
                ]
        if child.returncode == 0:
            return stop
        errors.seek(0)
        complaint = errors.read()
        if not pathlib.Path(folder, "ready").exists():
            raise AssertionError(f"the child did not even start: {complaint}")
        what = end_of(child.returncode, complaint)
        wrong = list(pathlib.Path(folder).glob("wrong-*"))
        if engine == "mutation":
            number = int.from_bytes(pathlib.Path(folder, "number").read_bytes(), "little")
            seen.findings.append(f"{what}\n  {number}: {shown(seen.decoder, seed, number)}")
            return number + 1
        seen.findings += [f"{what}\n  framed: {file.read_bytes().hex()}" for file in wrong] or [what]
        # Another child would begin with the same.
        return stop


def soak(name, *, payloads, seed, engine="mutation"):
    """Throw so many payloads at a decoder; return what was seen."""
    seen = Seen(name)
    began = time.monotonic()
    while seen.payloads < payloads and len(seen.findings) < ENOUGH:
        seen.payloads = run_child(seen, engine, seed, seen.payloads, payloads)
    seen.seconds = time.monotonic() - began
    return seen


def main():
    if sys.argv[1:2] == ["--child"]:
        command, name, seed, *rest = sys.argv[2:]
        run_as_child(command, name, int(seed), *rest)
        return
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--payloads", type=int, default=1_000_000, help="in all")
    parser.add_argument("--seed", type=int, default=0, help="default: from the clock")
    parser.add_argument("--engine", choices=["mutation", "atheris"], default="mutation")
    parser.add_argument("--decoder", nargs="*", choices=available(), default=available())
    options = parser.parse_args()
    seed = options.seed or int(time.time())
    print(f"seed {seed}", flush=True)
    failed = False
    for name in options.decoder:
        seen = soak(name, payloads=options.payloads // len(options.decoder), seed=seed, engine=options.engine)
        print(seen, *seen.findings, sep="\n", flush=True)
        failed = failed or bool(seen.findings)
    sys.exit(failed)


if __name__ == "__main__":
    main()
