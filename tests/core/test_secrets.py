"""Secrets go below the URLs they are bound to and nowhere else, and never into a text."""

from __future__ import annotations

import json
from urllib.parse import quote, urlsplit

import pytest
from anyio import create_task_group, to_thread
from hypothesis import given
from hypothesis import strategies as st

from comfytavern.errors import ComfyTavernError
from comfytavern.secrets import SHOWN_SECRET, SecretEntry, SecretError, SecretStore

KEY = "sk-sentinel-0123456789"


def bound_to(*base_urls: str, value: str = KEY) -> SecretStore:
    return SecretStore({"key": SecretEntry(lambda: value, base_urls)})


def gives(store: SecretStore, url: str | None) -> bool:
    try:
        return store.get("key", url) == KEY
    except SecretError as exc:
        assert KEY not in str(exc)  # noqa: PT017 - the text is checked on every refusal
        return False


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://api.example/v1", "https://api.example/v1"),
        ("https://api.example/v1", "https://api.example/v1/"),
        ("https://api.example/v1", "https://api.example/v1/chat/completions?stream=1#top"),
        ("https://api.example/v1", "https://api.example/v1?x=/../.."),
        ("https://api.example/v1/", "https://api.example/v1"),
        ("https://api.example/v1", "HTTPS://API.Example/v1/x"),
        ("https://API.example/v1", "https://api.example/v1/x"),
        ("https://api.example/v1", "https://api.example:443/v1/x"),
        ("https://api.example:443/v1", "https://api.example/v1/x"),
        ("http://api.example", "http://api.example:80/any/where"),
        ("http://api.example", "http://api.example"),
        ("http://127.0.0.1:11434/v1", "http://127.0.0.1:11434/v1/models"),
        ("http://[::1]:8080", "http://[0:0:0:0:0:0:0:1]:8080/x"),
        ("https://api.example/v1", "https://api.example/v1/a..b/...x/%20y;z"),
    ],
)
def test_a_secret_goes_below_its_base_url(base: str, url: str) -> None:
    assert gives(bound_to(base), url)
    assert gives(bound_to("https://other.example", base), url)


ELSEWHERE = [
    # another place
    *("http://api.example/v1", "https://api.example:444/v1", "https://api.example:80/v1"),
    *("https://evil.example/v1", "https://api.example.evil/v1", "https://evilapi.example/v1"),
    *("https://x.api.example/v1", "https://api.example./v1", "ftp://api.example/v1"),
    *("https://api.example", "https://api.example/", "https://api.example/v10"),
    *("https://api.example/v1x/y", "https://api.example/V1", "https://api.example/x/v1"),
    *("https://api.example//v1", "https://api.example/?/v1", "https://api.example#/v1"),
    # a step out of the path, as one server or another reads it
    *("https://api.example/v1/..", "https://api.example/v1/../admin", "https://api.example/v1/."),
    *("https://api.example/v1/%2e%2e/x", "https://api.example/v1/.%2E/x"),
    *("https://api.example/v1/%252e%252e/x", "https://api.example/v1/..%2fx"),
    *("https://api.example/v1/x%2f..%2f..", "https://api.example/v1/..%5cx"),
    *(
        "https://api.example/v1/..;/x",
        "https://api.example/v1/..;a=b/x",
        "https://api.example/v1/%00",
    ),
    *("https://api.example/v1\\..\\x", "https://api.example\\v1", "https:\\\\api.example/v1"),
    # somebody else's host dressed up
    *("https://api.example@evil.example/v1", "https://user:pw@api.example/v1"),
    *("https://@api.example/v1", "https://api.example:443@evil.example/v1"),
    *("https://evil.example#@api.example/v1", "https://evil.example?@api.example/v1"),
    *("https://evil.example\\@api.example/v1", "https://api.example%2eevil.example/v1"),
    *("https://api.example%00.evil.example/v1", "https://api%2eexample/v1"),
    # what one reader cleans up and another does not
    *(" https://api.example/v1", "https://api.example/v1 ", "https://api.example/v1\n"),
    *("https://api.\texample/v1", "https://api.example/v1/\r\nx", "https://api.example/v1/\0"),
    *(
        "https:api.example/v1",
        "https:/api.example/v1",
        "https:///api.example/v1",
        "//api.example/v1",
    ),
    *("api.example/v1", "/v1", "v1", "https://", "https:///v1", "https://:443/v1"),
    *("https://api.example:/v1", "https://api.example:0/v1", "https://api.example:65979/v1"),
    *(
        "https://api.example:4 43/v1",
        "https://api.example:+443/v1",
        "https://api.example:443:443/v1",
    ),
    *("https://api.exampl\u00e9/v1", "https://\uff41pi.example/v1", "https://api\u3002example/v1"),
    *("https://api.example/v1/\u2025", "https://[::1]/v1", "https://[api.example]/v1"),
    *("https://[:::]/v1", "https://[::1/v1", "javascript:https://api.example/v1"),
]


@pytest.mark.parametrize("url", ELSEWHERE)
def test_a_secret_goes_nowhere_else(url: str) -> None:
    store = bound_to("https://api.example/v1")
    assert not gives(store, url)
    assert store.values_seen() == []


