"""What a hostile workflow, card or service does to a server that runs it, and what leaks.

One class per row of the checklist; ``docs/security.md`` says what closes each.
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
from base64 import urlsafe_b64encode
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint
from websockets.sync.client import connect

from ..hostapp.test_cli_support import CommandLine, node, workflow
from ..hostapp.test_serve import served
from ..hostapp.whole_app import WholeApp, whole_app
from ..scenarios.building import flow, place
from .security_routes import READING, TOKEN, Json, over_http, path_of
from .test_llm_secrets import OPERATOR, SENTINEL, VALUES, Provider, asking, provider, typed

__all__ = ("provider",)  # a fixture

BUILT_IN = ("comfytavern-core-nodes", "comfytavern-llm-nodes")
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def tells_a_secret(*texts: str) -> bool:
    """Tell whether any of these holds a secret of the operator."""
    return SENTINEL in "".join(texts)


async def ran(app: WholeApp, document: object) -> Json:
    """Run a workflow to its end and return how it stands, with the outputs of all nodes."""
    answer = await app.send("POST /api/prompt", document)
    assert answer.status == 202, answer.body
    run_id = json.loads(answer.body)["promptId"]
    with anyio.fail_after(10):
        await app.ask(f"GET /api/prompt/{run_id}/events")
    found: Json = json.loads((await app.ask(f"GET /api/prompt/{run_id}?nodeOutputs=true")).body)
    return found


class TestRequestsOfNodes:
    """Row 13: a workflow that lets the host ask what only the host can reach."""

    @pytest.mark.parametrize(
        "url",
        [
            "http://169.254.169.254/latest/meta-data",
            "http://127.0.0.1:8321/v1",
            "http://localhost:8321/v1",
            "http://[::1]:8321/v1",
            "http://0.0.0.0/v1",
            "http://10.0.0.1/v1",
            "http://192.168.1.1/v1",
            "http://[::ffff:127.0.0.1]/v1",
            "http://2130706433/v1",
            "http://0x7f.1/v1",
        ],
    )
    async def test_private_addresses_are_out_of_reach(self, tmp_path: Path, url: str) -> None:
        async with whole_app(tmp_path, packs=BUILT_IN) as app:
            run = await ran(app, asking(typed(url)))
        assert run["status"] == "error"
        assert "it leads to a private or local address" in run["error"]["message"]

    async def test_no_other_scheme_is_spoken(self, tmp_path: Path) -> None:
        async with whole_app(tmp_path, packs=BUILT_IN) as app:
            for url in (
                "file:///etc/passwd",
                "gopher://127.0.0.1:70/x",
                "ftp://127.0.0.1/x",
                "//x",
            ):
                run = await ran(app, asking(typed(url)))
                assert run["status"] == "error"
                assert "root:" not in json.dumps(run)


class TestBombs:
    """Row 15: a pattern, a picture, an archive that takes all there is."""

    async def test_a_catastrophic_pattern_ends_and_the_server_stays_live(
        self, tmp_path: Path
    ) -> None:
        rules = [{"name": "slow", "pattern": "(?:a|aa)+$", "flags": "g", "replacement": ""}]
        applied = {"id": "a", "fullType": "core:ApplyRegex"}
        text = {"inputText": "a" * 5000 + "b", "inlineRegexRules": rules}
        async with whole_app(tmp_path, packs=BUILT_IN) as app:
            warm = flow({**applied, "inputs": {**text, "inputText": "b"}})
            assert (await ran(app, warm))["status"] == "complete"
            answer = await app.send("POST /api/prompt", flow({**applied, "inputs": text}))
            run_id = json.loads(answer.body)["promptId"]
            turns, ended = 0, anyio.Event()

            async def follow() -> None:
                await app.ask(f"GET /api/prompt/{run_id}/events")
                ended.set()

            # Guards, not measurements: a loop that is held up would answer nothing at all.
            with anyio.fail_after(8):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(follow)
                    while not ended.is_set():
                        turns += 1
                        with anyio.fail_after(2):
                            await checkpoint()  # which the answer needs not
                            assert (await app.ask("GET /health")).status == 200
            assert turns > 5
            run = json.loads((await app.ask(f"GET /api/prompt/{run_id}")).body)
        assert run["status"] == "error"
        assert "regex rule 'slow' failed (timeout): " in run["error"]["message"]

    async def test_uploads_that_unpack_to_too_much_are_refused(self, tmp_path: Path) -> None:
        bundle = io.BytesIO()
        with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("card.json", b" " * 100_000_000)
        uploads = {
            "bomb.charx": bundle.getvalue(),
            "deep.json": b"[" * 1_000_000,
            "bomb.yaml": b"a: &a [x, x]\n" + b"".join(
                b"%c: &%c [*%c, *%c, *%c]\n" % (c + 1, c + 1, c, c, c) for c in range(97, 122)
            ),
        }  # fmt: skip
        async with whole_app(tmp_path, packs=BUILT_IN) as app:
            for name, data in uploads.items():
                assert (await app.upload((name, data))).status == 201
                loader = {"id": "a", "fullType": "core:CharacterCardLoader"}
                run = await ran(
                    app, flow({**loader, "inputs": {"cardResource": f"shared://{name}"}})
                )
                assert run["status"] == "error"
                assert name in run["error"]["message"]


CONFIG = """
data_dir: {folder}/data
server: {{token: "env:THE_TOKEN"}}
logs: {{level: debug}}
secrets:
  chat: {{value: env:TEST_ENTRY, base_urls: ["{url}"]}}
