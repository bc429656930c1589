"""Multiaddrs: what is understood, what is refused, and what a listening host tells others."""

from __future__ import annotations

import contextlib
import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mycelnode.errors import NetworkError
from mycelnode.p2p import _addresses
from mycelnode.p2p._addresses import (
    Endpoint,
    advertised,
    from_socket,
    group_of,
    interface_addresses,
    is_public,
    parse,
    usable,
)

PEER = "12D3KooWGjbxBtBYCbXTFxFQ1dhUnzZmYnLcVSw9wPq4zEjgNEQ4"
HOSTS = st.one_of(
    st.ip_addresses(v=4).map(lambda a: ("ip4", str(a))),
    st.ip_addresses(v=6).map(lambda a: ("ip6", str(a))),
    st.sampled_from([("dns", "host.example"), ("dns4", "a"), ("dns6", "x-1.example.")]),
)


@given(HOSTS, st.integers(0, 65535), st.booleans())
def test_an_endpoint_survives_being_written_and_parsed(host: tuple[str, str], port: int, with_peer: bool) -> None:
    endpoint = Endpoint(*host, port)
    assert parse(str(endpoint) + (f"/p2p/{PEER}" if with_peer else "")) == endpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "127.0.0.1:4001",
        "/ip4/127.0.0.1",
        "/ip4/127.0.0.1/udp/4001",
        "/ip4/127.0.0.1/tcp/4001/ws",
        "/ip4/127.0.0.1/tcp/4001/ws/peer",
        "/ip4/127.0.0.1/tcp/-1",
        "/ip4/127.0.0.1/tcp/65536",
        "/ip4/127.0.0.1/tcp/0000080",
        "/ip4/127.0.0.1/tcp/٤",
        "/ip4/127.0.0.1/tcp/4 ",
        "/ip4/300.0.0.1/tcp/1",
        "/ip4/::1/tcp/1",
        "/ip6/127.0.0.1/tcp/1",
        "/dns/-a/tcp/1",
        "/dns/a b/tcp/1",
        "/dns//tcp/1",
        "/unix/a/tcp/1",
        "ip4/127.0.0.1/tcp/1",
        "/dns/" + "a" * 300 + "/tcp/1",
    ],
)
def test_anything_else_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(NetworkError) as caught:
        parse(text)
    assert len(caught.value.args[0]) < 200


@given(st.text(max_size=300))
def test_no_text_raises_anything_else(text: str) -> None:
    with contextlib.suppress(NetworkError):
        parse(text)


@given(
    st.lists(
        st.one_of(
            st.text(max_size=60),
            st.integers(),
            st.none(),
            st.tuples(HOSTS, st.integers(0, 65535)).map(lambda t: str(Endpoint(*t[0], t[1]))),
        ),
        max_size=100,
    )
)
def test_of_what_a_peer_claims_only_dialable_addresses_are_used(claimed: list[object]) -> None:
    good = usable(claimed)
    assert len(good) == len(set(good)) <= _addresses.MAX_ADDRESSES
    for text in good:
        endpoint = parse(text)
        assert endpoint.port
        assert not endpoint.wildcard


def test_wildcards_multicast_and_port_0_are_not_dialled() -> None:
    claimed = [
        "/ip4/0.0.0.0/tcp/1",
        "/ip6/::/tcp/1",
        "/ip4/224.0.0.1/tcp/1",
        "/ip6/ff02::1/tcp/1",
        "/ip4/10.0.0.1/tcp/0",
        "/ip4/10.0.0.1/tcp/1",
    ]
    assert usable(claimed) == ["/ip4/10.0.0.1/tcp/1"]


def test_ipv4_written_as_ipv6_is_ipv4_and_a_zone_is_left_out() -> None:
    assert from_socket(("::ffff:192.168.1.5", 4001, 0, 0)) == Endpoint("ip4", "192.168.1.5", 4001)
    assert from_socket(("fe80::1%eth0", 4001, 0, 2)) == Endpoint("ip6", "fe80::1", 4001)


def test_a_wildcard_is_told_as_the_private_addresses_of_its_family() -> None:
    interfaces = ["192.168.1.5", "8.8.8.8", "fd00::5", "2600::1"]
    listening = [Endpoint("ip4", "0.0.0.0", 1), Endpoint("ip6", "::", 2)]
    assert advertised(listening, interfaces, private_only=True) == ["/ip4/192.168.1.5/tcp/1", "/ip6/fd00::5/tcp/2"]
    assert advertised(listening, interfaces, private_only=False) == [
        "/ip4/192.168.1.5/tcp/1",
        "/ip4/8.8.8.8/tcp/1",
        "/ip6/fd00::5/tcp/2",
        "/ip6/2600::1/tcp/2",
    ]


def test_an_address_that_is_named_is_told_though_it_is_public() -> None:
    assert advertised([Endpoint("ip4", "8.8.8.8", 1)], [], private_only=True) == ["/ip4/8.8.8.8/tcp/1"]


@given(st.lists(st.ip_addresses().map(str), max_size=60), st.booleans())
def test_no_wildcard_is_ever_told(interfaces: list[str], private_only: bool) -> None:
    listening = [Endpoint("ip4", "0.0.0.0", 1), Endpoint("ip6", "::", 1)]
    interfaces = [host for host in interfaces if not ipaddress.ip_address(host).is_unspecified]
    told = advertised(listening, interfaces, private_only=private_only)
    assert not any(parse(text).wildcard for text in told)
    assert len(told) <= _addresses.MAX_ADDRESSES
    assert not private_only or not any(is_public(parse(text).host) for text in told)


def test_the_interfaces_of_this_machine_can_be_bound() -> None:
    for host in interface_addresses():
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.bind((host, 0))


@pytest.mark.parametrize(
    ("one", "other", "near", "around"),
    [
        ("10.0.0.1", "10.0.0.2", False, True),
        ("10.0.0.1", "10.0.1.1", False, False),
        ("fd00::1", "fd00::2", True, True),
        ("fd00:0:0:1::1", "fd00:0:0:2::1", False, True),
        ("fd00:0:1::1", "fd00:0:2::1", False, False),
        ("10.0.0.1", "::a00:1", False, False),
    ],
)
def test_neighbourhoods(one: str, other: str, near: bool, around: bool) -> None:
    assert (group_of(one, wide=False) == group_of(other, wide=False)) is near
    assert (group_of(one, wide=True) == group_of(other, wide=True)) is around
