"""Fan-out of one writer to many readers: order kept, nothing lost, no deadlock.

A writer waits at a full buffer only while the reader can still take from it. A reader
that has not begun, or that waits (directly or through others) on this same writer,
cannot: its chunks are buffered beyond the bound, up to ``overflow``. There the writer
waits if the reader will come by itself, and fails if waiting could never end. This is
the bounded scheduling of Kahn process networks (Parks 1995), with the artificial
deadlocks found by following who waits for whom.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable
from time import perf_counter

import anyio

from ._stream_network import StreamNetwork
from .chunks import Chunk
from .errors import StreamBrokenError, StreamOverflowError

__all__ = ("StreamNetwork", "StreamReader", "StreamWriter", "Tap")

# Called with (chunk, is_last); never waits.
Tap = Callable[[Chunk, bool], None]

STREAM_ENDED = Chunk("finish_reason_chunk", "Stream ended")
_BEGIN = Chunk("begin", None)  # never seen by a reader


class StreamWriter:
    """The writing end: everything that one node streams, to all who read it.

    All stream outputs of a node carry the same chunks.
    """

    __slots__ = (
        "_network",
        "_room",
        "_waits_on",
        "begun",
        "failure",
        "finished",
        "node",
        "readers",
        "taps",
    )

    def __init__(self, network: StreamNetwork, node: int) -> None:
        self.node = node
        self.readers: list[StreamReader] = []
        self.taps: list[Tap] = []
        self.begun = False
        self.finished = False
        self.failure: str | None = None
        self._network = network
        self._room: anyio.Event | None = None
        self._waits_on: int | None = None

    def subscribe(self, owner: int, slot: str) -> StreamReader:
        """Return a new reader of what is written from now on."""
        reader = StreamReader(self._network, self, owner, slot)
        self.readers.append(reader)
        return reader

    def put(self, chunk: Chunk) -> bool:
        """Hand a chunk to every reader; return whether ``make_room`` must be awaited."""
        self.begun = True
        full = False
        for reader in self.readers:
            buffer = reader.buffer
            buffer.append(chunk)
            if reader.arrival is not None:
                reader.arrived()
            if len(buffer) >= reader.limit:
                full = True
        if self.taps:
            for tap in self.taps:
                tap(chunk, False)
        return full

    async def make_room(self) -> None:
        """Wait until no reader that can take has a full buffer.

        :raises StreamOverflowError: a reader that can never take in time has too much
        """
        gave_turn = False
        while True:
            full = [r for r in self.readers if len(r.buffer) >= r.limit]
            if not full:
                return
            # Readers that are about to begin get one turn before more is piled up.
            if not gave_turn and not all(self._network.graph.has_begun(r.owner) for r in full):
                gave_turn = True
                await self._network.breath.pause()
                continue
            waiting_for = [reader for reader in full if self._must_wait(reader)]
            if not waiting_for:
                return
            for reader in waiting_for:
                reader.watched = True
            await self._wait(waiting_for[0].owner)

    def _must_wait(self, reader: StreamReader) -> bool:
        """Return whether the writer waits for this reader; else let it buffer more."""
        network = self._network
        depends = network.depends(reader.owner, self.node)
        if network.graph.has_begun(reader.owner) and not depends:
            return True
        size = len(reader.buffer)
        if size < network.overflow or (size == network.overflow and depends):
            reader.spill()
            return False
        if depends:
            label = network.graph.label
            raise StreamOverflowError(
                label(self.node), reader.slot, label(reader.owner), network.overflow
            )
        return True

    async def _wait(self, on: int) -> None:
        room = self._room = anyio.Event()
        self._waits_on = on
        self._network.begin_wait(self.node, on)
        self._network.blocked.add(self)
        try:
            await room.wait()
        finally:
            self._network.blocked.discard(self)
            self._room = None
            self._go_on()

    def _go_on(self) -> None:
        if self._waits_on is not None:
            self._network.end_wait(self.node, self._waits_on)
            self._waits_on = None

    def make_way(self) -> None:
        """Wake the writer if it waits: a reader has taken enough, or has left."""
        if self._room is not None:
            self._go_on()  # from now on, not from when it gets its turn
            self._room.set()

    def look_again(self) -> None:
        """Let the writer look whether it may still wait: somebody else waits now."""
        if self._room is not None:
            self._room.set()

    def finish(self, failure: str | None = None) -> None:
        """End the stream for every reader; with ``failure``, as a broken one."""
        if self.finished:
            return
        self.finished = True
        self.failure = failure
        for reader in self.readers:
            if reader.arrival is not None:
                reader.arrived()
        last = STREAM_ENDED if failure is None else Chunk("error_chunk", failure)
        for tap in self.taps:
            tap(last, True)


class StreamReader:
    """The reading end of one edge; implements ``comfytavern.chunks.Stream``."""

    __slots__ = (
        "_ended",
        "_left",
        "_network",
        "arrival",
        "breath",
        "buffer",
        "limit",
        "owner",
        "slot",
        "watched",
        "writer",
    )

    def __init__(self, network: StreamNetwork, writer: StreamWriter, owner: int, slot: str) -> None:
        self.writer = writer
        self.owner = owner
        self.slot = slot
        self.buffer: deque[Chunk] = deque()
        self.limit = network.bound
        self.arrival: anyio.Event | None = None
        # whether taking may bring the buffer down to where somebody wants to know
        self.watched = False
        self.breath = network.breath
        self._network = network
        self._left = False
        self._ended = False

    def __repr__(self) -> str:
        return f"<stream {self._network.graph.label(self.writer.node)}.{self.slot}>"

    def __aiter__(self) -> AsyncGenerator[Chunk, None]:
        chunks = self._iterate()
        # Dropping the generator (a `break`) must close it at once. The event loop's hooks
        # would put that off, or warn; there is nothing to await, so it can do without them.
        # It takes the hooks when it begins, so it begins here.
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None)
        try:
            chunks.__anext__().send(None)
        except StopIteration:
            pass  # it stands at its first yield, as nothing before that waits
        finally:
            sys.set_asyncgen_hooks(*hooks)
        return chunks

    async def _iterate(self) -> AsyncGenerator[Chunk, None]:
        buffer, breath = self.buffer, self.breath
        try:
            yield _BEGIN
            while buffer or await self.fill():
                # All at once: the writer may fill the next buffer meanwhile.
                chunks = tuple(buffer)
                buffer.clear()
                if self.watched:
                    self.taken()
                for chunk in chunks:
                    yield chunk
                    if perf_counter() > breath.deadline:
                        await breath.pause()
        finally:
            self.close()

    async def receive(self) -> Chunk:
        """Return the next chunk; see ``comfytavern.chunks.Stream``."""
        if not self.buffer and not await self.fill():
            raise anyio.EndOfStream
        chunk = self.buffer.popleft()
        if self.watched:
            self.taken()
        if perf_counter() > self.breath.deadline:
            await self.breath.pause()
        return chunk

    async def fill(self) -> bool:
        """Wait until there is a chunk in the buffer; False at the end of the stream."""
        while not self.buffer:
            if self._left:
                raise anyio.ClosedResourceError(f"{self!r} was left early and cannot be read again")
            if self.writer.failure is not None:
                label = self._network.graph.label(self.writer.node)
                raise StreamBrokenError(label, self.slot, self.writer.failure)
            if self.writer.finished:
                self._ended = True
                return False
            await self._wait()
        return True

    async def text(self) -> str:
        """Read to the end and return the text chunks joined."""
        return "".join([str(c.content) async for c in self if c.type == "text_chunk"])

    def close(self) -> None:
        """Stop reading, for good; the writer never waits for this reader again."""
        if self._left:
            return
        self._left = not self._ended
        self.buffer.clear()
        # A new list: the writer may be looping over the old one.
        self.writer.readers = [r for r in self.writer.readers if r is not self]
        self.writer.make_way()
        self.arrived()

    def hand_on(self, owner: int) -> StreamReader:
        """Return a reader for another node that begins where this one stands."""
        copy = self.writer.subscribe(owner, self.slot)
        copy.buffer.extend(self.buffer)
        if len(copy.buffer) >= copy.limit:
            copy.spill()
        return copy

    def hand_to_tap(self, tap: Tap) -> None:
        """Give a tap what this reader would read, from where it stands."""
        for chunk in self.buffer:
            tap(chunk, False)
        writer = self.writer
        if not writer.finished:
            writer.taps.append(tap)
        elif writer.failure is None:
            tap(STREAM_ENDED, True)
        else:
            tap(Chunk("error_chunk", writer.failure), True)

    def arrived(self) -> None:
        """Wake whoever waits for a chunk or the end."""
        arrival = self.arrival
        if arrival is not None:
            self.arrival = None
            # The wait is over now, not when the reader gets its turn.
            self._network.end_wait(self.owner, self.writer.node)
            arrival.set()

    def spill(self) -> None:
        """Let another bufferful pile up before the writer asks again."""
        bound, overflow = self._network.bound, self._network.overflow
        size = len(self.buffer)
        # At the cap already: only what would go beyond it is one too many.
        self.limit = min(overflow, size + bound) if size < overflow else overflow + 1
        self.watched = True

    def taken(self) -> None:
        """Hear that a chunk was taken while the writer waits, or after a spill."""
        if len(self.buffer) <= self._network.low_water:
            self.limit = self._network.bound
            self.watched = False
            self.writer.make_way()

    async def _wait(self) -> None:
        arrival = self.arrival
        if arrival is not None:  # another task of the same node waits already
            await arrival.wait()
            return
        arrival = self.arrival = anyio.Event()
        self._network.begin_wait(self.owner, self.writer.node)
        try:
            await arrival.wait()
        finally:
            if self.arrival is arrival:  # cancelled
                self.arrived()
