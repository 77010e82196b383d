"""Hosts, origins, URLs and networks, as the kinds of values a configuration holds."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator

from .values import Unfit, one_line, whole_number

_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_-]+)*", re.I)
_PORT = re.compile(r"[0-9]{1,5}")


def is_host(text: str) -> bool:
    """Tell whether the text is a host name or an address, without a port."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return bool(_HOST.fullmatch(text))
    return True


def _host(value: object) -> str:
    text = one_line(value, "a host name or an address")
    if not is_host(text):
        raise Unfit("a host name or an address, without a port")
    return text.lower()


def _split_port(text: str) -> tuple[str, str]:
    """Split ``host[:port]``; an IPv6 address with a port stands in brackets."""
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        return host, port.removeprefix(":")
    return (text, "") if text.count(":") > 1 else (text.partition(":")[0], text.partition(":")[2])


def _served_host(value: object) -> str:
    expected = "a host name or an address, with or without a port"
    text = one_line(value, expected).lower()
    host, port = _split_port(text)
    if not is_host(host) or not (_PORT.fullmatch(port) or (not port and text[-1] != ":")):
        raise Unfit(expected)
    return text


def _url(value: object, expected: str) -> str:
    text = one_line(value, expected)
    try:
        parts = urlsplit(text)
        fits = parts.scheme in ("http", "https") and is_host(parts.hostname or "")
        fits = fits and (parts.port is None or parts.port > 0) and not re.search(r"\s", text)
    except ValueError:
        fits = False
    if not fits:
        raise Unfit(expected, "is no such URL")
    if "@" in parts.netloc:
        raise Unfit(expected, "holds a user name or a password")
    return text


def _origin(value: object) -> str:
    expected = "an origin such as https://tavern.example:8443, without a path"
    text = _url(value, expected).lower()
    if text != "{0.scheme}://{0.netloc}".format(urlsplit(text)):
        raise Unfit(expected)
    return text


def _base_url(value: object) -> str:
    expected = "a base URL such as https://api.example/v1"
    text = _url(value, expected)
    if "?" in text or "#" in text:
        raise Unfit(expected, "holds a query or a fragment")
    return text


def _network(value: object) -> str:
    expected = "a host name, an address or a range such as 10.0.0.0/8"
    text = one_line(value, expected).lower()
    if "/" in text:
        try:
            return str(ipaddress.ip_network(text))
        except ValueError:
            raise Unfit(f"{expected}, with no bit set behind the prefix") from None
    if not is_host(text):
        raise Unfit(f"{expected}, without a port")
    return text


def _root_path(value: object) -> str:
    text = one_line(value, "a path such as /tavern")
    if text and not re.fullmatch(r"(?:/[A-Za-z0-9._~%-]+)+", text):
        raise Unfit("a path such as /tavern, with no slash at its end, or ''")
    return text


Host = Annotated[str, BeforeValidator(_host)]
Port = Annotated[int, BeforeValidator(whole_number(0, 65535))]
ServedHost = Annotated[str, BeforeValidator(_served_host)]
WebOrigin = Annotated[str, BeforeValidator(_origin)]
BaseUrl = Annotated[str, BeforeValidator(_base_url)]
Network = Annotated[str, BeforeValidator(_network)]
RootPath = Annotated[str, BeforeValidator(_root_path)]
