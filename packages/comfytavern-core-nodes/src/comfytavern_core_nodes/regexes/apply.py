"""Rules on texts: which of them count, in which order, and which one is to blame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from comfytavern.errors import ComfyTavernError

from .errors import RegexError
from .rules import RegexRule, Rule
from .scripts import Macros, RegexScript
from .service import Budget, RegexWorker
from .steps import Job, Step, StepError

__all__ = (
    "Passage",
    "RuleError",
    "apply_rules",
    "apply_scripts",
    "apply_to_all",
    "rules_that_count",
)


class RuleError(ComfyTavernError):
    """A rule cannot be applied; no text is half changed."""

    code = "regex_rule_failed"

    def __init__(self, rule: str, problem: RegexError) -> None:
        self.rule = rule
        self.problem = problem
        super().__init__(f"regex rule {rule!r} failed ({problem.code}): {problem}")

    @property
    def details(self) -> dict[str, object]:
        """What a front end may want to show by itself."""
        return {
            "rule": self.rule,
            "problem": self.problem.code,
            "position": self.problem.position,
        }


@dataclass(frozen=True, slots=True)
class Passage:
    """A text and what scripts ask of it.

    ``placement`` is None where it does not matter, ``depth`` where the text is no message.
    """

    text: str
    placement: int | None = None
    depth: int | None = None


def rules_that_count(*lists: Iterable[Rule]) -> list[Rule]:
    """Return the rules of several lists; of a name the first one counts, even if it is disabled.

    Scripts of one list may share a name, as they may in SillyTavern.
    """
    taken: set[str] = set()
    counting: list[Rule] = []
    for rules in lists:
        before = frozenset(taken)
        for rule in rules:
            if rule.name not in (before if isinstance(rule, RegexScript) else taken):
                counting.append(rule)
            taken.add(rule.name)
    return counting


async def apply_rules(
    text: str, rules: Sequence[Rule], worker: RegexWorker, budget: Budget | None = None
) -> str:
    """Apply rules to one text, in turn; scripts among them apply whatever their placement.

    :raises RuleError: one of them cannot be applied
    """
    return (await apply_to_all([Passage(text)], rules, worker, budget=budget))[0]


async def apply_scripts(
    text: str,
    scripts: Sequence[RegexScript],
    placement: int | None,
    depth: int | None,
    macros: Macros,
    worker: RegexWorker,
) -> str:
    """Apply to one text the scripts that are for it.

    :raises RuleError: one of them cannot be applied
    """
    passage = Passage(text, placement, depth)
    return (await apply_to_all([passage], scripts, worker, macros=macros))[0]


async def apply_to_all(
    passages: Sequence[Passage],
    rules: Sequence[Rule],
    worker: RegexWorker,
    *,
    macros: Macros = str,
    prompt: bool = True,
    markdown: bool = False,
    budget: Budget | None = None,
) -> list[str]:
    """Apply rules to many texts: for every rule one question to the worker, not one per text.

    :param macros: replaces macros, in what scripts search for, cut out and put in
    :param prompt: the texts go to a model
    :param markdown: the texts are only shown
    :param budget: shared by several calls of a node
    :raises RuleError: one of the rules cannot be applied to one of the texts
    """
    budget = budget or worker.budget()
    texts = [passage.text for passage in passages]
    for stage in _stages(rules):
        first = stage[0]
        meant = list(range(len(texts)))
        if isinstance(first, RegexScript):
            meant = [
                number
                for number, passage in enumerate(passages)
                if texts[number]
                and first.applies(
                    passage.placement, passage.depth, prompt=prompt, markdown=markdown
                )
            ]
        steps = _steps(stage, macros) if meant else ()
        if not steps:
            continue
        try:
            pieces = await worker.replace([Job(texts[n], steps) for n in meant], budget)
        except StepError as exc:
            raise RuleError(stage[exc.step].name, exc.problem) from exc.problem
        for number, cut in zip(meant, pieces, strict=True):
            if isinstance(first, RegexScript):
                cut[1::2] = map(macros, cut[1::2])
            texts[number] = "".join(cut)
    return texts


def _steps(stage: Iterable[Rule], macros: Macros) -> tuple[Step, ...]:
    steps = [rule.step() if isinstance(rule, RegexRule) else rule.step(macros) for rule in stage]
    return tuple(step for step in steps if step is not None)


def _stages(rules: Iterable[Rule]) -> Iterator[list[Rule]]:
    """Split enabled rules into runs of plain ones and single scripts.

    What a script puts in may hold macros, which are replaced before the next rule sees them.
    """
    enabled = (rule for rule in rules if rule.enabled)
    for plain, run in groupby(enabled, key=lambda rule: isinstance(rule, RegexRule)):
        if plain:
            yield list(run)
        else:
            yield from ([script] for script in run)
