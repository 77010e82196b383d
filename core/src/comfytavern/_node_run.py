"""One node: call its code, look at what it returns, and put a name to what goes wrong."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
from anyio import get_cancelled_exc_class

from ._shapes import CallKind
from ._tracebacks import shown_traceback
from .chunks import Chunk, Outputs
from .context import NodeContext
from .errors import (
    ComfyTavernError,
    NodeFailedError,
    PackError,
    StreamBrokenError,
    did_you_mean,
)
from .events import BypassRequest
from .plan import NodeKind, PlanNode
from .streams import StreamReader, StreamWriter

if TYPE_CHECKING:
    from ._run import Run

__all__ = ("execute_node",)

# Seconds that the `finally` of a generator may take after an interrupt.
CLEANUP = 2.0
_NOTHING: Mapping[str, object] = {}


class _Failure(Exception):
    """A node that breaks the contract; the text is the reason."""

    def __init__(self, code: str, reason: str) -> None:
        self.code = code
        super().__init__(reason)


async def execute_node(run: Run, node: PlanNode) -> None:
    """Execute one node and tell the run how it ended. Only cancellation gets out."""
    inputs = run.values.take(node)
    run.enter(node)
    started = perf_counter()
    try:
        if node.kind is not NodeKind.NORMAL:
            _pass_through(run, node, inputs)
            return
        if node.required:
            _check_required(node, inputs)
        if run.sink.node_started is not None:
            run.sink.node_started(node)
        context = NodeContext(run.services, node)
        if node.call_kind is CallKind.COROUTINE:
            result: Any = await node.execute(inputs, context)  # type: ignore[operator,misc]  # compiled: a coroutine function
        else:
            result = await _call(run, node, inputs, context)
        outputs = _NOTHING if result is None else _checked(node, result)
    except get_cancelled_exc_class() as exc:
        await _cancelled(run, node, exc)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as exc:  # also SystemExit, and panics of compiled code
        _fail(run, node, exc)
    else:
        run.outcomes.complete(node, outputs, perf_counter() - started)
    finally:
        run.leave(node)


def _check_required(node: PlanNode, inputs: Mapping[str, object]) -> None:
    missing = [slot for slot in node.required if slot not in inputs]
    if missing:
        named = " and ".join(repr(slot) for slot in missing)
        raise _Failure("missing_input", f"nothing came for the required input {named}")


def _pass_through(run: Run, node: PlanNode, inputs: dict[str, object]) -> None:
    if node.kind is NodeKind.BYPASSED:
        request = BypassRequest(
            run_id=run.run_id,
            node_id=node.id,
            definition=node.definition,
            inputs=inputs,
            input_types=node.input_types,
            output_types=node.output_types,
            multi_inputs=node.shape.multi,
        )
        run.outcomes.bypass(node, run.facilities.bypass(request, node))
        return
    _check_required(node, inputs)
    if run.sink.node_started is not None:
        run.sink.node_started(node)
    run.group_began[node.group] = perf_counter()
    run.outcomes.complete(node, inputs, 0.0)


async def _call(
    run: Run, node: PlanNode, inputs: dict[str, object], context: NodeContext
) -> Any:  # Any: what a pack's code returned, checked by the caller
    """Call what is not simply a coroutine function."""
    execute: Any = node.execute
    kind = node.call_kind
    if kind is CallKind.REFERENCE:
        execute, kind = await run.engine.resolve(node, run)
    if kind is CallKind.GENERATOR:
        return await _drain(run, node, execute(inputs, context))
    if kind is CallKind.COROUTINE:
        return await execute(inputs, context)
    # Not abandoned on cancellation: the slot stays taken until the thread has really ended.
    threads = run.engine.threads
    result: Any = await anyio.to_thread.run_sync(execute, inputs, context, limiter=threads)
    if inspect.isawaitable(result):
        result = await result
    return await _drain(run, node, result) if inspect.isasyncgen(result) else result  # type: ignore[arg-type]  # mypy takes it to never stop


async def _drain(
    run: Run, node: PlanNode, generator: AsyncGenerator[Any, None]
) -> Mapping[str, object]:
    """Run a streaming node to its end, handing out chunks; return its batch outputs."""
    writer = run.writers[node.index] = StreamWriter(run.network, node.index)
    readied = [i for s in _stream_slots(node) for i in run.outcomes.hand_on_stream(node, s, writer)]
    tell = run.sink.stream(node) if run.sink.stream is not None else None
    breath, put = run.breath, writer.put
    outputs: Mapping[str, object] | None = None
    try:
        await _let_begin(run, readied)
        following = generator.__anext__
        item = await following()
        while True:
            if type(item) is Chunk and outputs is None and item[0] != "error_chunk":
                full = put(item)
                if tell is not None:
                    tell(item)
                if full or perf_counter() > breath.deadline:
                    item = await _wait_a_turn(run, writer, generator, full=full)
                else:
                    item = await following()
            elif isinstance(item, str) and outputs is None:
                item = Chunk("text_chunk", item)
            elif isinstance(item, Chunk) and type(item) is not Chunk:
                item = Chunk(*item)  # a pack's own kind of chunk
            else:
                outputs = _final_outputs(node, item, outputs)
                item = await following()
    except StopAsyncIteration:
        writer.finish()
        return outputs or _NOTHING
    finally:
        await _close(run, node, generator)


async def _let_begin(run: Run, readers: list[int]) -> None:
    """Give the readers of a stream that can begin the turns that it takes."""
    for _ in range(2 * len(readers) + 2):
        if all(run.has_begun(reader) for reader in readers):
            return
        await run.breath.pause()


async def _wait_a_turn(
    run: Run, writer: StreamWriter, generator: AsyncGenerator[Any, None], *, full: bool
) -> Any:
    """Wait for room or for the loop to breathe; return the next item."""
    try:
        if full:
            await writer.make_room()
        else:
            await run.breath.pause()
    except get_cancelled_exc_class() as exc:
        if run.interrupted:
            raise
        # A cancel scope around the node's `yield` has run out: that is the node's to handle.
        return await generator.athrow(exc)
    return await generator.__anext__()


def _stream_slots(node: PlanNode) -> list[str]:
    slots = [name for name, slot in node.output_types.items() if slot.is_stream]
    return slots + [name for name in node.stream_out if name not in slots]


def _final_outputs(
    node: PlanNode, item: object, outputs: Mapping[str, object] | None
) -> Mapping[str, object]:
    if isinstance(item, Chunk) and item.type == "error_chunk":
        raise _Failure("error_chunk", str(item.content))
    if outputs is not None:
        raise _Failure("bad_stream", "it yielded something after its Outputs")
    if not isinstance(item, Outputs):
        kind = type(item).__name__
        reason = f"it yielded a {kind}; a streaming node yields Chunk, text, and last Outputs"
        raise _Failure("bad_stream", reason)
    return _checked(node, item)


async def _close(run: Run, node: PlanNode, generator: AsyncGenerator[Any, None]) -> None:
    """Close a generator so that what it awaits in `finally` still happens, up to a deadline."""
    try:
        with anyio.move_on_after(CLEANUP, shield=True):
            await generator.aclose()
    except (get_cancelled_exc_class(), KeyboardInterrupt):
        raise
    except BaseException as exc:
        run.note(node, f"raised while closing: {exc!r}")


def _checked(node: PlanNode, result: object) -> Mapping[str, object]:
    """Return a node's outputs.

    :raises _Failure: it is no mapping, or has keys and streams that are not declared
    """
    if not isinstance(result, Mapping):
        kind = type(result).__name__
        raise _Failure("bad_outputs", f"it returned a {kind}; a node returns a mapping of outputs")
    if node.dynamic:
        return result
    declared = node.output_types
    for slot, value in result.items():
        slot_type = declared.get(slot)
        if slot_type is None:
            hint = (
                did_you_mean(str(slot), declared) or f"; declared: {', '.join(declared) or 'none'}"
            )
            raise _Failure("undeclared_output", f"it returned an undeclared output {slot!r}{hint}")
        if slot_type.is_stream is not isinstance(value, StreamReader):
            what = "a stream" if slot_type.is_stream else "no stream"
            kind = type(value).__name__
            raise _Failure("bad_outputs", f"output {slot!r} is {what}, but it returned a {kind}")
    return result


async def _cancelled(run: Run, node: PlanNode, exc: BaseException) -> None:
    """Pass a cancellation on if it is ours; a node that cancels itself has failed."""
    if run.interrupted:
        raise exc
    await anyio.lowlevel.checkpoint_if_cancelled()
    _fail(run, node, _Failure("cancelled", "it was cancelled from inside"))


def _fail(run: Run, node: PlanNode, exc: BaseException) -> None:
    exc = _unwrapped(exc)
    reason = str(exc) or type(exc).__name__
    if isinstance(exc, SystemExit):
        reason = f"it called sys.exit({exc.code!r})"
    code = exc.code if isinstance(exc, _Failure | ComfyTavernError) else "node_failed"
    if isinstance(exc, StreamBrokenError):
        code = StreamBrokenError.code
    shown = "" if isinstance(exc, _Failure) else shown_traceback(exc)
    # What an error of a pack knows beyond its text: the channel, the model, the status ...
    known = getattr(exc, "details", None)
    details = dict(known) if isinstance(known, Mapping) else {}
    details |= {"traceback": shown} if shown else {}
    pack = node.pack
    if isinstance(exc, PackError):
        pack = exc.distribution
        details |= {"phase": exc.phase} if exc.phase else {}
    error = NodeFailedError(node.id, node.full_type, reason, pack=pack, code=code, details=details)
    error.__cause__ = exc
    writer = run.writers.get(node.index)
    partial = writer is not None and writer.begun
    if writer is not None:
        last = Chunk("error_chunk", reason)
        if run.sink.stream_broken is not None and not run.interrupted:
            run.sink.stream_broken(node, last)
        writer.finish(reason)
    run.outcomes.fail(node, error, partial=partial)


def _unwrapped(exc: BaseException) -> BaseException:
    while isinstance(exc, BaseExceptionGroup) and len(exc.exceptions) == 1:
        exc = exc.exceptions[0]
    return exc