@pytest.mark.parametrize("base", ["https://api.example/v1", "http://[::1]:8080/a/b"])
@given(
    url=st.text() | st.lists(st.sampled_from("https :// api.example /v1 .. @ : %2e \\ ;".split()))
)
def test_no_url_is_taken_for_another_place(base: str, url: str | list[str]) -> None:
    text = url if isinstance(url, str) else "".join(url)
    if gives(bound_to(base), text):
        parts = urlsplit(text)
        assert (parts.scheme, parts.hostname) == ("https", "api.example")
        assert parts.path.startswith("/v1")
        assert "/.." not in parts.path


def test_refusals_say_what_is_expected() -> None:
    store = bound_to("https://API.example:443/v1/", "http://[0::1]:8080")
    wanted = {
        "https://evil.example/x?key=leak": (
            "secret 'key' is not bound to this URL; it may be sent below"
            " https://api.example/v1, http://[::1]:8080"
        ),
        None: "secret 'key' is given out only for a URL; say where it will be sent",
        "": "secret 'key' is given out only for a URL; say where it will be sent",
    }
    for url, message in wanted.items():
        with pytest.raises(SecretError) as caught:
            store.get("key", url)
        assert str(caught.value) == message
    with pytest.raises(SecretError) as caught:
        store.get("kez", "https://api.example/v1")
    assert str(caught.value) == "secret 'kez' is not an entry of 'secrets:'; did you mean 'key'?"
    assert (caught.value.name, caught.value.code) == ("kez", "secret_refused")
    assert isinstance(caught.value, LookupError)
    assert isinstance(caught.value, ComfyTavernError)


@pytest.mark.parametrize("error", [OSError, ValueError, KeyError, ComfyTavernError])
def test_what_cannot_be_fetched_shows_neither_paths_nor_values(error: type[Exception]) -> None:
    def fetch() -> str:
        raise error(f"/home/operator/keys: {KEY}")

    store = SecretStore({"key": SecretEntry(fetch, ("https://api.example",))})
    with pytest.raises(SecretError) as caught:
        store.get("key", "https://api.example/")
    assert str(caught.value) == (
        "secret 'key' cannot be fetched; 'comfytavern config check' says why"
    )
    assert caught.value.__suppress_context__
    assert store.values_seen() == []


@pytest.mark.parametrize(
    "base", ["", "api.example", "ftp://api.example", "https://u:p@api.example", "https://a/../b"]
)
def test_a_base_url_that_nothing_can_lie_below_is_refused(base: str) -> None:
    with pytest.raises(SecretError, match=r"^secret 'key' has the base URL .*; expected http"):
        bound_to(base)
    with pytest.raises(SecretError, match=r"^secret 'key' has no base URL"):
        bound_to()


def test_a_secret_is_fetched_each_time() -> None:
    values = iter(["first-value", "second-value", "first-value"])
    store = SecretStore({"key": SecretEntry(lambda: next(values), ("https://api.example",))})
    assert store.values_seen() == []
    assert store.redact("first-value") == "first-value"
    for _ in range(3):
        store.get("key", "https://api.example/")
    assert store.values_seen() == ["first-value", "second-value"]
    assert store.redact("first-value, second-value") == f"{SHOWN_SECRET}, {SHOWN_SECRET}"


@pytest.mark.parametrize(
    "value", [KEY, 'p"ss\\w\u00f6rd/+ \u2603', "a.b*c(d", "\udcff\udcfe-bytes", "secret"]
)
def test_texts_are_redacted_however_the_value_is_written(value: str) -> None:
    store = bound_to("https://api.example", value=value)
    store.get("key", "https://api.example")
    ways = [value, json.dumps(value), json.dumps({"k": value}, ensure_ascii=False)]
    ways += [f"https://x/?k={quote(value, safe='', errors='surrogateescape')}", f"{value}{value}"]
    for text in ways:
        redacted = store.redact(f"before {text} after")
        assert value not in redacted.replace(SHOWN_SECRET, "")
        assert SHOWN_SECRET in redacted
        assert redacted.startswith("before ")
        assert redacted.endswith(" after")


def test_the_longest_value_is_redacted_first_and_short_ones_stay() -> None:
    values = iter(["abcd", "abcdefgh", "xyz"])
    store = SecretStore({"key": SecretEntry(lambda: next(values), ("https://api.example",))})
    for _ in range(3):
        store.get("key", "https://api.example")
    assert store.redact("abcdefgh abcd xyz") == f"{SHOWN_SECRET} {SHOWN_SECRET} xyz"


def test_no_repr_shows_a_value() -> None:
    store = bound_to("https://api.example")
    store.get("key", "https://api.example")
    entry = SecretEntry(KEY.lower, ("https://api.example",))
    assert repr(entry) == "SecretEntry(base_urls=('https://api.example',))"
    assert repr(store) == "SecretStore('key')"


async def test_threads_may_ask_at_the_same_time() -> None:
    values = iter(range(1000, 1100))
    entry = SecretEntry(lambda: f"value-{next(values)}", ("https://api.example",))
    store = SecretStore({"key": entry})
    async with create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(to_thread.run_sync, store.get, "key", "https://api.example")
    assert len(store.values_seen()) == 100
    seen = " ".join(store.values_seen())
    assert set(store.redact(seen).split()) == {SHOWN_SECRET}
