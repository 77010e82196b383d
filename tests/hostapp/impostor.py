"""A server on loopback that says what a test tells it, and remembers what it was asked."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

__all__ = ("Asked", "Impostor", "impostor")

# Of 'tavern.test' at 127.0.0.1, signed by itself, good for a hundred years.
_KEY = """-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgrVgQJ+1AF5Zhiptz
FCiw5Xejs35ZCDDebfRNVb33xFmhRANCAATksIAQjbK7ULqUtsro/VrymflcPMRA
1lGoUHv35J1fPZXDbSXLtzMzkGOCOtPLwzyVVW7wLr5r8/AwgcHhLMJV
-----END PRIVATE KEY-----
"""
CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIIBlTCCATqgAwIBAgIUaU3ZEJ6sjhG0K7dmHQ7YLUzG6p8wCgYIKoZIzj0EAwIw
FjEUMBIGA1UEAwwLdGF2ZXJuLnRlc3QwIBcNMjYxMTIxMTcwOTU5WhgPMjEyNjEw
MjgxNzA5NTlaMBYxFDASBgNVBAMMC3RhdmVybi50ZXN0MFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAE5LCAEI2yu1C6lLbK6P1a8pn5XDzEQNZRqFB79+SdXz2Vw20l
y7czM5BjgjrTy8M8lVVu8C6+a/PwMIHB4SzCVaNkMGIwHQYDVR0OBBYEFAzLweeS
O2RC6wCeezNc0HO3xWwLMB8GA1UdIwQYMBaAFAzLweeSO2RC6wCeezNc0HO3xWwL
MA8GA1UdEwEB/wQFMAMBAf8wDwYDVR0RBAgwBocEfwAAATAKBggqhkjOPQQDAgNJ
ADBGAiEAzbYMfGMhxQK1KBtSlaCrAm0RYLHd5AdpZtfO1RHKCHICIQCtu7fmxe04
hDnm8RqtHzsgmbW3AZLPeLcsFfo7ZNmU2w==
-----END CERTIFICATE-----
"""


class Asked(NamedTuple):
    """A request as it came."""

    path: str
    authorization: str | None


class Impostor:
    """What it answers, and what it was asked so far."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.asked: list[Asked] = []
        self.status = 200
        self.headers: Mapping[str, str] = {"Content-Type": "application/json"}
        self.body = b"{}"


@contextmanager
def impostor(folder: Path | None = None) -> Iterator[Impostor]:
    """Serve until the end of the block.

    :param folder: where to put a certificate; with one it speaks TLS
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.asked.append(Asked(self.path, self.headers["Authorization"]))
            self.send_response(told.status)
            for name, value in told.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(told.body)))
            self.end_headers()
            self.wfile.write(told.body)

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that does not trust us

    with Server(("127.0.0.1", 0), Handler) as server:
        told = Impostor(server.server_port)
        if folder is not None:
            server.socket = _context(folder).wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield told
        finally:
            server.shutdown()
            thread.join()


def _context(folder: Path) -> ssl.SSLContext:
    (folder / "key.pem").write_text(_KEY)
    (folder / "certificate.pem").write_text(CERTIFICATE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context
