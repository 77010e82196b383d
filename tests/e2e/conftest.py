"""Fixtures of the tests that see the application as a whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ..hostapp.whole_app import WholeApp, whole_app


@pytest.fixture
def anyio_backend() -> str:
    """Run async tests on asyncio alone, as the server does."""
    return "asyncio"


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[WholeApp]:
    """Start the application as it is without a configuration, besides its packs."""
    async with whole_app(tmp_path / "data") as running:
        yield running
