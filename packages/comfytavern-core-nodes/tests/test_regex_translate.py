"""The translator against what JavaScript does, and against whatever anybody may type."""

from __future__ import annotations

import json
import pickle
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from comfytavern_core_nodes.regexes import REGEX_ERROR_CODES, RegexError
from comfytavern_core_nodes.regexes.limits import MAX_GROUP_DEPTH, MAX_PATTERN
from comfytavern_core_nodes.regexes.replace import compiled, replaced
from comfytavern_core_nodes.regexes.translate import translate

CASES = Path(__file__).parent / "cases"
FUZZ = settings(
    max_examples=1500,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)

# Case files are JSON of many shapes, so their values stay Any.
Case = dict[str, Any]

REPLACE_CASES: list[Case] = json.loads((CASES / "regex_replace.json").read_text("utf-8"))["cases"]
COMPILE_CASES: list[Case] = json.loads((CASES / "regex_timeout.json").read_text("utf-8"))[
    "compile_limit"
]

SCRIPT_A = "\U0001d49c"
SECOND_HALVES = "".join(rf"\u{point:04x}" for point in range(0xDC00, 0xDC80, 2))


def result(pattern: str, flags: str, text: str, replacement: str) -> str:
    return "".join(replaced(compiled(pattern, flags), text, replacement))


def code_of(pattern: str, flags: str = "") -> str:
    with pytest.raises(RegexError) as caught:
        compiled(pattern, flags)
    return caught.value.code


@pytest.mark.parametrize(
    "case", [pytest.param(c, id=c["id"]) for c in REPLACE_CASES if "unsupported" not in c]
)
def test_case(case: Case) -> None:
    if "error" in case:
        assert code_of(case["pattern"], case["flags"]) in ("bad_pattern", "bad_flags")
    else:
        new = result(case["pattern"], case["flags"], case["input"], case["replacement"])
        assert new == case["expected"]


def test_only_these_cases_are_out_of_reach() -> None:
    left_out = {case["id"] for case in REPLACE_CASES if "unsupported" in case}
    assert len(REPLACE_CASES) == 222
    assert left_out == {
        "flags-22",  # flag v
        "group-05",  # captures are not reset
        "group-07",
        "esc-70",  # half characters
        "esc-71",
        "esc-74",
        "esc-77",
        "quant-27",  # empty rounds of a loop
    }


@pytest.mark.parametrize("case", [pytest.param(c, id=c["id"]) for c in COMPILE_CASES])
def test_size_is_known_before_anything_is_compiled(case: Case) -> None:
    if case["error"] is None:
        translate(case["pattern"])
        return
    with pytest.raises(RegexError) as caught:
        translate(case["pattern"])
    assert caught.value.code == "pattern_too_large"


@pytest.mark.parametrize(
    "pattern",
    [
        "a" * (MAX_PATTERN + 1),
        "(?:" * MAX_GROUP_DEPTH + "(a)" + ")" * MAX_GROUP_DEPTH,
        "a{100001}",
        "a{99999999999999999999}",
        "(?:a{1000}|b{1000}){51}",
        "(a{60000})(a{60000})",
        rf"[\ud800-\udbff][{SECOND_HALVES}]",
    ],
)
def test_too_large(pattern: str) -> None:
    assert code_of(pattern) == "pattern_too_large"


@pytest.mark.parametrize("pattern", ["a{0,4000000000}", "a{3,99999999999}", "(?:a{0,999}){0,999}"])
def test_upper_bound_of_a_count_costs_nothing(pattern: str) -> None:
    assert result(pattern, "", "aaaab", "X") == "Xb"


def test_errors_say_what_is_wrong_and_where() -> None:
    with pytest.raises(RegexError) as caught:
        translate("ab(c")
    error = pickle.loads(pickle.dumps(caught.value))
    assert str(error) == "the group is not closed at position 2"
    assert (error.code, error.position) == ("bad_pattern", 2)
    assert error.code in REGEX_ERROR_CODES
    assert code_of("a", "gg") == "bad_flags"
    assert code_of("a", "v") == "unsupported"
    assert code_of(r"\p{Changes_When_NFKC_Casefolded}", "u") == "unsupported"


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        (r"[\ud83c-\ud83e][\udc00-\udfff]", "a😀b", "aXb"),
        (r"\ud83d[\ude00-\ude4f]", "a😀b", "aXb"),
        (r"\ud83d\ude00", "😀😁", "X😁"),
        (r"\ud83d", "😀", "😀"),
        (r"[\ud83d][\ude00][\ude01]", "😀", "😀"),
    ],
)
def test_two_halves_are_one_character(pattern: str, text: str, expected: str) -> None:
    assert result(pattern, "", text, "X") == expected


@pytest.mark.parametrize(
    ("pattern", "flags", "text", "expected"),
    [
        (r"(?<=\1(a))b", "", "aab", "aaX"),  # a look-behind runs from right to left
        (r"(a\1)", "", "aa", "Xa"),
        (r"(?:(?=(a))|b)\1?", "g", "ab", "XX"),
        (r"(?<\u0061b>c)\k<ab>", "", "cc", "X"),
        (rf"(?<\ud835\udc9c>c)\k<{SCRIPT_A}>", "", "cc", "X"),
        (r"\p{Lu}", "giu", "aB1", "XX1"),
        (r"[^\p{Lu}]", "giu", "aB1", "aBX"),
        (r"\P{Lu}", "gu", "aB1", "XBX"),
        (r"\p{scx=Hira}", "gu", "ー", "X"),
        (r"\W", "giu", "\u017fs\u212a", "\u017fs\u212a"),
        (r"\bs", "giu", "\u017fs", "Xs"),
        (r"[\b]", "", "a\bc", "aXc"),
        (r"^.$", "gm", "a\r\nb", "X\r\nX"),
    ],
)
def test_corner(pattern: str, flags: str, text: str, expected: str) -> None:
    assert result(pattern, flags, text, "X") == expected


