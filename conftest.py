"""Fixtures of every suite, the packs' included: the event loops, and no blocking call on them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import HealthCheck, settings

# How fast examples are made says something about the machine, not about the code.
settings.register_profile(
    "comfytavern", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("comfytavern")

FIELD_DATA = "COMFYTAVERN_FIELD_DATA"
_left_out = pytest.StashKey[int]()


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each async test on both event loops; a suite that serves HTTP overrides this."""
    return str(request.param)


@pytest.fixture(autouse=True)
def blockbuster() -> Iterator[BlockBuster]:
    """Fail a test that blocks its loop: seen on asyncio only, which runs the same code as trio."""
    with blockbuster_ctx() as watching:
        yield watching


@pytest.fixture
def field_data() -> Path:
    """Give the folder of real files; only for tests marked ``field_data``."""
    return Path(os.environ[FIELD_DATA])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that need real files where there are none."""
    if os.environ.get(FIELD_DATA):
        return
    needy = [item for item in items if item.get_closest_marker("field_data")]
    config.stash[_left_out] = len(needy)
    for item in needy:
        item.add_marker(pytest.mark.skip(reason=f"needs real files: {FIELD_DATA} is not set"))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how many tests were left out, so that a green run is not mistaken for a whole one."""
    if count := config.stash.get(_left_out, 0):
        terminalreporter.line(f"tests left out: {count} need real files, {FIELD_DATA} is not set")
