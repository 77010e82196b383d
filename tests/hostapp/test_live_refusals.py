"""What the WebSocket refuses: one ERROR each, and the connection goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from ..scenarios.building import flow, place
from .live_server import Json, Live, is_final, serving

SHORT = flow(place("a", "Repeat", text="x"))


@pytest.mark.parametrize(
    ("kind", "payload", "code", "message"),
    [
        (
            "HELLO",
            {},
            "not_found",
            (
                "there is no message 'HELLO'; expected one of: PROMPT_REQUEST, INTERRUPT_REQUEST,"
                " BUTTON_CLICK, SUBSCRIBE, UNSUBSCRIBE"
            ),
        ),
        (
            "PROMPT_REQUEST",
            {},
            "bad_request",
            "the payload does not fit: expected one of 'workflow', 'workflowId' and 'nodes'",
        ),
        ("PROMPT_REQUEST", {"workflowId": "none"}, "unknown_workflow", None),
        (
            "PROMPT_REQUEST",
            flow(place("a", "Nope")),
            "workflow_invalid",
            "node 'a' has unknown type 'test:Nope'; pack 'test' 0.0.0 has no such type",
        ),
        ("PROMPT_REQUEST", {**SHORT, "idempotencyKey": ""}, "bad_request", None),
        ("INTERRUPT_REQUEST", {"promptId": "x"}, "unknown_run", "no run has the id 'x'"),
        (
            "INTERRUPT_REQUEST",
            {},
            "bad_request",
            "the payload does not fit: 'promptId': field required",
        ),
        ("SUBSCRIBE", {"promptId": "x"}, "unknown_run", "no run has the id 'x'"),
        (
            "SUBSCRIBE",
            {"promptId": "x", "since": -1},
            "bad_request",
            "the payload does not fit: 'since': input should be greater than or equal to 0",
        ),
        ("SUBSCRIBE", {"promptId": 1, "sicne": 0}, "bad_request", "the payload does not fit"),
        ("UNSUBSCRIBE", {"promptId": None}, "bad_request", None),
        ("BUTTON_CLICK", {"nodeId": "a"}, "bad_request", None),
    ],
)
async def test_a_message_that_does_not_fit_is_refused(
    live: Live, kind: str, payload: Json, code: str, message: str | None
) -> None:
    async with live.socket() as client:
        await client.ask(kind, **payload, requestId={"number": 7})
        told = (await client.of("ERROR"))["payload"]
        assert set(told) == {"code", "message", "details", "requestType", "requestId"}
        assert (told["requestType"], told["requestId"]) == (kind, {"number": 7})
        assert told["code"] == code
        assert message in (None, told["message"])
        # And the connection goes on.
        await client.ask("PROMPT_REQUEST", **SHORT)
        assert is_final(await client.until(is_final))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "the message is not JSON: unexpected end of data: line 1 column 2 (char 1)"),
        (
            b"\xff\xfe",
            (
                "the message is not JSON: str is not valid utf-8: surrogates not allowed: line 1"
                " column 1 (char 0)"
            ),
        ),
        ("[]", "the message does not fit: expected an object"),
        ("7", "the message does not fit: expected an object"),
        ("{}", "the message does not fit: 'type': field required"),
        (
            '{"type": "SUBSCRIBE", "payload": []}',
            "the message does not fit: 'payload': input should be a valid dictionary",
        ),
    ],
)
async def test_what_is_no_message_is_refused(live: Live, text: str | bytes, message: str) -> None:
    async with live.socket() as client:
        await client.connection.send(text)
        told = (await client.of("ERROR"))["payload"]
    assert (told["code"], told["requestType"]) == ("bad_request", "")
    assert told["message"] == message


async def test_a_binary_message_is_read_like_a_text(live: Live) -> None:
    async with live.socket() as client:
        await client.connection.send(b'{"type": "SUBSCRIBE", "payload": {"promptId": "nobody"}}')
        told = (await client.of("ERROR"))["payload"]
    assert told["message"] == "no run has the id 'nobody'"


async def test_a_message_that_is_too_long_ends_the_connection(tmp_path: Path) -> None:
    async with serving(tmp_path, limits={"body": 2000}) as live, live.socket() as client:
        await client.connection.send("x" * 2001)
        with pytest.raises(ConnectionClosed):
            await client.of("ERROR")
        assert client.connection.close_code == 1009
