"""The worker process: what it costs to stop it, and that nobody else pays."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from comfytavern_core_nodes.regexes import Budget, Job, RegexWorker, Step, StepError
from comfytavern_core_nodes.regexes import process as processes
from comfytavern_core_nodes.regexes import worker as workers
from comfytavern_core_nodes.regexes.frames import packed, read_frame
from comfytavern_core_nodes.regexes.limits import MAX_GROUP_DEPTH
from comfytavern_core_nodes.regexes.process import WorkerProcess

PATIENCE = 15  # seconds; a machine that runs other suites may need several to start a process
QUICK = 0.3

CATASTROPHE = Step("(?:a|aa)+$", "", "X")
# Takes seconds to compile, and nothing inside the worker watches the clock meanwhile.
SLOW_TO_COMPILE = Step(r"\b" * 10_000, "iu", "X")
LONG = "a" * 80 + "b"
FINE = Step("a(.)", "g", "<$1>")
IDLE = Step("x.", "", "")


@pytest.fixture
async def worker() -> AsyncIterator[RegexWorker]:
    async with RegexWorker(rule_seconds=QUICK, node_seconds=10 * QUICK) as made:
        yield made


async def text_after(worker: RegexWorker, text: str, *steps: Step) -> str:
    return "".join((await worker.replace([Job(text, steps)]))[0])


async def test_replaces_in_turn_and_keeps_the_order_of_the_jobs(worker: RegexWorker) -> None:
    plain = Step("b", "g", "c")
    jobs = [Job("abab", (FINE,)), Job("bb", (plain,)), Job("ab", (plain, FINE)), Job("", (FINE,))]
    with anyio.fail_after(PATIENCE):
        pieces = await worker.replace(jobs)
    assert ["".join(cut) for cut in pieces] == ["<b><b>", "cc", "<c>", ""]


async def test_script_gives_its_replacements_apart(worker: RegexWorker) -> None:
    step = Step("b(.)", "g", "[$1{{user}}]", "script", ("x",))
    with anyio.fail_after(PATIENCE):
        pieces = await worker.replace([Job("abxbc", (step,))])
    assert pieces == [["a", "[{{user}}]", "", "[c{{user}}]", ""]]


async def test_plain_words_start_no_process(
    worker: RegexWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(WorkerProcess, "talk")
    assert await text_after(worker, "banana", Step("an", "g", "X")) == "bXXa"
    found = await worker.match_many([("an", "g"), ("x", "")], ["banana", ""])
    assert found.positions == [[1, None], [None, None]]
    assert await worker.replace([]) == []
    assert (await worker.match_many([], ["a"])).positions == []


@pytest.mark.parametrize("step", [CATASTROPHE, SLOW_TO_COMPILE], ids=["search", "compile"])
async def test_rule_that_takes_too_long_is_named_and_the_loop_stays_live(
    worker: RegexWorker, step: Step
) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await checkpoint()

    with anyio.fail_after(PATIENCE):
        await text_after(worker, "ab", FINE)
        async with anyio.create_task_group() as group:
            group.start_soon(count)
            with pytest.raises(StepError) as caught:
                await worker.replace([Job("ab", (FINE,)), Job(LONG, (IDLE, step))])
            group.cancel_scope.cancel()
        assert (caught.value.job, caught.value.step) == (1, 1)
        assert caught.value.problem.code == "timeout"
        assert turns > 100
        assert await text_after(worker, "ab", FINE) == "<b>"


async def test_rules_of_a_node_share_its_time(worker: RegexWorker) -> None:
    budget = Budget(2.5 * QUICK)
    steps = [Step(f"{CATASTROPHE.pattern}{n}", "", "") for n in range(9)]
    with anyio.fail_after(PATIENCE):
        found = await worker.match_many([(step.pattern, "") for step in steps], [LONG], budget)
        assert {problem.code for problem in found.problems.values()} == {"timeout"}
        assert sorted(found.problems) == list(range(9))
        assert budget.seconds <= 0
        with pytest.raises(StepError, match=r".") as caught:
            await worker.replace([Job("ab", (FINE,))], budget)
    assert str(caught.value.problem) == (
        "the time that all rules of a node have together is used up"
    )


async def test_node_ends_in_time_whatever_its_single_rules_do() -> None:
    async with RegexWorker(rule_seconds=PATIENCE, node_seconds=QUICK) as worker:
        with anyio.fail_after(PATIENCE), pytest.raises(StepError) as caught:
            await text_after(worker, LONG, CATASTROPHE)
    assert caught.value.problem.code == "timeout"


async def test_keys_that_are_wrong_or_slow_match_nothing(worker: RegexWorker) -> None:
    patterns = [
        ("A", "i"),
        (CATASTROPHE.pattern, ""),
        ("(", ""),
        ("b$", ""),
        ("^b", "y"),
        ("b", ""),
    ]
    with anyio.fail_after(PATIENCE):
        found = await worker.match_many(patterns, [LONG, "xAb"])
    assert found.positions == [[0, 1], [None] * 2, [None] * 2, [80, 2], [None] * 2, [80, 2]]
    assert {n: problem.code for n, problem in found.problems.items()} == {
        1: "timeout",
        2: "bad_pattern",
    }


async def test_cancelled_call_leaves_nothing_behind(worker: RegexWorker) -> None:
    with anyio.fail_after(PATIENCE):
        await text_after(worker, "ab", FINE)
        with anyio.move_on_after(0.05) as scope:
            await text_after(worker, LONG, CATASTROPHE)
        assert scope.cancelled_caught
        assert await text_after(worker, "ab", FINE) == "<b>"


async def test_callers_wait_for_each_other(worker: RegexWorker) -> None:
    results: list[str] = []

    async def call(text: str) -> None:
        results.append(await text_after(worker, text, FINE))

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            for letter in "bcdef":
                group.start_soon(call, f"a{letter}")
    assert sorted(results) == ["<b>", "<c>", "<d>", "<e>", "<f>"]


async def test_groups_as_deep_as_allowed_compile_in_the_worker(worker: RegexWorker) -> None:
    step = Step("(?:" * MAX_GROUP_DEPTH + "a" + ")?" * MAX_GROUP_DEPTH, "", "X")
    with anyio.fail_after(PATIENCE):
        assert await text_after(worker, "ab", step) == "Xb"


async def test_process_that_cannot_start(
    worker: RegexWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(processes, "_BOOT", "raise SystemExit(3)")
        with anyio.fail_after(PATIENCE), pytest.raises(StepError) as caught:
            await text_after(worker, "ab", FINE)
        assert str(caught.value.problem) == "the process for expressions cannot be started"
        patched.setattr(sys, "executable", "/nowhere/python")
        with anyio.fail_after(PATIENCE):
            found = await worker.match_many([("a.", ""), ("b.", "")], ["ab"])
        assert {problem.code for problem in found.problems.values()} == {"worker_failed"}
    with anyio.fail_after(PATIENCE):
        assert await text_after(worker, "ab", FINE) == "<b>"


async def test_closed_worker_starts_again_if_it_must(worker: RegexWorker) -> None:
    with anyio.fail_after(PATIENCE):
        await worker.close()
        assert await text_after(worker, "ab", FINE) == "<b>"
        await worker.close()
        await worker.close()
        assert await text_after(worker, "ab", FINE) == "<b>"


def request(*steps: Step, text: str = "ab") -> dict[str, object]:
    return {"do": "replace", "jobs": [(text, steps)], "seconds": 5}


def test_nothing_is_imported_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "regex", "comfytavern_core_nodes"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(1)", "utf-8")
    monkeypatch.chdir(tmp_path)
    process = WorkerProcess()
    heard: list[object] = []

    def hear(frame: object) -> bool:
        heard.append(frame)
        return len(heard) == 2

    assert process.talk(request(FINE), hear)
    process.close()
    assert heard == [["step", 0, 0], ["done", 0, ["<b>"]]]


def test_process_that_is_killed_ends_its_conversation() -> None:
    process = WorkerProcess()

    def hear(frame: object) -> bool:
        process.kill()
        return False

    assert process.talk(request(CATASTROPHE, text=LONG), hear) is False
    assert process.ended
    process.close()


def test_process_that_is_killed_before_it_starts() -> None:
    process = WorkerProcess()
    process.kill()
    assert process.talk(request(FINE), lambda frame: False) is False


def test_module_is_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", workers.__name__],
        input=packed(request(FINE)),
        capture_output=True,
        check=True,
        timeout=PATIENCE,
    )
    answers = BytesIO(done.stdout)
    assert [read_frame(answers), read_frame(answers)] == [["step", 0, 0], ["done", 0, ["<b>"]]]


def test_budget_is_that_of_a_node() -> None:
    assert RegexWorker().budget() == Budget(5.0)
