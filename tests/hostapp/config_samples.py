"""A configuration that sets everything, and how the tests read and write one."""

from __future__ import annotations

from pathlib import Path

from comfytavern_hostapp.config import Config, build_config, parse_source

NAME = "comfytavern.yaml"

EVERYTHING = """\
server:
  host: 0.0.0.0
  port: 9000
  token: env:COMFYTAVERN_TOKEN
  allowed_hosts: [tavern.example, "tavern.example:8443", "[::1]:9000"]
  allowed_origins: [https://tavern.example:8443]
  root_path: /tavern
data_dir: state
packs:
  enabled: [Comfytavern_Core.Nodes, other-pack]
  disabled: [Bad_Pack]
  lazy: yes
  bypass: [other.pack]
  namespaces: {short: Other_Pack}
  settings:
    Comfytavern_LLM-nodes:
      channels:
        - label: local
          base_url: http://127.0.0.1:11434/v1
          api_key: env:LOCAL_KEY
aliases: {rp: [Other_Pack]}
secrets:
  search: {value: file:search.txt, base_urls: [https://api.example/v1]}
resources: {roots: {cards: cards, home: ~/cards}}
http: {allow: [10.0.0.0/8, "::1", nas.local]}
runner: dask
dask: {scheduler: tcp://127.0.0.1:8786}
limits:
  concurrent_runs: 2
  queued_runs: 0
  nodes_in_parallel: 8
  threads: 3
  stream_buffer: 4
  stream_overflow: 5
  group_depth: 6
  interrupt_grace: 250ms
  body: 512KB
history: {keep_runs: 7, keep_days: 1.5, keep_bytes: 2GiB}
logs: {level: DEBUG, format: json}
"""


def parsed(text: str, **more: dict[str, str]) -> Config:
    return build_config(parse_source(text.encode(), NAME), **more)


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
