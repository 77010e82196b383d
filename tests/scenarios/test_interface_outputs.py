"""What a workflow hands out as a whole, when not everything goes well (rule 10)."""

from __future__ import annotations

from .building import flow, place
from .comparing import same, txt
from .running import RunInProgress, observe
from .stream_expectations import ENDED, placeholder


async def test_every_source_that_brought_nothing_is_null() -> None:
    seen = await observe(
        flow(
            place("a", "Const", value=1),
            place("absent", "Const"),
            place("f", "Fail"),
            place("s", "Echo"),
            place("mute", "ByMute", bypassed=True),
            place("by", "ByDefaults", bypassed=True),
            "f.out > s.in",
            outputs={
                "given": "a.value",
                "absent": "absent.value",
                "failed": "f.out",
                "skipped": "s.out",
                "mute": "mute.out",
                "bypassed": "by.out",
                "no slot": "a.nope",
                "no node": "ghost.out",
            },
        )
    )
    expected = {
        "given": 1,
        "absent": None,
        "failed": None,
        "skipped": None,
        "mute": None,
        "bypassed": "DEF",
        "no slot": None,
        "no node": None,
    }
    assert seen.status == "error"
    assert same(seen.interface_messages(), [expected])
    assert same(dict(seen.outputs), expected)


async def test_broken_stream_ends_with_its_error() -> None:
    seen = await observe(
        flow(
            place("s", "StreamWords", text="a b c", throw_at=2),
            place("a", "Const", value=1),
            outputs={"st": "s.stream", "full": "s.full", "v": "a.value"},
        )
    )
    assert seen.yields("st") == [*txt("a", "b"), ("error_chunk", "stream broke", True)]
    assert same(
        seen.interface_messages(),
        [{"st": placeholder("st")}, {"st": placeholder("st"), "full": None, "v": 1}],
    )


async def test_stream_of_a_skipped_node_is_null() -> None:
    seen = await observe(
        flow(
            place("f", "Fail"),
            place("s", "StreamWords", text="a"),
            "f.out > s.delay",
            outputs={"st": "s.stream"},
        )
    )
    assert same(seen.interface_messages(), [{"st": None}])
    assert seen.yields("st") == []


async def test_one_stream_comes_and_another_is_skipped() -> None:
    """The early message promises both; the final one takes it back."""
    seen = await observe(
        flow(
            place("s", "StreamWords", text="a b"),
            place("f", "Fail"),
            place("t", "StreamWords", text="c"),
            "f.out > t.delay",
            outputs={"st": "s.stream", "tt": "t.stream"},
        )
    )
    messages = seen.interface_messages()
    assert same(messages[-1], {"st": placeholder("st"), "tt": None})
    assert seen.yields("st") == [*txt("a", "b"), ENDED]


async def test_chunks_are_never_held_back() -> None:
    """The first chunk is out while the writer is still at its second, batch outputs or not."""
    heard: list[tuple[str, str]] = []
    seen = await observe(
        flow(
            place("s", "StreamWords", text="a b c", delay=10),
            place("w", "Slow", ms=100, in_="late"),
            outputs={"late": "w.out", "st": "s.stream"},
        ),
        on_event=lambda progress, kind, about: heard.append((kind, about)),
    )
    assert seen.interface_messages()[0].keys() == {"st"}
    assert same(seen.interface_messages()[1], {"late": "late", "st": placeholder("st")})
    chunks = [i for i, event in enumerate(heard) if event == ("WORKFLOW_INTERFACE_YIELD", "st")]
    assert len(chunks) == 4
    assert chunks[-1] < heard.index(("NODE_COMPLETE", "w"))
    written = [i for i, event in enumerate(heard) if event == ("NODE_YIELD", "s")]
    assert chunks[0] < written[1]


async def test_several_outputs_of_one_stream() -> None:
    seen = await observe(
        flow(
            place("s", "StreamTwo", n=3),
            place("b", "ByStream", bypassed=True),
            "s.left > b.in",
            outputs={"x": "s.left", "y": "s.left", "z": "s.right", "b": "b.out"},
        )
    )
    for key in "xyzb":
        assert seen.yields(key) == [*txt("c0", "c1", "c2"), ENDED]


async def test_interrupted_run_sends_no_outputs() -> None:
    def on_event(progress: RunInProgress, kind: str, about: str) -> None:
        if (kind, about) == ("NODE_COMPLETE", "a"):
            progress.interrupt()

    seen = await observe(
        flow(
            place("a", "Const", value=1),
            place("w", "Slow"),
            outputs={"v": "a.value", "w": "w.out"},
        ),
        on_event=on_event,
    )
    assert seen.status == "interrupted"
    assert seen.interface_messages() == []


async def test_no_mappings_send_nothing() -> None:
    seen = await observe(flow(place("a", "Const", value=1), outputs={}))
    assert seen.interface_messages() == []
    assert dict(seen.outputs) == {}
