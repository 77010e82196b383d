"""``docs/hooks.md`` and the hooks agree: sections, signatures, a test each, examples that run."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import pluggy
import pytest

import comfytavern_llm_nodes
from comfytavern import PackHost, hookspecs
from comfytavern.hookspecs import EVENT_HOOKS
from comfytavern.packs import PackChoice, PackState
from comfytavern_llm_nodes import hookspecs as llm_hookspecs

from .test_hooks import NODES, pack, run_everything

CONTRACT = Path(__file__).resolve().parent
PAGE = CONTRACT.parent.parent / "docs" / "hooks.md"
SIGNATURE = re.compile(r"(?P<hook>\w+)\((?P<arguments>[^()]*)\)")
PARTS = ("**When:**", "**Return:**", "**What may go wrong:**")
LLM_PACK = "comfytavern-llm-nodes"


def specs_of(carrier: ModuleType) -> dict[str, Callable[..., object]]:
    """Return the hookspecs of a module in the order of its code."""
    plugins = pluggy.PluginManager("comfytavern")
    named = vars(carrier).items()
    return {name: value for name, value in named if plugins.parse_hookspec_opts(carrier, name)}


OWN, LLM = specs_of(hookspecs), specs_of(llm_hookspecs)
SPECS = OWN | LLM


@dataclass(frozen=True)
class Section:
    """A heading of the page, what stands under it, and the code blocks in that."""

    heading: str
    level: int
    line: int
    text: str
    examples: tuple[str, ...]

    @property
    def hook(self) -> str:
        """The hook whose signature the heading is, or nothing."""
        found = SIGNATURE.fullmatch(self.heading)
        return found["hook"] if found else ""


@cache
def sections() -> tuple[Section, ...]:
    """Read the page; what stands in a code block is no heading."""
    found: list[tuple[str, int, list[str], list[list[str]]]] = []
    fence = ""
    for number, line in enumerate(PAGE.read_text("utf-8").splitlines(), 1):
        if line.startswith("```"):
            fence = "" if fence else line.removeprefix("```") or "text"
            if fence == "python":
                found[-1][3].append([])
        elif fence == "python":
            found[-1][3][-1].append(line)
        elif not fence and line.startswith("#"):
            found.append((line, number, [], []))
        elif not fence and found:
            found[-1][2].append(line)
    assert not fence, "a code block has no end"
    return tuple(
        Section(
            heading=heading.lstrip("# "),
            level=len(heading) - len(heading.lstrip("#")),
            line=number,
            text="\n".join(text),
            examples=tuple("\n".join(lines) for lines in examples),
        )
        for heading, number, text, examples in found
    )


def section_of(hook: str) -> Section:
    """Return the one section of a hook."""
    found = [section for section in sections() if section.hook == hook]
    assert len(found) == 1, f"{PAGE.name} has {len(found)} sections for the hook {hook!r}"
    return found[0]


def test_the_sections_are_the_hooks() -> None:
    documented = [section.hook for section in sections() if section.hook]
    assert documented == list(SPECS)
    assert {section_of(hook).level for hook in OWN} == {2}


@pytest.mark.parametrize("hook", SPECS)
def test_a_heading_is_the_signature(hook: str) -> None:
    names = inspect.signature(SPECS[hook]).parameters
    assert section_of(hook).heading == f"{hook}({', '.join(names)})"


@pytest.mark.parametrize("hook", SPECS)
def test_a_section_says_when_what_and_what_may_go_wrong(hook: str) -> None:
    section = section_of(hook)
    places = [section.text.find(part) for part in PARTS]
    assert -1 not in places
    assert places == sorted(places)
    assert section.examples, "an example is missing"


def test_the_table_lists_every_hook() -> None:
    [table] = [section.text for section in sections() if section.heading == "All hooks"]
    assert re.findall(r"`(\w+)`", table) == list(OWN)


def test_links_lead_to_headings() -> None:
    anchors = {re.sub(r"[^\w -]", "", s.heading.lower()).replace(" ", "-") for s in sections()}
    links = re.findall(r"\]\(#([^)]*)\)", PAGE.read_text("utf-8"))
    assert links
    assert set(links) <= anchors


@pytest.mark.parametrize("hook", SPECS)
def test_a_hook_has_a_test(hook: str) -> None:
    tree = ast.parse((CONTRACT / "test_hooks.py").read_text("utf-8"))
    tests = {f.name for f in tree.body if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert f"test_hook_{hook}" in tests


def test_the_event_hooks_are_those_of_one_event() -> None:
    heard = [hook for hook, spec in OWN.items() if "pack" not in inspect.signature(spec).parameters]
    assert heard == ["bypass_outputs", *EVENT_HOOKS]


EXAMPLES = [
    pytest.param(section, example, id=f"{section.hook or 'line'}-{section.line}")
    for section in sections()
    for example in section.examples
]


@pytest.mark.parametrize(("section", "example"), EXAMPLES)
async def test_an_example_runs(
    section: Section, example: str, caplog: pytest.LogCaptureFixture
) -> None:
    module = ModuleType("example_pack")
    # The future imports of this module are not those of the example.
    exec(compile(example, str(PAGE), "exec", dont_inherit=True), vars(module))
    bird = {"channels": [{"label": "bird", "adapter": "parrot"}]}
    host = PackHost(PackChoice(settings={LLM_PACK: bird} if section.hook in LLM else {}), found=())
    if section.hook in LLM:
        host.packs.add(comfytavern_llm_nodes, distribution=LLM_PACK, finish=False)
    host.packs.add(module, distribution="example-pack", finish=False)
    host.packs.add(pack(register_nodes=lambda: NODES), distribution="test", finish=False)
    host.packs.finish()

    if section.hook:
        assert "example-pack" in {p.distribution for p in host.packs.listeners(section.hook)}
    if section.hook in LLM:
        assert host.packs.services["llm"].problems == {}  # type: ignore[attr-defined]  # of the llm pack
    async with host:
        await run_everything(host)
    record = host.packs.record("example-pack")
    assert (record.state, record.warnings) == (PackState.LOADED, ())
    assert "raised" not in caplog.text
