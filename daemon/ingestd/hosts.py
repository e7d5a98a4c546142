"""Names and addresses of hosts, as they stand in settings, URLs and the header `Host`."""

import ipaddress
import socket
from collections.abc import Iterable


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`, a name or an address without brackets."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def split_port(host: str) -> tuple[str, str]:
    """Splits `host`, `host:port`, `[IPv6]:port` or a bare IPv6 address; the port is "" if there is none."""
    name, colon, port = host.rpartition(":")
    if not colon or (":" in name and not name.endswith("]")) or host.endswith("]"):
        return host, ""
    return name, port


def normalized(host: str) -> str:
    """One spelling for all spellings of a host: lower case, no final dot, short IPv6 addresses, Punycode."""
    name, port = split_port(host.strip().lower())
    name = _normalized_name(name.removesuffix("."))
    return f"{name}:{port}" if port else name


def _normalized_name(name: str) -> str:
    address = _address(name)
    if address is None:
        return _as_ascii(name)
    return f"[{address}]" if address.version == 6 else str(address)


def _as_ascii(name: str) -> str:
    """A name with other letters as browsers send it; unchanged if it cannot be written so."""
    try:
        return name if name.isascii() else name.encode("idna").decode()
    except UnicodeError:
        return name


def normalized_set(hosts: Iterable[str]) -> frozenset[str]:
    return frozenset(normalized(host) for host in hosts)


class AllowedHosts:
    """The values of `Host` that a listener for programs accepts.

    With any port these are the names and addresses of loopback, the address it listens on, the name of this machine,
    and `names`; and, exactly, `more`. A listener on all addresses accepts every address: rebinding needs a name.
    """

    def __init__(self, listen: str, more: Iterable[str], names: Iterable[str] = ()) -> None:
        listening_on, *others = (split_port(normalized(host))[0] for host in (listen, *names))
        self._own = {"localhost", listening_on, normalized(socket.gethostname()), *others}
        self._more = normalized_set(more)
        self._is_everywhere = listening_on in ("0.0.0.0", "[::]")

    def allow(self, host: str) -> bool:
        """Whether to answer a request with this `Host`; none is given as ""."""
        spelled = normalized(host)
        name, _ = split_port(spelled)
        address = _address(name)
        is_own = name in self._own or (address is not None and (self._is_everywhere or address.is_loopback))
        return bool(name) and (is_own or spelled in self._more)


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return None
