"""A workflow as a node of another: ids, streams, failures, bypass."""

from __future__ import annotations

from .building import flow, interface, place
from .comparing import same, txt
from .group_workflows import FAILING, RELAY, SHOUT, SOURCE, WORDS, group, states
from .running import RunInProgress, observe


async def test_group_runs_in_the_place_of_its_node() -> None:
    seen = await observe(
        flow(
            place("a", "Const", value="ab"),
            group("g", "shout", times=3),
            place("e", "Echo"),
            "a.value > g.text",
            "g.loud > e.in",
        ),
        workflows={"shout": SHOUT},
    )
    assert states(seen) == dict.fromkeys(("a", "g", "g/gi", "g/m", "g/go", "e"), "complete")
    assert same(seen.node_outputs["g/gi"], {"text": "ab", "times": 3})
    assert same(seen.node_outputs["g"], {"loud": "ababab", "n": 3})
    assert seen.node_outputs["e"] == {"out": "ababab"}
    assert seen.order()[:2] == ["a", "g"], "one NODE_EXECUTING of the group, before those inside"
    assert seen.index("NODE_COMPLETE", "g/go") < seen.index("NODE_COMPLETE", "g")
    assert seen.index("NODE_COMPLETE", "g") < seen.index("NODE_EXECUTING", "e")


async def test_absent_inputs_of_a_group_stay_absent() -> None:
    """The inner node falls back to its own default, 2; a default of the interface beats that."""
    with_default = {**SHOUT, "interfaceInputs": interface(text="STRING", times="INTEGER")}
    with_default["interfaceInputs"]["times"]["config"] = {"default": 4}
    payload = flow(group("g", "shout", text="x"), group("d", "default", text="x"))
    seen = await observe(payload, workflows={"shout": SHOUT, "default": with_default})
    assert same(seen.node_outputs["g"], {"loud": "xx", "n": 2})
    assert same(seen.node_outputs["d"], {"loud": "xxxx", "n": 4})


async def test_values_are_converted_on_their_way_into_a_group() -> None:
    payload = flow(place("p", "Pair"), group("g", "shout"), "p.a > g.text", "p.b > g.times")
    seen = await observe(payload, workflows={"shout": SHOUT})
    assert same(seen.node_outputs["g"], {"loud": "11", "n": 2})


async def test_same_group_twice_and_inside_another() -> None:
    outer = flow(
        place("gi", "core:GroupInput"),
        group("inner", "shout", times=2),
        place("go", "core:GroupOutput"),
        "gi.t > inner.text",
        "inner.loud > go.t",
        interfaceInputs=interface(t="STRING"),
        interfaceOutputs=interface(t="STRING"),
    )
    seen = await observe(
        flow(group("g1", "outer", t="a"), group("g2", "outer", t="b"), group("g3", "source")),
        workflows={"outer": outer, "shout": SHOUT, "source": SOURCE},
    )
    assert seen.node_outputs["g1"] == {"t": "aa"}
    assert seen.node_outputs["g2"] == {"t": "bb"}
    assert seen.node_outputs["g3"] == {"v": "made inside"}
    inside = {"gi", "inner", "inner/gi", "inner/m", "inner/go", "go"}
    expected = {f"{g}/{node}" for g in ("g1", "g2") for node in inside}
    assert states(seen).keys() == expected | {"g1", "g2", "g3", "g3/k", "g3/go"}
    assert set(states(seen).values()) == {"complete"}


async def test_stream_passes_through_a_group_while_it_runs() -> None:
    heard: list[tuple[str, str]] = []
    seen = await observe(
        flow(
            place("s", "StreamWords", text=WORDS, delay=5),
            group("g", "relay"),
            place("c", "StreamUpper"),
            "s.stream > g.st",
            "g.st > c.in",
            outputs={"out": "g.st"},
        ),
        workflows={"relay": RELAY},
        on_event=lambda progress, kind, about: heard.append((kind, about)),
    )
    assert seen.status == "complete"
    upper = list(txt("ONE", "TWO", "THREE", "FOUR", "FIVE"))
    assert seen.chunks("g/u") == seen.chunks("c") == upper
    assert [chunk for chunk in seen.yields("out") if not chunk[2]] == upper
    # the reader outside has its first chunk before the writer has written its second
    yields = [about for kind, about in heard if kind == "NODE_YIELD"]
    assert yields[:3] == ["s", "g/u", "c"]
    assert heard.index(("NODE_COMPLETE", "c")) < heard.index(("NODE_COMPLETE", "g"))


