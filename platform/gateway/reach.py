"""Which addresses a customer's URL may lead to: those of the public internet, and what the operator allows.

Pure. Written out rather than asked of `ipaddress.is_global`, whose answer changes between Python versions.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

# RFC 6890 and what came after it: everything that is not somebody's public address.
_NOT_PUBLIC = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",  # the way into 6to4
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved, broadcast
        "2001::/23",  # protocols of the IETF, and Teredo, which carries an IPv4 address
        "2001:db8::/32",
        "2002::/16",  # 6to4: carries an IPv4 address
        "3fff::/20",
    )
)
# Outside of it nothing is routed: loopback, link-local, unique local, multicast, and the prefixes that carry
# an IPv4 address (::ffff:0:0/96, 64:ff9b::/96).
_UNICAST6 = IPv6Network("2000::/3")
# Where clouds answer their machines with credentials: never, also inside a network that is allowed.
_METADATA = frozenset(
    ip_address(address)
    for address in (
        "169.254.169.254",
        "169.254.169.253",
        "169.254.170.2",
        "169.254.170.23",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
    )
)


def reachable(address: Address, allowed: tuple[Network, ...] = ()) -> bool:
    """Whether a customer may send us there."""
    if address in _METADATA:
        return False
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return False
        if address.ipv4_mapped is not None:
            # The system would connect to the IPv4 address; nobody needs to write it so, but to get past us.
            return False
    if any(address in network for network in allowed if network.version == address.version):
        return True
    if isinstance(address, IPv6Address) and address not in _UNICAST6:
        return False
    return not any(address in network for network in _NOT_PUBLIC if network.version == address.version)
