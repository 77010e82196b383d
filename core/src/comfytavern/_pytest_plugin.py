"""The testing kit as pytest fixtures; pytest finds them through the entry point of core.

pytest imports this module in every run of every project that has core installed. So whatever is
heavy is imported inside the fixtures, when the first test asks for one, and nothing but the
fixtures is registered: no option, no hook, no fixture that is used by itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .fake_llm import FakeLlm
    from .host import PackHost
    from .testing import EventLog, GraphResult, NodeResult

LLM_PACK = "comfytavern-llm-nodes"
LLM_SERVICE = "llm"


@pytest.fixture
def _no_network(request: pytest.FixtureRequest) -> Iterator[None]:
    """Refuse the network while the test runs; a refusal that the test never saw fails it."""
    from ._no_network import NoNetwork

    failed = request.session.testsfailed
    watching = NoNetwork()
    with pytest.MonkeyPatch.context() as patch:
        watching.install(patch)
        yield
    if watching.attempts and request.session.testsfailed == failed:
        pytest.fail(f"something caught this error: {watching.attempts[0]}", pytrace=False)


@pytest.fixture
def fake_llm(_no_network: None, monkeypatch: pytest.MonkeyPatch) -> FakeLlm:
    """Give a chat service whose answers the test writes; no request leaves the process.

    The other fixtures lend it to nodes: as ``context.http``, and as the channel of
    ``comfytavern-llm-nodes`` where that is installed.
    """
    if find_spec("httpx") is None:
        pytest.fail("the fixture fake_llm needs httpx: pip install httpx", pytrace=False)
    import httpx

    from .fake_llm import FakeLlm

    fake = FakeLlm()

    async def answer(transport: object, request: httpx.Request) -> httpx.Response:
        await request.aread()
        return fake.respond(request)

    def answer_at_once(transport: object, request: httpx.Request) -> httpx.Response:
        request.read()
        return fake.respond(request)

    # Clients that packs make for themselves end here, too.
    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", answer)
    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", answer_at_once)
    return fake


@pytest.fixture
def _llm(request: pytest.FixtureRequest) -> _Llm | None:
    """Give what ``fake_llm`` means for hosts; None where the test does not ask for it."""
    if "fake_llm" not in request.fixturenames:
        return None
    return _Llm(request.getfixturevalue("fake_llm"))


@pytest.fixture
def pack_host(
    _no_network: None, _llm: _Llm | None
) -> Callable[..., AbstractAsyncContextManager[PackHost]]:
    """Give ``comfytavern.testing.pack_host``: ``async with pack_host(my_pack) as host``."""
    from . import testing

    def host(*packs: object, **options: Any) -> AbstractAsyncContextManager[PackHost]:
        if _llm is not None:
            packs, options = _llm.lend(packs, options)
        return testing.pack_host(*packs, **options)

    return host


@pytest.fixture
def run_node(_no_network: None, _llm: _Llm | None) -> Callable[..., Awaitable[NodeResult]]:
    """Give ``comfytavern.testing.run_node``: ``await run_node(shout, text="hi")``."""
    from . import testing

    if _llm is None:
        return testing.run_node
    llm = _llm

    async def run(*positional: Any, **options: Any) -> NodeResult:  # Any: those of run_node
        async with llm.services() as services:
            options["services"] = {**services, **(options.get("services") or {})}
            options.setdefault("http", llm.fake.http)
            return await testing.run_node(*positional, **options)

    return run


@pytest.fixture
def event_log() -> EventLog:
    """Give the events of every workflow that ``run_workflow`` runs in this test, in order."""
    from .testing import EventLog

    return EventLog()


@pytest.fixture
def run_workflow(
    _no_network: None, _llm: _Llm | None, event_log: EventLog, pytestconfig: pytest.Config
) -> Callable[..., Awaitable[GraphResult]]:
    """Give ``comfytavern.testing.run_graph``, which here takes a file as well.

    A relative path starts at the root of the project (pytest's ``rootdir``).
    """
    from anyio import Path as AsyncPath

    from . import testing
    from .workflow import read_workflow

    async def run(workflow: Any, *packs: object, **options: Any) -> GraphResult:
        if isinstance(workflow, str | Path):
            path = pytestconfig.rootpath / workflow
            workflow = read_workflow(await AsyncPath(path).read_bytes(), source=str(path))
        if _llm is not None:
            packs, options = _llm.lend(packs, options)
        result = await testing.run_graph(workflow, *packs, **options)
        event_log.extend(result.events)
        return result

    return run


class _Llm:
    """What a host gets where a test asks for ``fake_llm``: a client, and the LLM pack."""

    def __init__(self, fake: FakeLlm) -> None:
        self.fake = fake
        self._pack = _installed_pack(LLM_PACK)

    def lend(
        self,
        packs: tuple[object, ...],
        options: Mapping[str, Any],  # Any: those of pack_host
    ) -> tuple[tuple[object, ...], dict[str, Any]]:
        """Return packs and options of a host with the service; what the test gave stays."""
        from ._test_bench import distribution_of

        given = LLM_PACK in map(distribution_of, packs)
        taken = LLM_SERVICE in (options.get("services") or {})
        if self._pack is not None and not given and not taken:
            packs = (*packs, self._pack)
        settings = {LLM_PACK: self.fake.settings, **(options.get("settings") or {})}
        return packs, {"http": self.fake.http, **options, "settings": settings}

    @asynccontextmanager
    async def services(self) -> AsyncIterator[Mapping[str, object]]:
        """Give the services of the LLM pack, for one node that runs without it."""
        from . import testing

        if self._pack is None:
            yield {}
            return
        settings = {LLM_PACK: self.fake.settings}
        async with testing.pack_host(self._pack, settings=settings) as host:
            yield dict(host.packs.services)


def _installed_pack(distribution: str) -> object:
    """Return what the entry point of a pack names, as a host loads it; None if not installed."""
    from importlib import metadata

    try:
        found = metadata.distribution(distribution).entry_points
    except metadata.PackageNotFoundError:
        return None
    [entry_point] = found.select(group="comfytavern.packs")
    return entry_point.load()
