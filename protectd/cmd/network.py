"""Addresses: which are loopback, and how a URL names them."""

from __future__ import annotations

import ipaddress
import socket


def is_loopback(host: str) -> bool:
    """Whether everything that `host` stands for is reached from this machine only."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        return False
    return bool(host) and all(_loopback_address(str(entry[4][0])) for entry in found)


def _loopback_address(text: str) -> bool:
    return ipaddress.ip_address(text.partition("%")[0]).is_loopback


def endpoint(host: str, port: int) -> str:
    """`http://host:port` as a client on this machine reaches it: brackets for IPv6, loopback for "any"."""
    name = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "*": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
