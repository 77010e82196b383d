"""Fixtures of the repository's own suites."""

from __future__ import annotations

from pathlib import Path

import pytest

from .offline_environment import Offline, make_offline


@pytest.fixture(scope="session")
def repository() -> Path:
    """Give the root of the checkout."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def offline(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Offline:
    """Build the wheels of the checkout once, for shells that have no network."""
    return make_offline(repository, tmp_path_factory.mktemp("offline"))
