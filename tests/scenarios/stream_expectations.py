"""What is expected of streams, of the workflow's outputs and of interrupts, by case.

See ``expectations``.
"""

from __future__ import annotations

from .comparing import Containing, Expected, txt

__all__ = ("COLLECTED", "FIVE_CHUNKS", "FIVE_OUTPUTS", "STREAM_EXPECTED")

FIVE = "one two three four five"
FIVE_CHUNKS = txt("one", "two", "three", "four", "five")
FIVE_UPPER = txt("ONE", "TWO", "THREE", "FOUR", "FIVE")
FIVE_OUTPUTS = {"full": FIVE, "count": 5}
FIVE_TYPES = ["text_chunk"] * 5
COLLECTED = {"text": "onetwothreefourfive", "n": 5, "types": FIVE_TYPES}
COLLECTED_UPPER = {"text": "ONETWOTHREEFOURFIVE", "n": 5, "types": FIVE_TYPES}
BROKEN = (*txt("one", "two"), ("error_chunk", "stream broke", True))
BAD = (*txt("one", "two"), ("error_chunk", "bad chunk", True))
ENDED = ("finish_reason_chunk", "Stream ended", True)
STOP = ("finish_reason_chunk", "stop", True)

A_IS_1 = {"value": 1}


def placeholder(key: str, name: str = "") -> dict[str, str]:
    """Return what stands in the place of a stream among the workflow's outputs."""
    return {"type": "stream_placeholder", "message": f"Stream started for {key} ({name})"}


STREAMS = {
    55: Expected(
        outputs={"s": {}, "c": {"text": "ab", "n": 2, "types": ["text_chunk"] * 2}},
        chunks={"s": txt("a", "b")},
    ),
    79: Expected(outputs={"s": {"full": "", "count": 0}, "c": {"text": "", "n": 0, "types": []}}),
    80: Expected(outputs={"s": FIVE_OUTPUTS, "c": COLLECTED}, chunks={"s": FIVE_CHUNKS}),
    82: Expected(
        outputs={
            "s": {"full": "a b", "count": 2},
            "c": {
                "text": "ab",
                "n": 3,
                "types": ["text_chunk", "text_chunk", "finish_reason_chunk"],
            },
        },
        chunks={"s": (*txt("a", "b"), STOP)},
    ),
    83: Expected(
        outputs={
            "s": FIVE_OUTPUTS,
            "u": {"joined": "ONETWOTHREEFOURFIVE"},
            "c": COLLECTED_UPPER,
        },
        chunks={"s": FIVE_CHUNKS, "u": FIVE_UPPER},
    ),
    85: Expected(
        outputs={"s": FIVE_OUTPUTS, "c1": COLLECTED, "c2": COLLECTED},
        chunks={"s": FIVE_CHUNKS},
    ),
    86: Expected(
        outputs={
            "s": FIVE_OUTPUTS,
            "u1": {"joined": "ONETWOTHREEFOURFIVE"},
            "u2": {"joined": "ONETWOTHREEFOURFIVE"},
            "c1": COLLECTED_UPPER,
            "c2": COLLECTED_UPPER,
        },
        chunks={"s": FIVE_CHUNKS, "u1": FIVE_UPPER, "u2": FIVE_UPPER},
    ),
    88: Expected(
        outputs={"s": {"total": 100}, "x": {"ok": True}},
        chunks={"s": txt(*map(str, range(100)))},
    ),
    91: Expected(outputs={"s": {"total": 1000}}, chunks={"s": txt(*map(str, range(1000)))}),
    92: Expected(
        outputs={
            "s": {"total": 1000},
            "c": {
                "text": "".join(map(str, range(1000))),
                "n": 1000,
                "types": ["text_chunk"] * 1000,
            },
        },
        chunks={"s": txt(*map(str, range(1000)))},
    ),
    94: Expected(outputs={"s": FIVE_OUTPUTS, "r": {"out": FIVE}}, chunks={"s": FIVE_CHUNKS}),
    95: Expected(
        outputs={"s": FIVE_OUTPUTS, "c": COLLECTED, "e": {"out": FIVE}},
        chunks={"s": FIVE_CHUNKS},
    ),
    97: Expected(
        outputs={
            "s": {"total": 2},
            "c1": {"text": "c0c1", "n": 2, "types": ["text_chunk"] * 2},
            "c2": {"text": "c0c1", "n": 2, "types": ["text_chunk"] * 2},
        },
        chunks={"s": txt("c0", "c1")},
    ),
    98: Expected(
        outputs={
            "s": {"total": 100},
            "c1": {
                "text": "".join(f"c{i}" for i in range(100)),
                "n": 100,
                "types": ["text_chunk"] * 100,
            },
            "c2": {
                "text": "".join(f"c{i}" for i in range(100)),
                "n": 100,
                "types": ["text_chunk"] * 100,
            },
        },
        chunks={"s": txt(*(f"c{i}" for i in range(100)))},
    ),
    112: Expected(
        outputs={
            "g": {"out": "batch only"},
            "e": {"out": "batch only"},
            "c": {"text": "", "n": 0, "types": []},
        }
    ),
    115: Expected(
        outputs={
            "s": {"full": "a b c", "count": 3},
            "r": {},
            "l": {},
            "c": {"text": "a;b;c;", "n": 3, "types": ["text_chunk"] * 3},
        },
        chunks={
            "s": txt("a", "b", "c"),
            "r": txt("a;", "b;", "c;"),
            "l": txt("a;", "b;", "c;"),
        },
    ),
}

