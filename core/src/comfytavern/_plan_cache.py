"""The plans of the last workflows: most runs are of a workflow that was compiled before."""

from __future__ import annotations

from collections import OrderedDict

from .plan import Plan

__all__ = ("PlanCache",)

ENTRIES = 128
# Bytes of text: a workflow that is larger is not kept, and all together not more of it.
LARGEST = 256 * 1024
TOTAL = 4 * 1024 * 1024


class PlanCache:
    """Plans by the text of their workflows. Plans are never changed, so runs may share them."""

    def __init__(self) -> None:
        self._plans: OrderedDict[bytes, Plan] = OrderedDict()
        self._size = 0
        self._revision = 0

    def get(self, key: bytes, revision: int) -> Plan | None:
        """Return the plan that is kept under a key.

        :param revision: of the registry; with another one, all that was kept is forgotten
        """
        if revision != self._revision:
            self._plans.clear()
            self._size, self._revision = 0, revision
        plan = self._plans.get(key)
        if plan is not None:
            self._plans.move_to_end(key)
        return plan

    def put(self, key: bytes, plan: Plan, revision: int) -> None:
        """Keep a plan; the one that was not used for the longest time goes.

        :param revision: of the registry when compiling began; an older one is out of date
        """
        if revision != self._revision or len(key) > LARGEST:
            return
        if key not in self._plans:
            self._size += len(key)
        self._plans[key] = plan
        while len(self._plans) > ENTRIES or self._size > TOTAL:
            oldest, _ = self._plans.popitem(last=False)
            self._size -= len(oldest)