@pytest.mark.parametrize(
    ("pattern", "flags"),
    [
        (r"[😀-😂]", ""),
        (r"[\k]", "u"),
        (r"(?<a>x)[\k]", ""),
        (r"\k<a>", "u"),
        (r"\2(a)", "u"),
        (r"\01", "u"),
        (r"\u{110000}", "u"),
        (r"\u{", "u"),
        (r"\c1", "u"),
        (r"\p{sc=greek}", "u"),
        (r"\p{sc=Xyz}", "u"),
        (r"\p{gc=Han}", "u"),
        (r"\pL", "u"),
        (r"a}", "u"),
        (r"(?<a", ""),
        (r"(?<\u{110000}>a)", ""),
        ("a)", ""),
    ],
)
def test_refused(pattern: str, flags: str) -> None:
    assert code_of(pattern, flags) == "bad_pattern"


FRAGMENTS = st.sampled_from(
    r"""( ) [ ] { } | * + ? . ^ $ \ - , 1 2 9 a k s ß İ 😀 (?: (?= (?! (?<= (?<! (?<n> (?<名> \k<n>
    \1 \2 \b \B \d \D \w \W \s \S \c \cJ \0 \07 \x41 \x \u0041 \ud83d \ude00 \u{1F600} \u{ \p{L}
    \P{Lu} \p{sc=Greek} \p{Any} \p [^ [] [^] {2} {1,} {0,3} {,2} {99999} ++ *? && -- [: :] # &
    [\ud800-\udbff] [\udc00-\udfff]""".split()
)
PATTERNS = st.lists(FRAGMENTS | st.characters(), max_size=30).map("".join) | st.text()
FLAGS = st.lists(st.sampled_from("gimsuyd"), unique=True).map("".join) | st.text(max_size=3)


@FUZZ
@given(PATTERNS, FLAGS)
@example("\ud83d\ude00", "u")
@example("[\ud83d-\udfff]", "i")
@example("\ud83d[\ude00]", "")
@example("(?<\ud83d>a)", "u")
def test_nothing_but_its_own_error_and_what_is_accepted_compiles(pattern: str, flags: str) -> None:
    try:
        translation = translate(pattern, flags)
    except RegexError:
        return
    assert compiled(pattern, flags).engine.groups == translation.groups


# Letters whose case is odd: long s, Kelvin and Ohm signs, i with and without dot, sharp s, micro,
# three sigmas, a digraph in three cases, Greek with an iota below, Cherokee.
ODD = (
    "\u017f\u212a\u2126\u0130\u0131\u00df\u1e9e\u00b5\u03c3\u03c2\u03a3"
    "\u01c4\u01c5\u01c6\u1fb3\u1fbc\u13a0\uab70"
)
ATOMS = [
    *r"""a b A 1 . \w \W \d \s \S [a-c] [^a] [\w-z] s k i é \x41 \u0041 \cJ \101 \8 ] / \/ \-
    [a&&b] [^\d\s] \a \Z \n""".split(),
    *ODD,
]
ZERO_WIDTH = [r"\b", r"\B", "^", "$", "(?=a)", "(?!b)", "(?<=a)", "(?<!b)", r"\1", r"\2"]
UNITS = [*"ab A1\n\r\u2028éÉsSkKiI_-/]&Z\0", *ODD]
TEMPLATES = ["X", "[$1]", "$&$&", "$`|", "$'", "$2$10", "$$1", "$0", "<$<n>>", "($01)"]
NODE = shutil.which("node")
ASK_NODE = """
const cases = JSON.parse(require("fs").readFileSync(0));
const answers = cases.map(([pattern, flags, template, text]) => {
  try { return text.replace(new RegExp(pattern, flags), template); } catch { return null; }
});
console.log(JSON.stringify(answers));
"""


def some_pattern(rng: random.Random, depth: int) -> str:
    """Return a pattern without what is known to differ: loops around what may be empty."""
    parts: list[str] = []
    for _ in range(rng.randint(1, 4)):
        chance = rng.random()
        if chance < 0.2 and depth:
            opening = rng.choice(["(", "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?<n>"])
            parts.append(f"{opening}{some_pattern(rng, depth - 1)})")
        elif chance < 0.35:
            parts.append(rng.choice(ZERO_WIDTH))
        else:
            loop = rng.choice(["", "", "", "*", "+", "?", "{2}", "{1,2}?", "+?", "{,2}", "**"])
            parts.append(rng.choice(ATOMS) + loop)
        if rng.random() < 0.1:
            parts.append("|")
    return "".join(parts)


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_same_as_node() -> None:
    rng = random.Random(20261121)
    questions = [
        (
            some_pattern(rng, 2),
            "".join(flag for flag in "gimsuy" if rng.random() < 0.3),
            rng.choice(TEMPLATES),
            "".join(rng.choices(UNITS, k=rng.randint(0, 8))),
        )
        for _ in range(3000)
    ]
    node = subprocess.run(
        [str(NODE), "-e", ASK_NODE],
        input=json.dumps(questions),
        capture_output=True,
        text=True,
        check=True,
    )
    different: list[object] = []
    for question, expected in zip(questions, json.loads(node.stdout), strict=True):
        pattern, flags, template, text = question
        try:
            got: str | None = result(pattern, flags, text, template)
        except RegexError:
            got = None
        if got != expected:
            different.append((question, expected, got))
    assert different == []