async def test_batch_outputs_come_after_the_whole_group() -> None:
    seen = await observe(
        flow(
            place("s", "StreamWords", text="a b"),
            group("g", "relay"),
            place("e", "Echo"),
            "s.stream > g.st",
            "g.joined > e.in",
        ),
        workflows={"relay": RELAY},
    )
    assert seen.index("NODE_COMPLETE", "g/slow") < seen.index("NODE_COMPLETE", "g")
    assert seen.index("NODE_COMPLETE", "g") < seen.index("NODE_EXECUTING", "e")
    assert seen.node_outputs["g"] == {"joined": "AB", "late": "late"}
    assert seen.node_outputs["e"] == {"out": "AB"}


async def test_stream_that_goes_straight_through_a_group() -> None:
    through = flow(
        place("gi", "core:GroupInput"),
        place("go", "core:GroupOutput"),
        "gi.st > go.st",
        "gi.v > go.v",
        interfaceInputs=interface(st="STRING~", v="STRING"),
        interfaceOutputs=interface(st="STRING~", v="STRING"),
    )
    seen = await observe(
        flow(
            place("s", "StreamCount", n=600),
            group("g", "through", v="value"),
            place("c", "Collect"),
            place("e", "Echo"),
            "s.stream > g.st",
            "g.st > c.in",
            "g.v > e.in",
        ),
        workflows={"through": through},
    )
    assert seen.node_outputs["c"]["text"] == "".join(map(str, range(600)))
    assert seen.node_outputs["e"] == {"out": "value"}


async def test_failure_inside_a_group() -> None:
    seen = await observe(
        flow(
            place("a", "Const", value=1),
            group("g", "failing"),
            place("e", "Echo"),
            place("e2", "Echo"),
            place("x", "Echo"),
            "a.value > g.v",
            "g.v > e.in",
            "e.out > e2.in",
            "a.value > x.in",
        ),
        workflows={"failing": FAILING},
    )
    assert states(seen) == {
        "a": "complete",
        "g": "error",
        "g/gi": "complete",
        "g/f": "error",
        "g/e": "skipped",
        "g/go": "skipped",
        "e": "skipped",
        "e2": "skipped",
        "x": "complete",
    }
    assert seen.order("NODE_ERROR") == ["g/f", "g"]
    assert seen.skipped() == {"g/e": "g/f", "g/go": "g/f", "e": "g", "e2": "g"}
    messages = [p["errorDetails"]["message"] for p in seen.events.of("NODE_ERROR")]
    assert messages[0] == "inside broke"
    assert "g/f" in messages[1]
    assert seen.error is not None
    assert seen.error.node_id == "g/f"


async def test_failure_inside_a_group_lets_the_rest_of_it_finish() -> None:
    inner = flow(
        place("f", "Fail"),
        place("w", "Slow", ms=30, in_="done"),
        place("go", "core:GroupOutput"),
        "w.out > go.v",
        interfaceOutputs=interface(v="WILDCARD"),
    )
    seen = await observe(
        flow(group("g", "inner"), place("e", "Echo"), "g.v > e.in"), workflows={"inner": inner}
    )
    assert states(seen)["g/w"] == "complete"
    assert states(seen)["g"] == "error"
    assert seen.index("NODE_COMPLETE", "g/w") < seen.index("NODE_ERROR", "g")
    assert seen.skipped() == {"e": "g"}


async def test_stream_that_breaks_inside_a_group() -> None:
    inner = flow(
        place("s", "StreamWords", text=WORDS, throw_at=2, delay=1),
        place("go", "core:GroupOutput"),
        "s.stream > go.st",
        interfaceOutputs=interface(st="STRING~"),
    )
    seen = await observe(
        flow(group("g", "inner"), place("c", "CollectSafe"), "g.st > c.in"),
        workflows={"inner": inner},
    )
    assert states(seen) == {"g": "error", "g/s": "error", "g/go": "error", "c": "complete"}
    assert seen.node_outputs["c"]["text"] == "onetwo"
    assert seen.order("NODE_ERROR")[0] == "g/s"


