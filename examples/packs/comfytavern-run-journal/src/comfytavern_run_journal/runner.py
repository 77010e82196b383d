"""The runner: writes a run down, then executes it in this process."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from comfytavern import PackHost
from comfytavern.local_runner import LocalRunner
from comfytavern.runner import Envelope, RunSpec

from .journal import Journal

__all__ = ("JournalingRunner",)


class JournalingRunner(LocalRunner):
    """A ``LocalRunner`` that keeps a journal. All else is as it was: events, cancelling, buttons.

    A run whose entry cannot be written is not executed: a journal with gaps is none.
    """

    def __init__(self, host: PackHost, *, journal: Journal) -> None:
        super().__init__(host)
        self._journal = journal

    async def run(self, spec: RunSpec) -> AsyncGenerator[list[Envelope], None]:
        """Execute one run; see ``Runner.run``.

        :raises OSError: the journal cannot be written
        """
        await self._journal.add(spec.run_id, spec.user_id, spec.workflow, spec.inputs)
        async with aclosing(super().run(spec)) as batches:
            async for batch in batches:
                yield batch
