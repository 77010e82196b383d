"""``packs bisect``: from a command that fails to the pack that makes it fail."""

from __future__ import annotations

import json
import re
import sys
from itertools import combinations
from pathlib import Path

import pytest

from comfytavern_hostapp.pack_checks.bisecting import find_culprits, in_order, with_required
from comfytavern_hostapp.pack_checks.environment import read_environment

from .test_cli_support import CommandLine
from .wheels_on_disk import CORE, FakeWheel

LOAD = ("--", sys.executable, "-m", "comfytavern_hostapp", "packs", "list", "--load")
# Fails with a file that says which packs must be enabled for that.
FAILS = """
import os, sys
enabled = set(os.environ["COMFYTAVERN_PACKS"].split(","))
sys.exit(3 if set(sys.argv[1].split(",")) <= enabled else 0)
"""


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch)


@pytest.fixture
def several(command: CommandLine) -> CommandLine:
    """Install six packs, one of which requires another."""
    for name in "abcdef":
        requires = [CORE, "pack-b"] if name == "a" else [CORE]
        FakeWheel(f"pack-{name}", requires=requires).install(command.site)
    command.write("fails.py", FAILS)
    return command


def fails_with(*names: str) -> tuple[str, ...]:
    return ("--", sys.executable, "fails.py", ",".join(f"pack-{name}" for name in names))


class TestSearch:
    """The search itself."""

    @pytest.mark.parametrize("count", [1, 2, 3, 8, 13])
    @pytest.mark.parametrize("size", [1, 2, 3])
    def test_every_set_of_culprits_is_found(self, count: int, size: int) -> None:
        packs = [f"p{number:02}" for number in range(count)]
        for guilty in combinations(packs, min(size, count)):
            tries: list[frozenset[str]] = []

            def fails(
                enabled: frozenset[str],
                guilty: tuple[str, ...] = guilty,
                tries: list[frozenset[str]] = tries,
            ) -> bool:
                tries.append(enabled)
                return set(guilty) <= enabled

            assert find_culprits(packs, fails) == guilty
            assert len(tries) <= (count.bit_length() + 1) * size

    def test_what_is_required_comes_along_and_first(self, several: CommandLine) -> None:
        environment = read_environment([several.site])
        names = [f"pack-{name}" for name in "abcdef"]
        assert with_required(environment, ["pack-a"]) & set(names) == {"pack-a", "pack-b"}
        ordered = in_order(environment, names)
        assert ordered == ["pack-b", "pack-c", "pack-d", "pack-e", "pack-f", "pack-a"]


