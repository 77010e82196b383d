"""Regex rules with JavaScript's meaning: read, translated, and applied within limits.

Importing this loads neither the engine nor YAML: expressions are compiled in the worker process.
What searches where it is called, without a hard limit, is in ``replace``; files: ``rule_files``.
"""

from __future__ import annotations

from .apply import Passage, RuleError, apply_rules, apply_scripts, apply_to_all, rules_that_count
from .errors import REGEX_ERROR_CODES, RegexError, RegexErrorCode
from .rules import RegexRule, Rule, is_script, read_rule
from .scripts import Macros, Placement, RegexScript, script_regex
from .service import Budget, Matches, RegexWorker
from .steps import Job, Step, StepError

__all__ = (
    "REGEX_ERROR_CODES",
    "Budget",
    "Job",
    "Macros",
    "Matches",
    "Passage",
    "Placement",
    "RegexError",
    "RegexErrorCode",
    "RegexRule",
    "RegexScript",
    "RegexWorker",
    "Rule",
    "RuleError",
    "Step",
    "StepError",
    "apply_rules",
    "apply_scripts",
    "apply_to_all",
    "is_script",
    "read_rule",
    "rules_that_count",
    "script_regex",
)
