"""The servers of NEAR: which is asked, and what is believed of what they say."""

from __future__ import annotations

import socket

import pytest
import trio

from mycelnode.chain import rpc as rpc_module
from mycelnode.chain.rpc import ANSWER_BYTES, open_rpc
from mycelnode.errors import MycelError, NearRefused, NearRpcWrong, NearUnreachable
from tests.chain.servers import (
    GENESIS,
    STATUS,
    Answer,
    a_server,
    cut_off,
    endless,
    html,
    http,
    refusal,
    silent,
    told,
    with_status,
)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_module, "FIRST_PAUSE", 0.01)


def refused(error: object) -> dict[str, object]:
    """A transaction."""
    return refusal("INVALID_TRANSACTION", data={"TxExecutionError": {"InvalidTxError": error}})


def nobody() -> str:
    """An address at which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{found.getsockname()[1]}"


BROKEN: dict[str, tuple[Answer, str]] = {
    "html": (html(), "a web page"),
    "html 502": (html(502), "says 502"),
    "empty": (http(b""), "answers with nothing"),
    "garbage": (http(b"\xff\xfe{"), "no JSON"),
    "deep": (http(b"[" * 100_000), "no JSON"),
    "a huge number": (http(b'{"result":' + b"9" * 5000 + b"}"), "no JSON"),
    "not a number": (http(b'{"result":NaN}'), "no JSON"),
    "a list": (http(b"[]"), "no JSON"),
    "another answer": (told(1, "another"), "something else"),
    "100 MB": (endless, f"more than {ANSWER_BYTES:,} bytes"),
    "cut off": (cut_off, "broke off"),
    "429": (http(b"slow down", 429, "text/plain"), "too often"),
    "429 with an error in it": (http(b'{"error":{"code":-429,"message":"Rate limit"}}', 429), "too often"),
    "500 of a proxy": (http(b'{"error":"upstream"}', 500), "says 500"),
    "408": (http(b"", 408), "says 408"),
    "503": (http(b"", 503), "says 503"),
    "elsewhere": (http(b"", 302, "text/html", "Location: http://127.0.0.1:1/"), "sends us elsewhere"),
    "compressed": (http(b"\x1f\x8b", 200, "application/json", "Content-Encoding: gzip"), "compresses"),
    "silent": (silent, "did not answer within 1 s"),
    "408 as the network puts it": (with_status(refusal("TIMEOUT_ERROR"), 408), "TIMEOUT_ERROR"),
    "out of step": (refusal("NOT_SYNCED_YET"), "NOT_SYNCED_YET"),
}


def patience(fault: str) -> float:
    """Seconds. Only who is silent is waited for in vain."""
    return 1.0 if fault == "silent" else 30.0


@pytest.mark.parametrize("fault", BROKEN)
async def test_a_broken_server_is_named_in_one_sentence(fault: str) -> None:
    answer, said = BROKEN[fault]
    async with a_server(block=answer) as server, open_rpc("devchain", [server.url]) as rpc:
        with pytest.raises(MycelError, match=said) as caught:
            await rpc.call("block", {}, patience=patience(fault))
        assert "\n" not in str(caught.value)
        assert server.sent < 3 * (ANSWER_BYTES + (8 << 20)), "it read on and on"


@pytest.mark.parametrize("fault", BROKEN)
async def test_the_next_server_is_asked_when_one_is_broken(fault: str) -> None:
    async with (
        a_server(block=BROKEN[fault][0]) as broken,
        a_server(block="right") as well,
        open_rpc("devchain", [broken.url, well.url]) as rpc,
    ):
        assert await rpc.call("block", {}, patience=patience(fault)) == "right"
        assert await rpc.call("block", {}, patience=patience(fault)) == "right"
        assert rpc.servers[0].said
        assert not rpc.servers[1].said


async def test_who_failed_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_module, "FIRST_PAUSE", 60.0)
    async with (
        a_server(block=html()) as broken,
        a_server(block="right") as well,
        open_rpc("devchain", [broken.url, well.url]) as rpc,
    ):
        for _ in range(3):
            assert await rpc.call("block", {}) == "right"
        assert broken.asked.count("block") == 1


async def test_a_busy_server_is_asked_again_after_a_pause() -> None:
    async with a_server(block=[http(b"", 429), "right"]) as server, open_rpc("devchain", [server.url]) as rpc:
        assert await rpc.call("block", {}) == "right"


async def test_a_connection_that_broke_off_is_made_anew() -> None:
    async with a_server(block=[cut_off, "right"]) as server, open_rpc("devchain", [server.url]) as rpc:
        assert await rpc.call("block", {}) == "right"


async def test_what_must_not_be_repeated_at_once_is_not() -> None:
    async with a_server(send_tx=http(b"", 503)) as server, open_rpc("devchain", [server.url]) as rpc:
        with pytest.raises(NearUnreachable):
            await rpc.call("send_tx", {}, rounds=1)
        assert server.asked.count("send_tx") == 1


async def test_nobody_is_there() -> None:
    async with open_rpc("devchain", [nobody(), "http://[:1"]) as rpc:
        with pytest.raises(NearUnreachable, match="cannot be reached"):
            await rpc.call("block", {})
    async with open_rpc("devchain") as rpc:
        with pytest.raises(NearUnreachable, match=r"set near\.rpc"):
            await rpc.call("block", {})


async def test_what_the_network_refuses_is_no_fault_of_the_server() -> None:
    async with (
        a_server(block=refusal("UNKNOWN_ACCOUNT", {"requested_account_id": "x"})) as server,
        a_server() as other,
        open_rpc("devchain", [server.url, other.url]) as rpc,
    ):
        with pytest.raises(NearRefused, match="UNKNOWN_ACCOUNT") as caught:
            await rpc.call("block", {})
        assert caught.value.kind == "UNKNOWN_ACCOUNT"
        assert other.asked == []


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (
            refusal(
                "INVALID_TRANSACTION", data={"TxExecutionError": {"InvalidTxError": {"InvalidNonce": {"ak_nonce": 5}}}}
            ),
            "InvalidNonce",
        ),
        (refusal("INVALID_TRANSACTION", data={"TxExecutionError": {"InvalidTxError": "Expired"}}), "Expired"),
        (refusal("INVALID_TRANSACTION"), "INVALID_TRANSACTION"),
        (refusal("UNKNOWN_ACCOUNT"), "UNKNOWN_ACCOUNT"),
        ({"code": -32000, "message": "Server error", "data": "as of old"}, ""),
        ({"name": 7, "cause": [1], "data": {}}, ""),
        ("a text", ""),
    ],
)
async def test_errors_of_each_form_are_told_in_a_sentence(error: object, kind: str) -> None:
    async def act(server, stream, request) -> None:  # type: ignore[no-untyped-def]
        import json

        await server.send(stream, http(json.dumps({"id": request["id"], "error": error}).encode()))

    async with a_server(block=act) as server, open_rpc("devchain", [server.url]) as rpc:
        with pytest.raises(NearRefused) as caught:
            await rpc.call("block", {})
        assert caught.value.kind == kind
        assert "\n" not in str(caught.value)


async def test_a_server_of_another_network_is_never_asked_anything() -> None:
    async with a_server(status={**STATUS, "chain_id": "mainnet"}, block="stolen") as server:
        async with open_rpc("testnet", [server.url]) as rpc:
            with pytest.raises(NearRpcWrong, match=r"is a server of mainnet, and near\.network says testnet"):
                await rpc.call("block", {})
        async with open_rpc("devchain", [server.url]) as rpc:
            with pytest.raises(NearRpcWrong, match="mainnet"):
                await rpc.call("block", {})
        assert "block" not in server.asked


async def test_a_server_of_another_chain_of_that_name_is_never_asked_anything() -> None:
    fake = {**STATUS, "chain_id": "testnet"}
    async with a_server(status=fake) as server, open_rpc("testnet", [server.url]) as rpc:
        with pytest.raises(NearRpcWrong, match="began with another block"):
            await rpc.call("block", {})
    async with a_server() as server, open_rpc("devchain", [server.url], genesis="2" * 32) as rpc:
        with pytest.raises(NearRpcWrong, match="began with another block"):
            await rpc.call("block", {})
    async with (
        a_server(block=1) as one,
        a_server(status={**STATUS, "genesis_hash": "3" * 32}, block=2) as other,
        open_rpc("devchain", [one.url, other.url]) as rpc,
    ):
        assert await rpc.identify() == f"devchain/{GENESIS}"
        one.acts["block"] = html()
        with pytest.raises(NearUnreachable):
            await rpc.call("block", {})
        assert "block" not in other.asked


async def test_a_server_that_does_not_say_of_which_network_it_is_is_not_believed() -> None:
    for status in ({}, [[]], None, {"chain_id": "a b", "genesis_hash": "x"}, {"chain_id": "devchain"}):
        async with a_server(status=status) as server, open_rpc("devchain", [server.url]) as rpc:
            with pytest.raises(NearUnreachable, match="of which network"):
                await rpc.call("block", {})


async def test_a_secret_in_an_address_is_not_shown() -> None:
    async with a_server(block=html()) as server, open_rpc("devchain", [f"{server.url}/s3cret?key=s3cret"]) as rpc:
        with pytest.raises(NearUnreachable) as caught:
            await rpc.call("block", {})
        assert "s3cret" not in str(caught.value)


async def test_a_call_is_cancelled_at_once_and_the_next_one_works() -> None:
    async with a_server(block=[silent, "right"]) as server, open_rpc("devchain", [server.url]) as rpc:
        await rpc.call("status", [])
        with trio.move_on_after(0.05) as scope:
            await rpc.call("block", {})
        assert scope.cancelled_caught
        assert await rpc.call("block", {}) == "right"


async def test_ten_calls_at_a_time_each_have_their_answer() -> None:
    async def act(server, stream, request) -> None:  # type: ignore[no-untyped-def]
        await server.send(stream, told(request["params"], request["id"]))

    async with a_server(block=act) as server, open_rpc("devchain", [server.url]) as rpc:
        found = {}

        async def ask(number: int) -> None:
            found[number] = await rpc.call("block", [number])

        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(ask, number)
        assert found == {number: [number] for number in range(10)}