async def test_skipped_group() -> None:
    seen = await observe(
        flow(
            place("f", "Fail"),
            group("g", "shout"),
            place("e", "Echo"),
            "f.out > g.text",
            "g.loud > e.in",
        ),
        workflows={"shout": SHOUT},
    )
    assert states(seen) == {"f": "error"} | dict.fromkeys(
        ("g", "g/gi", "g/m", "g/go", "e"), "skipped"
    )
    assert set(seen.skipped().values()) == {"f"}
    assert seen.order() == ["f"]


async def test_bypassed_group_hands_its_inputs_on_by_type() -> None:
    payload = flow(
        place("a", "Const", value="ab"),
        group("g", "shout", bypassed=True, times=7),
        place("i", "Inspect"),
        "a.value > g.text",
        "g.loud > i.a",
        "g.n > i.b",
    )
    seen = await observe(payload, workflows={"shout": SHOUT})
    assert states(seen) == {"a": "complete", "g": "skipped", "i": "complete"}
    pseudo = seen.events.of("NODE_BYPASSED")[0]["pseudoOutputs"]
    assert same(pseudo, {"loud": "ab", "n": 7})
    received = {"a": "ab", "b": 7, "c": "c-default"}
    assert same(seen.node_outputs["i"]["received"], received)


async def test_bypassed_group_hands_its_stream_on() -> None:
    seen = await observe(
        flow(
            place("s", "StreamWords", text=WORDS),
            group("g", "relay", bypassed=True),
            place("c", "Collect"),
            "s.stream > g.st",
            "g.st > c.in",
        ),
        workflows={"relay": RELAY},
    )
    assert seen.node_outputs["c"]["text"] == "onetwothreefourfive"


async def test_interrupt_inside_a_group() -> None:
    def on_event(progress: RunInProgress, kind: str, about: str) -> None:
        if (kind, about) == ("NODE_EXECUTING", "g/slow"):
            progress.clock.call_in(7, progress.interrupt)

    seen = await observe(
        flow(
            place("s", "StreamWords", text=WORDS, delay=5),
            group("g", "relay"),
            place("c", "Collect"),
            place("e", "Echo"),
            "s.stream > g.st",
            "g.st > c.in",
            "g.late > e.in",
        ),
        workflows={"relay": RELAY},
        on_event=on_event,
    )
    assert seen.status == "interrupted"
    done = {node for node, state in states(seen).items() if state == "complete"}
    assert done == {"g/gi"}
    assert set(states(seen).values()) == {"complete", "interrupted"}


async def test_empty_group() -> None:
    seen = await observe(flow(group("g", "empty")), workflows={"empty": flow()})
    assert states(seen) == {"g": "complete"}
    assert seen.status == "complete"


async def test_group_whose_nodes_do_not_depend_on_its_inputs() -> None:
    """They wait for the group to begin, all the same."""
    seen = await observe(
        flow(place("w", "Slow", ms=20, in_="x"), group("g", "mixed"), "w.out > g.v"),
        workflows={
            "mixed": flow(
                place("gi", "core:GroupInput"),
                place("k", "Const", value=1),
                place("go", "core:GroupOutput"),
                "gi.v > go.v",
                "k.value > go.k",
                interfaceInputs=interface(v="WILDCARD"),
                interfaceOutputs=interface(v="WILDCARD", k="WILDCARD"),
            )
        },
    )
    assert seen.index("NODE_COMPLETE", "w") < seen.index("NODE_EXECUTING", "g")
    assert seen.index("NODE_EXECUTING", "g") < seen.index("NODE_EXECUTING", "g/k")
    assert same(seen.node_outputs["g"], {"v": "x", "k": 1})


async def test_group_output_as_output_of_the_workflow() -> None:
    seen = await observe(
        flow(
            place("s", "StreamWords", text="a b"),
            group("g", "relay"),
            "s.stream > g.st",
            outputs={"st": "g.st", "joined": "g.joined"},
        ),
        workflows={"relay": RELAY},
    )
    messages = seen.interface_messages()
    assert messages[0].keys() == {"st"}
    assert messages[-1]["joined"] == "AB"
    assert seen.yields("st") == [
        *txt("A", "B"),
        ("finish_reason_chunk", "Stream ended", True),
    ]