BROKEN_STREAMS = {
    # c reads on until it meets the error; e had not begun when s failed
    100: Expected(
        outputs={
            "x": {"value": "independent"},
            "c": {"text": "onetwo", "error": Containing("bad chunk")},
        },
        errors={"s": "bad chunk"},
        skipped={"e": "s"},
        chunks={"s": BAD},
    ),
    101: Expected(errors={"s": "bad chunk"}, chunks={"s": BAD}),
    103: Expected(
        errors={"s": "stream broke", "c": "stream broke"},
        skipped={"e": "s"},
        chunks={"s": BROKEN},
    ),
    104: Expected(errors={"s": "stream broke"}, chunks={"s": BROKEN}),
    109: Expected(
        errors={"s": "stream broke"},
        outputs={"t": {"full": "v w x y z", "count": 5}},
        chunks={
            "s": (*txt("a"), ("error_chunk", "stream broke", True)),
            "t": txt("v", "w", "x", "y", "z"),
        },
    ),
    110: Expected(errors={"f": "boom"}, skipped={"s": "f", "c": "f"}),
}

INTERFACES = {
    118: Expected(
        outputs={"s": {"full": "a b c", "count": 3}},
        chunks={"s": txt("a", "b", "c")},
        interface=({"out": placeholder("out", "Out")},),
        yields={"out": (*txt("a", "b", "c"), ENDED)},
    ),
    119: Expected(
        outputs={"s": {"full": "a b c", "count": 3}, "a": {"value": 7}},
        chunks={"s": txt("a", "b", "c")},
        interface=(
            {"st": placeholder("st")},
            {"st": placeholder("st"), "full": "a b c", "c": 7},
        ),
        yields={"st": (*txt("a", "b", "c"), ENDED)},
    ),
    121: Expected(outputs={"a": A_IS_1}, interface=({"m1": None},)),
    122: Expected(interface=({"m1": None},)),
    125: Expected(
        outputs={"s": {"full": "a b", "count": 2}},
        chunks={"s": txt("a", "b")},
        interface=({"out": placeholder("out")},),
        yields={"out": (*txt("a", "b"), ENDED)},
    ),
    127: Expected(
        outputs={"s": FIVE_OUTPUTS, "c": COLLECTED},
        chunks={"s": FIVE_CHUNKS},
        interface=({"out": placeholder("out")},),
        yields={"out": (*FIVE_CHUNKS, ENDED)},
    ),
    128: Expected(
        outputs={"s": FIVE_OUTPUTS, "u": {"joined": "ONETWOTHREEFOURFIVE"}},
        chunks={"s": FIVE_CHUNKS, "u": FIVE_UPPER},
        interface=({"out": placeholder("out")},),
        yields={"out": (*FIVE_CHUNKS, ENDED)},
    ),
    130: Expected(
        outputs={"s": {"full": "a b", "count": 2}},
        chunks={"s": (*txt("a", "b"), STOP)},
        interface=({"out": placeholder("out")},),
        yields={"out": (*txt("a", "b"), ("finish_reason_chunk", "stop", False), ENDED)},
    ),
    131: Expected(errors={"s": "stream broke"}, chunks={"s": BROKEN}, interface=({"full": None},)),
    133: Expected(
        outputs={"s": {"full": "a b", "count": 2}, "a": A_IS_1, "g": {}},
        chunks={"s": txt("a", "b")},
        interface=({"v": 1},),
    ),
    134: Expected(
        outputs={"s": {"full": "a b c", "count": 3}, "g": {}},
        chunks={"s": txt("a", "b", "c")},
        interface=({"st": placeholder("st")},),
        yields={"st": (*txt("a", "b", "c"), ENDED)},
    ),
}

INTERRUPTS = {
    136: Expected(interrupted=("a", "b", "x")),
    139: Expected(
        outputs={"a": A_IS_1, "x": {"value": 2}},
        interrupted=("b", "c"),
        started=("a", "x", "b"),
    ),
    140: Expected(
        outputs={"a": A_IS_1, "y": {"out": 1}},
        interrupted=("s", "d", "d2"),
        started=("a", "s", "y"),
    ),
    142: Expected(outputs={"x": A_IS_1}, interrupted=("s", "d"), started=("s", "x")),
    143: Expected(interrupted=("s",), started=("s",)),
    145: Expected(interrupted=("s",), started=("s",), chunks={"s": txt("one", "two")}),
    146: Expected(
        interrupted=("s",),
        started=("s",),
        chunks={"s": txt("one", "two")},
        interface=({"out": placeholder("out")},),
        yields={"out": txt("one", "two")},
    ),
    148: Expected(interrupted=("s", "d"), started=("s",)),
}

STREAM_EXPECTED = STREAMS | BROKEN_STREAMS | INTERFACES | INTERRUPTS