class TestCommand:
    """``comfytavern packs bisect``."""

    @pytest.mark.timeout(60)
    def test_a_pack_that_ends_the_process_is_found_and_removed(self, command: CommandLine) -> None:
        for name in ("a-pack", "c-pack"):
            FakeWheel(name).install(command.site)
        FakeWheel("deadly-pack", {"deadly_pack.py": "import os; os._exit(9)"}).install(command.site)
        assert command.run("packs", "list", "--load").returncode == 9  # leaves its marker
        before = sorted(path.name for path in command.folder.iterdir())
        found = command.run("packs", "bisect", *LOAD)
        assert found.stdout == (
            "'deadly-pack' 1.0 makes it fail (5 tries); comfytavern packs disable deadly-pack\n"
        ), found.stderr
        assert found.returncode == 0
        assert found.stderr.splitlines()[:2] == [
            "try 1: it ends with code 9 with a-pack, c-pack, deadly-pack",
            "try 2: it ends with code 0 with none of the packs",
        ]
        assert sorted(path.name for path in command.folder.iterdir()) == before
        assert command.run("packs", "disable", "deadly-pack").returncode == 0
        assert command.run("packs", "list", "--load").returncode == 0

    def test_several_that_fail_only_together(self, several: CommandLine) -> None:
        result = several.run("packs", "bisect", "--json", *fails_with("c", "f"))
        document = json.loads(result.stdout)
        assert [pack["name"] for pack in document["packs"]] == ["pack-c", "pack-f"]
        assert document["remedy"] == "comfytavern packs disable pack-f"
        assert document["tries"] < 10
        told = several.run("packs", "bisect", *fails_with("c", "f")).stdout
        assert told.startswith("'pack-c' 1.0 and 'pack-f' 1.0 make it fail together (")

    def test_what_the_command_needs_is_kept(self, several: CommandLine) -> None:
        needs = "import os, sys\nsys.exit('pack-b' not in os.environ['COMFYTAVERN_PACKS']"
        several.write("fails.py", f"{needs} or 'pack-d' in os.environ['COMFYTAVERN_PACKS'])\n")
        alone = several.run("packs", "bisect", "--", sys.executable, "fails.py")
        assert (alone.returncode, alone.stdout) == (2, "")
        assert alone.stderr.endswith(
            "error: it fails without these packs, too; name with --keep those that it cannot do"
            " without: pack-b, pack-c, pack-d, pack-e, pack-f, pack-a\n"
        )
        # What a kept pack requires is kept as well.
        kept = several.run("packs", "bisect", "--keep", "Pack.A", "--", sys.executable, "fails.py")
        assert kept.stdout.startswith("'pack-d' 1.0 makes it fail (")

    def test_one_that_never_ends_has_failed(self, several: CommandLine) -> None:
        text = FAILS.replace("sys.exit(3 if", "import threading\nthreading.Event().wait(30 if")
        several.write("fails.py", text.replace(" else 0)", " else 0.001)"))
        result = several.run("packs", "bisect", "--timeout", "1", *fails_with("e"))
        assert result.stdout.startswith("'pack-e' 1.0 makes it fail (")
        assert "it does not end within 1 s with " in result.stderr

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (
                fails_with("x"),
                "it does not fail with all 6 packs enabled, so none is to blame",
            ),
            (
                ("--", "no-such-program"),
                "the command 'no-such-program' cannot be started: no such file or directory",
            ),
            (
                ("--keep", "pack-x", "--", "true"),
                "no installed pack is named 'pack-x'; did you mean 'pack-f'?",
            ),
        ],
    )
    def test_nothing_to_find(
        self, several: CommandLine, arguments: tuple[str, ...], message: str
    ) -> None:
        result = several.run("packs", "bisect", *arguments)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.splitlines()[-1] == f"error: {message}"

    def test_no_pack_that_could_be_left_out(self, command: CommandLine) -> None:
        result = command("packs", "bisect", "--", "true")
        assert (result.exit_code, result.stderr) == (
            2,
            "error: no pack is enabled that could be left out\n",
        )

    def test_what_it_writes_is_shown_if_wanted(self, several: CommandLine) -> None:
        several.write("fails.py", f"print('so it began')\n{FAILS}")
        assert "so it began" not in several.run("packs", "bisect", *fails_with("c")).stderr
        verbose = several.run("packs", "bisect", "-v", *fails_with("c"))
        assert "so it began" in verbose.stderr
        assert verbose.stdout.startswith("'pack-c' 1.0 makes it fail (")

    def test_without_a_command_you_are_asked(self, several: CommandLine) -> None:
        several.write("comfytavern.yaml", "packs: {enabled: [pack-c, pack-d]}\n")
        result = several.run("packs", "bisect", stdin="y\nn\nn\ny\n")
        assert result.returncode == 0
        assert result.stdout == (
            "'pack-d' 1.0 makes it fail (4 tries); comfytavern packs disable pack-d\n"
        )
        asked = re.findall(r"try it with: COMFYTAVERN_PACKS=(.*)", result.stderr)
        assert asked == ["pack-c,pack-d", "''", "pack-c", "pack-d"]
        assert several.run("packs", "bisect", stdin="y\n").returncode == 130  # nobody answers
