"""Which hosts a connector may talk to."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable, Sequence
from typing import Any

import httpcore
import httpx

from ..errors import SettingsInvalid

_PORTS = {"http": 80, "https": 443}


def check(url: httpx.URL, allowed: Sequence[str]) -> None:
    """Whether the manifest's `allowed_hosts` names this address; raises SettingsInvalid with the line that is missing.

    Without `allowed_hosts` the address itself is looked at, when it is connected to: see `PublicOnly`.
    """
    if allowed and not any(_matches(url, pattern) for pattern in allowed):
        host = url.raw_host.decode()
        raise SettingsInvalid(
            f'the connector may not talk to {host}: the manifest does not name it; its author adds "{host}" to "allowed_hosts"'
        )


def _matches(url: httpx.URL, pattern: str) -> bool:
    name, _, port = pattern.partition(":")
    if port and int(port) != (url.port or _PORTS.get(url.scheme)):
        return False
    host = url.raw_host.decode().rstrip(".").lower()
    if name.startswith("*."):
        return host.endswith(name[1:]) and len(host) > len(name) - 1
    return host == name


class PublicOnly(httpcore.AsyncNetworkBackend):
    """Connects to addresses of the internet only. What was looked up is what is connected to, so that a name cannot change
    its mind between the two.
    """

    def __init__(self) -> None:
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """As httpcore has it."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError(f"the name {host} is not known") from error
        addresses = [entry[4][0] for entry in found]
        for address in addresses:
            if not is_public(str(address)):
                raise SettingsInvalid(
                    f"{host} is an address of this machine or of a private network; the connector's author names it in "
                    f'the manifest: "allowed_hosts": ["{host}"]'
                )
        failed = httpcore.ConnectError(f"the name {host} has no address")
        for address in addresses:
            try:
                return await self._inner.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except httpcore.ConnectError as error:
                failed = error  # a machine without IPv6 has names with addresses of both kinds
        raise failed

    async def connect_unix_socket(
        self,
        path: str,  # noqa: ARG002
        timeout: float | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        """Never."""
        raise SettingsInvalid("the connector may not talk to sockets of this machine")

    async def sleep(self, seconds: float) -> None:
        """As httpcore has it."""
        await self._inner.sleep(seconds)


def is_public(address: str) -> bool:
    """Whether an address is one of the internet: not of this machine, a private network, or link-local."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        parsed = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo or (0, parsed))[1]
    return parsed.is_global and not parsed.is_multicast
