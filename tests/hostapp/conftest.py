"""The host app serves with uvicorn, which runs on asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from .live_server import Live, serving
from .service_bench import Bench


@pytest.fixture
def anyio_backend() -> str:
    """Run async tests on asyncio alone."""
    return "asyncio"


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    """Serve a host of the stage's nodes on loopback."""
    async with serving(tmp_path / "data") as server:
        yield server


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Give a data directory on which hosts of the stage's nodes are opened, without HTTP."""
    bench = Bench(tmp_path / "data")
    yield bench
    bench.stage.close()