packs:
  settings:
    comfytavern-llm-nodes:
      channels:
        - label: local
          base_url: "{url}"
          api_key: env:TEST_CHANNEL
          headers: {{x-secret: env:TEST_HEADER}}
          capabilities: [llm, chat]
"""


class TestSecrets:
    """Rows 16 and 18: what is written and sent, and workflows that ask for a secret."""

    @pytest.mark.timeout(60)
    @pytest.mark.parametrize("quote", ["nowhere", "status", "stream"])
    def test_no_secret_in_anything_that_is_written_or_sent(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: Provider, quote: str
    ) -> None:
        provider.quote = quote
        command = CommandLine(tmp_path, monkeypatch).with_nodes()
        monkeypatch.delenv("COMFYTAVERN_DATA_DIR")
        command.packs().write("broken-pack", "raise OSError('out of luck')")
        command.write("comfytavern.yaml", CONFIG.format(folder=command.folder, url=provider.url))
        environment = {**VALUES, "OPENAI_API_BASE": provider.url, "THE_TOKEN": TOKEN}
        told: list[str] = []
        with served(command, "--log-level=debug", "serve", environment=environment) as server:
            url = server.url()
            documents = [
                asking(None, OPERATOR, typed(provider.url, "env:TEST_ENTRY")),
                {"workflowId": "tavern-chat"},
                workflow(node("a", "Fail", text="x")),
                {
                    "nodes": [
                        {"id": "a", "fullType": "core:Nothing", "inputs": {"k": "secret:chat"}}
                    ]
                },
            ]
            runs = []
            for document in documents:
                told.append(over_http(url, "POST", "/api/prompt", document, **BEARER))
                runs += [json.loads(told[-1]).get("promptId", "none")]
                told.append(over_http(url, "GET", f"/api/prompt/{runs[-1]}/events", **BEARER))
            names = (*runs, "broken-pack", "comfytavern-llm-nodes", "tavern-chat")
            paths = [path_of(endpoint, name) for endpoint in READING for name in names]
            told += [over_http(url, "GET", path, **BEARER) for path in paths]
            uri = f"{url.replace('http', 'ws', 1)}/ws"
            with connect(uri, additional_headers=BEARER, proxy=None) as client:
                for run_id in runs[:3]:
                    ask = {"type": "SUBSCRIBE", "payload": {"promptId": run_id}}
                    client.send(json.dumps(ask))
                    while '"EXECUTION_STATUS_UPDATE"' not in (message := str(client.recv())) or (
                        not any(f'"{end}"' in message for end in ("complete", "error"))
                    ):
                        told.append(message)
            for verb in (["runs", "list"], ["runs", "show", runs[0]], ["config", "show", "--json"]):
                done = command.run(*verb, environment=environment)
                told += [done.stdout, done.stderr]
            _, log = server.end()
        assert provider.headers
        assert not tells_a_secret(*told, log)
        assert TOKEN not in "".join([*told, log])
        kept = [path for path in command.folder.rglob("*") if path.is_file()]
        assert any(path.suffix == ".jsonl" for path in kept)
        assert not tells_a_secret(*(path.read_bytes().decode("latin-1") for path in kept))
        if quote == "status":
            assert "you sent Bearer <secret> and <secret>" in "".join(told)

    def test_errors_tell_no_paths_of_this_machine(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        command = CommandLine(tmp_path, monkeypatch).with_nodes()
        with served(command) as server:
            url = server.url()
            answers = []
            for document in (
                workflow(node("a", "Fail", text="x")),
                workflow(node("a", "Read", {"file": "shared://none.txt"})),
                workflow(node("a", "Read", {"file": "/etc/shadow"})),
                {"workflowId": "../../x"},
            ):
                answers.append(over_http(url, "POST", "/api/prompt", document))
                run_id = json.loads(answers[-1]).get("promptId", "none")
                answers.append(over_http(url, "GET", f"/api/prompt/{run_id}/events"))
                answers += [over_http(url, "GET", path_of(e, run_id)) for e in READING]
            server.end()
        told = "".join(answers)
        assert "the kettle is empty" in told
        root = Path(__file__).resolve().parents[2]
        for path in (tmp_path, root, sys.prefix, sys.base_prefix):
            assert str(path) not in told, path

    async def test_a_token_that_says_it_needs_no_proof_is_none(self, tmp_path: Path) -> None:
        head, claims = (
            urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
            for part in ({"alg": "none", "typ": "JWT"}, {"sub": "admin", "exp": 9_999_999_999})
        )
        async with whole_app(tmp_path, token=TOKEN) as app:
            for value in (f"{head}.{claims}.", f"9999999999.{head}", "9999999999.", f"{head}.."):
                for line in (
                    f"cookie: comfytavern_login={value}",
                    f"authorization: Bearer {value}",
                ):
                    assert (await app.ask("GET /api/history", line)).status == 401

    @pytest.mark.parametrize(
        "reference", ["env:TEST_ENTRY", "secret:chat", "$TEST_ENTRY", "file:/proc/self/environ"]
    )
    def test_a_workflow_that_names_a_secret_gets_a_refusal(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        provider: Provider,
        reference: str,
    ) -> None:
        command = CommandLine(tmp_path, monkeypatch)
        file = command.write("comfytavern.yaml", CONFIG.format(folder="x", url=provider.url))
        assert file
        environment = {**VALUES, "OPENAI_API_BASE": provider.url, "THE_TOKEN": TOKEN}
        named = {"id": "a", "fullType": "core:CharacterCardLoader"}
        hostile = [
            asking(typed(provider.url, reference)),
            asking({"use_env_vars": False, "base_url": reference, "api_key": "x"}),
            flow({**named, "inputs": {"cardResource": reference}}),
            flow(place("a", "core:TextMerge"), interfaceInputs={}, inputs={"key": reference}),
        ]
        told: list[str] = []
        with served(command, environment=environment) as server:
            url = server.url()
            for document in hostile:
                told.append(over_http(url, "POST", "/api/prompt", document, **BEARER))
                run_id = json.loads(told[-1]).get("promptId", "none")
                told.append(over_http(url, "GET", f"/api/prompt/{run_id}/events", **BEARER))
            told.append(server.end()[1])
        assert "llm_api_settings_refused" in told[1]
        assert "no reference in a workflow is resolved" in told[1]
        assert provider.headers == []
        assert not tells_a_secret(*told)
