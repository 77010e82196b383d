"""What is expected where the original deviates from the rules, by the number of the case.

Every value is written by hand from the rules of ``specs/engine-behaviour.md``; none comes from
this engine. Cases that are not here and not in ``rejections`` hold as they were recorded.
"""

from __future__ import annotations

from .comparing import STREAM, Expected
from .stream_expectations import COLLECTED, FIVE_CHUNKS, FIVE_OUTPUTS, STREAM_EXPECTED

__all__ = ("EXPECTED",)

EMPTY_OF_AUTO = {"of": 0, "os": "", "oi": 0, "ob": False, "oa": [], "oo": {}, "ow": None}
A_IS_1 = {"value": 1}
V = {"value": "v"}
BOTH_V = {"out": "v", "n": 5}


BATCH = {
    8: Expected(
        outputs={
            "10": {"value": 10},
            "2": {"value": 2},
            "b": {"value": "b"},
            "1": {"value": 1},
        },
        order=("10", "2", "b", "1"),
    ),
    16: Expected(
        outputs={
            "a": {"value": "A"},
            "b": {"value": "B"},
            "j": {"received": {"c": "c-default", "m": ["A", "B"]}, "keys": ["c", "m"]},
        }
    ),
    17: Expected(outputs={"a": {"value": "A"}, "j": {"text": "A", "items": ["A"]}}),
    19: Expected(outputs={"a": {"value": "A"}, "j": {"text": "A", "items": ["A"]}}),
    26: Expected(
        outputs={
            "a": {"value": "A"},
            "b": {"value": "B"},
            "j": {"received": {"c": "c-default", "m": ["A", "B"]}, "keys": ["c", "m"]},
        }
    ),
    49: Expected(
        outputs={"a": A_IS_1, "g": {"out": 1}, "g2": {"out": 1}},
        errors={"f": "boom"},
        skipped={"f2": "f", "f3": "f"},
    ),
    50: Expected(outputs={"a": A_IS_1}, errors={"f": "custom message"}, skipped={"j": "f"}),
    53: Expected(errors={"f": "boom"}, skipped={"b": "f", "e": "f"}),
    # 58 is in test_cases: it depends on the workflows that are known
}

BYPASS = {
    62: Expected(
        bypassed={"b": {"out": "preset-y", "other": 0}}, outputs={"e": {"out": "preset-y"}}
    ),
    64: Expected(outputs={"a": V, "e": {"out": "v"}}, bypassed={"b": BOTH_V}),
    65: Expected(
        outputs={
            "a": {"value": {"k": 1}},
            "e": {"received": {"a": "DEF", "c": "c-default"}, "keys": ["a", "c"]},
        },
        bypassed={"b": {"out": "DEF"}},
    ),
    # outputs of os oi ob oa oo ow, inputs s i f: of takes i, os takes s, ow takes what is left
    67: Expected(
        outputs={"s": {"value": "str"}, "i": {"value": 3}, "f": {"value": 1.5}},
        bypassed={"b": {"of": 3, "os": "str", "oi": 0, "ob": False, "oa": [], "oo": {}, "ow": 1.5}},
    ),
    68: Expected(
        bypassed={
            "I_F": {"out": 3},
            "F_I": {"out": 0},
            "I_S": {"out": "3"},
            "S_I": {"out": 0},
            "F_S": {"out": "1.5"},
            "S_F": {"out": 0},
            "B_S": {"out": "true"},
            "S_B": {"out": False},
            "B_I": {"out": 0},
            "W_O": {"out": "w"},
            "O_W": {"out": {"k": 1}},
            "C_A": {"out": "c"},
            "O_S": {"out": ""},
        }
    ),
    70: Expected(
        outputs={"a": V, "e": {"out": "v"}},
        bypassed={"b1": BOTH_V, "b2": BOTH_V, "b3": BOTH_V},
    ),
    71: Expected(
        bypassed={"b": EMPTY_OF_AUTO, "c": {"value": "never"}},
        outputs={
            "i": {"received": {"a": "", "b": 0, "c": None}, "keys": ["a", "b", "c"]},
            "e": {"received": {"a": "never", "c": "c-default"}, "keys": ["a", "c"]},
        },
    ),
    74: Expected(
        outputs={"s": FIVE_OUTPUTS, "c": COLLECTED},
        bypassed={"b": {"out": STREAM}},
        chunks={"s": FIVE_CHUNKS},
    ),
    76: Expected(
        bypassed={"m": {"text": "ab", "n": 2}},
        outputs={"i": {"received": {"a": "ab", "b": 2, "c": "c-default"}, "keys": ["a", "b", "c"]}},
    ),
}

EXPECTED = BATCH | BYPASS | STREAM_EXPECTED
