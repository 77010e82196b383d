"""BUTTON_CLICK: from a page to the code of a node that runs."""

from __future__ import annotations

import anyio
import pytest

from ..scenarios.building import flow, place
from .live_server import Json, Live, LiveSocket

BUTTONS = flow(place("b", "Buttons"))


async def listening(live: Live, runs: int = 1) -> list[str]:
    """Start runs whose node listens to buttons."""
    ids = [await live.submit(BUTTONS) for _ in range(runs)]
    await live.stage.begun("b", runs)
    return ids


async def click(client: LiveSocket, button: str, **payload: object) -> None:
    """Press a button of the node."""
    await client.ask("BUTTON_CLICK", **{"nodeId": "b", "buttonName": button, **payload})


async def refused(client: LiveSocket) -> Json:
    """Return why the next message is refused."""
    told: Json = (await client.of("ERROR"))["payload"]
    return told


async def pressed(live: Live, count: int = 1) -> list[Json]:
    """Wait until a node was told of its buttons so often."""
    with anyio.fail_after(5):
        await live.stage.heard(count)
    return [dict(message) for message in live.stage.pressed]


async def test_the_node_gets_the_whole_payload(live: Live) -> None:
    [run_id] = await listening(live)
    async with live.socket() as client:
        await click(client, "note", value=[1, {"x": None}], requestId="r")
        [message] = await pressed(live)
        assert message == {"nodeId": "b", "buttonName": "note", "value": [1, {"x": None}]}
        await click(client, "note", promptId=run_id)
        message = (await pressed(live, 2))[1]
        assert message == {"nodeId": "b", "buttonName": "note", "promptId": run_id}


async def test_a_press_without_a_run_reaches_every_run_of_the_node(live: Live) -> None:
    one, other = await listening(live, 2)
    async with live.socket() as client:
        await click(client, "note")
        assert len(await pressed(live, 2)) == 2
        await click(client, "note", promptId=one)
        assert len(await pressed(live, 3)) == 3
        await live.http.post(f"/api/interrupt/{other}")
        await live.ended(other)
        await click(client, "note")
        assert len(await pressed(live, 4)) == 4


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"nodeId": "b", "buttonName": "stop"}, "node 'b' listens to no button 'stop'"),
        ({"nodeId": "c", "buttonName": "note"}, "no running node 'c' listens to a button"),
        (
            {"nodeId": "b", "buttonName": "note", "promptId": "x"},
            "run 'x' is not running",
        ),
    ],
)
async def test_a_button_that_nobody_listens_to(live: Live, payload: Json, message: str) -> None:
    await listening(live)
    async with live.socket() as client:
        await client.ask("BUTTON_CLICK", **payload, requestId=7)
        told = await refused(client)
    assert told == {
        "code": "not_found",
        "message": message,
        "details": [],
        "requestType": "BUTTON_CLICK",
        "requestId": 7,
    }
    assert live.stage.pressed == []


async def test_a_node_that_has_ended_listens_no_longer(live: Live) -> None:
    [run_id] = await listening(live)
    live.stage.end("b")
    await live.ended(run_id)
    async with live.socket() as client:
        await click(client, "note")
        assert (await refused(client))["message"] == "no running node 'b' listens to a button"
        await click(client, "note", promptId=run_id)
        assert (await refused(client))["message"] == f"run {run_id!r} is not running"


async def test_what_a_button_raises_is_told_and_the_run_goes_on(live: Live) -> None:
    [run_id] = await listening(live)
    async with live.socket() as client:
        await click(client, "refuse")
        told = await refused(client)
        assert told["code"] == "button_failed"
        assert told["message"] == "button 'refuse' of node 'b' raised KeyError: 'no refuse today'"
        await click(client, "note")
        await pressed(live)
    live.stage.end("b")
    assert (await live.ended(run_id))["status"] == "complete"


async def test_a_button_that_takes_its_time_holds_up_nothing(live: Live) -> None:
    [run_id] = await listening(live)
    async with live.socket() as client:
        await click(client, "hang")
        await pressed(live, 1)
        await click(client, "note")
        await pressed(live, 2)
        await client.ask("SUBSCRIBE", promptId=run_id)
        await client.of("NODE_EXECUTING")
        live.stage.end("b")
        assert (await client.log(run_id))[-1]["payload"]["status"] == "complete"
    # And goes with the connection: the server can stop.
    assert (await live.http.get("/health")).status_code == 200
