"""``comfytavern demo``: the example chat, offline and without a key."""

from __future__ import annotations

import click

from .failures import OK
from .session import Session, pass_session

__all__ = ("demo",)

_LLM_NODES = "comfytavern-llm-nodes"
# Seconds between two words, so that a person sees them arrive.
_PACE = 0.03


@click.command()
@click.option("-m", "--message", metavar="TEXT", help="What to say to the character.")
@click.option("--name", metavar="TEXT", help="Who you are.")
@pass_session
def demo(session: Session, message: str | None, name: str | None) -> int:
    """Run the example chat: offline, without a key, leaving no file behind.

    Your configuration is not read: neither your channels nor your other packs are used.
    """
    # The engine: not for help.
    from ..config import Config, Packs
    from ..library.example_files import CHAT, example_folder
    from .run import prepare, run_prepared

    console = session.console
    workflow = example_folder() / CHAT
    channel = {"label": "echo", "adapter": "echo"}
    paced = {"options": {"delay": _PACE}} if console.is_terminal else {}
    session.use(Config(packs=Packs(settings={_LLM_NODES: {"channels": [channel | paced]}})))
    console.say(
        f"Running {workflow}\n"
        "Hesper, the example character, answers through the echo model: it works offline, needs\n"
        "no key, and only repeats what it is told.\n",
        "dim",
    )
    given = {"message": message, "name": name}
    inputs = [f"{key}={_literal(text)}" for key, text in given.items() if text is not None]
    code = run_prepared(session, prepare(session, str(workflow), inputs), quiet=True)
    if code == OK:
        console.say(
            "\nNext:\n"
            f'  comfytavern run "{workflow}" -i message="Who are you?"\n'
            "  comfytavern nodes list\n"
            "  comfytavern config show",
            "dim",
        )
    return code


def _literal(text: str) -> str:
    return f"@{text}" if text.startswith("@") else text
