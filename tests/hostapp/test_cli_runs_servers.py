"""Which server ``runs`` asks, who is shown the token, and what is said when it goes wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from comfytavern_hostapp.store.lock import DataDirectoryLock

from .impostor import Asked, Impostor, impostor
from .live_server import Live, serving
from .runs_commands import REPEAT, ask, rows
from .test_cli_support import CommandLine

TOKEN = "sesame-0123456789-abcdef"
NEEDED = (
    "error: the server at {!r} needs a token; set server.token to env:COMFYTAVERN_TOKEN or"
    " file:PATH in the configuration\n"
)
REFUSAL = json.dumps({"error": {"code": "token_required", "message": "no", "details": []}})


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch)


@pytest.fixture
def stranger() -> Iterator[Impostor]:
    with impostor() as told:
        yield told


def listed(stranger: Impostor) -> None:
    """Let it answer as a host without runs."""
    stranger.body = b'{"runs": [], "total": 0, "fromALaterRelease": 1}'


# --- which server ---------------------------------------------------------------------------


async def test_a_server_is_named_by_flag_or_variable(
    command: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path / "elsewhere") as live:
        run_id = await live.submit(REPEAT)
        await live.ended(run_id)
        assert rows(await ask(command, "list")) == []
        assert rows(await ask(command, "list", "--server", f"{live.url}/"))[0][0] == run_id
        monkeypatch.setenv("COMFYTAVERN_SERVER", live.url)
        assert rows(await ask(command, "list"))[0][0] == run_id
        monkeypatch.setenv("COMFYTAVERN_SERVER", "")
        assert rows(await ask(command, "list")) == []


async def test_a_host_behind_a_proxy_is_asked_directly(
    command: CommandLine, tmp_path: Path
) -> None:
    async with serving(tmp_path / "data", server={"root_path": "/tavern"}) as live:
        run_id = await live.submit(REPEAT)
        await live.ended(run_id)
        assert rows(await ask(command, "list"))[0][0] == run_id


def test_a_prefix_of_the_named_server_is_kept(command: CommandLine, stranger: Impostor) -> None:
    listed(stranger)
    where = f"http://127.0.0.1:{stranger.port}/tavern"
    assert command("runs", "list", "--server", where).exit_code == 0
    assert stranger.asked[0].path.startswith("/tavern/api/history?")


def test_what_a_dead_host_wrote_down_is_not_believed(
    command: CommandLine, stranger: Impostor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Another program may listen there by now, and would be sent the token.
    monkeypatch.setenv("COMFYTAVERN_SERVER_TOKEN", TOKEN)
    lock = DataDirectoryLock(command.data_dir)
    lock.acquire()
    lock.announce(f"http://127.0.0.1:{stranger.port}")
    text = (command.data_dir / "host.json").read_text()
    lock.release()
    (command.data_dir / "host.json").write_text(text)
    result = command("runs", "list")
    assert (result.exit_code, stranger.asked) == (0, [])


@pytest.mark.parametrize(
    "url", ["nope", "ftp://127.0.0.1", "http://me:secret@127.0.0.1", "http://127.0.0.1/?a=b"]
)
def test_what_is_no_url_is_refused(command: CommandLine, url: str) -> None:
    result = command("runs", "list", "--server", url)
    assert (result.exit_code, result.stderr) == (
        2,
        "error: --server is no URL of a server; expected one such as http://127.0.0.1:8321\n",
    )


# --- the token ------------------------------------------------------------------------------


async def test_the_token_opens_the_server(
    command: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path / "data", token=TOKEN) as live:
        live.http.headers["Authorization"] = f"Bearer {TOKEN}"
        run_id = await live.submit(REPEAT)
        await live.ended(run_id)
        for args in (("list",), ("tail", run_id), ("tail",), ("cancel", run_id)):
            result = await ask(command, *args)
            assert (result.exit_code, result.stdout) == (1, "")
            assert result.stderr.endswith(NEEDED.format(live.url))
        monkeypatch.setenv("COMFYTAVERN_SERVER_TOKEN", "wrong")
        result = await ask(command, "list", "--json")
        assert json.loads(result.stdout)["error"] == {
            "code": "token_required",
            "message": f"the server at {live.url!r} does not take the token of"
            " 'env:COMFYTAVERN_SERVER_TOKEN'; set server.token to a reference to its own",
            "details": [],
        }
        monkeypatch.setenv("COMFYTAVERN_SERVER_TOKEN", TOKEN)
        assert rows(await ask(command, "list"))[0][0] == run_id
        assert (await ask(command, "tail", run_id)).stdout == "haha\n"


def test_a_reference_that_leads_nowhere_is_told(
    command: CommandLine, stranger: Impostor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFYTAVERN_SERVER_TOKEN", "env:NO_SUCH")
    url = f"http://127.0.0.1:{stranger.port}"
    result = command("runs", "list", "--server", url)
    assert (result.exit_code, stranger.asked) == (2, [])
    assert result.stderr == (
        "error: environment COMFYTAVERN_SERVER_TOKEN: key 'server.token': secret reference"
        " 'env:NO_SUCH' cannot be resolved: the variable is not set\n"
    )
    assert command("runs", "list").exit_code == 0  # nobody is there to be shown it


def test_a_file_does_not_decide_who_sees_the_token(
    command: CommandLine, stranger: Impostor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFYTAVERN_SERVER_TOKEN", TOKEN)
    stranger.status, stranger.body = 401, REFUSAL.encode()
    # The same machine, in a spelling that might be another.
    url = f"http://127.1:{stranger.port}"
    lock = DataDirectoryLock(command.data_dir)
    lock.acquire()
    try:
        lock.announce(url)
        result = command("runs", "list")
        assert [asked.authorization for asked in stranger.asked] == [None]
        assert result.exit_code == 1
        assert result.stderr == (
            f"error: the server at {url!r} needs a token, and is not on this machine; name it with"
            " --server\n"
        )
        command("runs", "list", "--server", url)
        assert stranger.asked[-1].authorization == f"Bearer {TOKEN}"
    finally:
        lock.release()


def test_no_redirect_takes_the_token_along(
    command: CommandLine, stranger: Impostor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFYTAVERN_SERVER_TOKEN", TOKEN)
    with impostor() as other:
        url = f"http://127.0.0.1:{stranger.port}"
        stranger.status = 307
        stranger.headers = {"Location": f"http://127.0.0.1:{other.port}/", "Content-Type": "a/b"}
        result = command("runs", "list", "--server", url)
        assert other.asked == []
    assert result.stderr == (
        f"error: the server at {url!r} is no ComfyTavern host (it answers 307, a/b); name another"
        " with --server\n"
    )
    assert stranger.asked == [Asked(stranger.asked[0].path, f"Bearer {TOKEN}")]


# --- what goes wrong ------------------------------------------------------------------------


def test_nobody_is_there(command: CommandLine) -> None:
    with impostor() as gone:
        url = f"http://127.0.0.1:{gone.port}"
    for verb in ("list", "tail"):
        result = command("runs", verb, "--server", url, "--json")
        assert result.exit_code == 1
        message = (
            f"the server at {url!r} cannot be reached: connection refused; start it with"
            " 'comfytavern serve', or name another with --server"
        )
        error = {"code": "server_unreachable", "message": message, "details": []}
        assert json.loads(result.stdout) == {"error": error}


@pytest.mark.parametrize(
    ("status", "media_type", "body", "seen"),
    [
        (200, "text/html", b"<h1>Welcome to nginx!</h1>", "it answers 200, text/html"),
        (404, "text/html", b"<h1>Not found</h1>", "it answers 404, text/html"),
        (404, "application/json", b'{"detail": "Not Found"}', "it answers 404, application/json"),
        (200, "application/json", b"[1, 2]", "it answers 200, application/json"),
        (200, "application/json", b'{"runs": [1], "total": 1}', "an answer of another shape"),
        (200, "application/json", b'{"runs": [{}], "total": 1}', "an answer of another shape"),
    ],
)
def test_somebody_else_is_there(
    command: CommandLine,
    stranger: Impostor,
    status: int,
    media_type: str,
    body: bytes,
    seen: str,
) -> None:
    stranger.status, stranger.body = status, body
    stranger.headers = {"Content-Type": media_type}
    url = f"http://127.0.0.1:{stranger.port}"
    result = command("runs", "list", "--server", url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"error: the server at {url!r} is no ComfyTavern host ({seen}); name another with"
        " --server\n"
    )


def test_what_a_server_says_is_passed_on(command: CommandLine, stranger: Impostor) -> None:
    stranger.status = 421
    stranger.body = json.dumps({"error": {"code": "host_refused", "message": "not me"}}).encode()
    url = f"http://127.0.0.1:{stranger.port}"
    result = command("runs", "list", "--server", url)
    assert (result.exit_code, result.stderr) == (
        1,
        f"error: the server at {url!r} refuses: not me\n",
    )


def test_a_later_release_may_tell_more(command: CommandLine, stranger: Impostor) -> None:
    listed(stranger)
    url = f"http://127.0.0.1:{stranger.port}"
    assert command("runs", "list", "--server", url, "--json").stdout == "[]\n"


def test_a_certificate_nobody_vouches_for(
    command: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with impostor(tmp_path) as stranger:
        listed(stranger)
        url = f"https://127.0.0.1:{stranger.port}"
        result = command("runs", "list", "--server", url)
        assert (result.exit_code, stranger.asked) == (1, [])
        assert result.stderr == (
            f"error: the server at {url!r} cannot be reached: its certificate is not trusted"
            " (self-signed certificate); name the file of its authority in the variable"
            " SSL_CERT_FILE\n"
        )
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        assert command("runs", "list", "--server", url).exit_code == 0


def test_tls_where_there_is_none(command: CommandLine, stranger: Impostor) -> None:
    url = f"https://127.0.0.1:{stranger.port}"
    result = command("runs", "list", "--server", url)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: the server at {url!r} cannot be reached: TLS fails (")
    assert result.stderr.endswith("); a plain one is at http://\n")


def test_a_name_without_an_address(command: CommandLine) -> None:
    result = command("runs", "list", "--server", "http://tavern.invalid")
    start = (
        "error: the server at 'http://tavern.invalid' cannot be reached: its name has no address"
    )
    assert result.exit_code == 1
    assert result.stderr.startswith(start)


async def test_a_run_that_is_gone_is_no_fault(command: CommandLine, live: Live) -> None:
    run_id = await live.submit(REPEAT)
    await live.ended(run_id)
    await live.http.delete(f"/api/history/{run_id}")
    result = await ask(command, "tail", run_id)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: no run has an id that begins with {run_id!r}")
