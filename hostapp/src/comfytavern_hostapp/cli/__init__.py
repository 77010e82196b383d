"""The command line: one module per group of verbs.

Results go to stdout, everything else to stderr. With ``--json`` stdout holds exactly one
JSON document, also when the command fails: ``{"error": {code, message, details}}``.

Exit codes, which stay as they are:

| code | meaning |
|---|---|
| 0 | done |
| 1 | the run ended in an error, or the system refused something |
| 2 | bad input: arguments, configuration, workflow, an unknown name; nothing was executed |
| 3 | a pack failed: with ``--strict`` while loading, or a pack's own verb cannot be had |
| 70 | a fault of this program; ``--debug`` shows where |
| 130 | interrupted (Ctrl-C); 143 on SIGTERM |
| 141 | whoever read the output is gone |

Modules here import click and what is as light; the rest is imported inside the verbs, so
that help needs neither pydantic nor rich, let alone the web or a pack.
"""

from __future__ import annotations

from .group import cli

__all__ = ("cli",)
