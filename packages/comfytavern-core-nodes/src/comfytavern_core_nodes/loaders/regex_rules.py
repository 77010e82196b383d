"""The code of RegexRuleLoader; imported when such a node first runs."""

from __future__ import annotations

from collections.abc import Mapping

from anyio import to_thread

from comfytavern.context import NodeContext
from comfytavern.types import describe_value

from ..regexes.rule_files import MAX_RULE_FILE, read_rule_file

__all__ = ("load_rules",)


async def load_rules(inputs: Mapping[str, object], context: NodeContext) -> dict[str, object]:
    """Read the rules of the file that the input or the configuration names.

    :raises ValueError: neither names one
    :raises RuleFileError: the file holds no rules; the text names the first bad one
    """
    name = _resource_name(inputs, context)
    data = await context.resources.read(name, limit=MAX_RULE_FILE)
    # YAML is read by pure Python; the event loop must not wait for it.
    rules = await to_thread.run_sync(read_rule_file, data, name)
    return {"regexRules": [rule.to_value() for rule in rules]}


def _resource_name(inputs: Mapping[str, object], context: NodeContext) -> str:
    name = inputs.get("ruleResource") or context.config.get("ruleResource")
    if not name:
        raise ValueError(
            "no file of regex rules is chosen; set 'ruleResource' in the configuration, or connect"
            " the input of that name"
        )
    if not isinstance(name, str):
        raise TypeError(
            f"'ruleResource' is {describe_value(name)}; expected the name of a resource"
        )
    return name
