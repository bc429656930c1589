"""Errors of the RPC, as the network's nodes send them: name, cause, and the older code, message and data beside them."""

from __future__ import annotations

from mycel_simnet.near.types import Json

OK, BAD_REQUEST, TIMEOUT, UNPROCESSABLE, SERVER_ERROR = 200, 400, 408, 422, 500  # HTTP


class RpcError(Exception):
    """An answer that is an error, and its HTTP status."""

    def __init__(self, json: Json, status: int = OK) -> None:
        super().__init__(str(json))
        self.json, self.status = json, status


def handler_error(cause: str, info: Json, data: Json, status: int = OK) -> RpcError:
    """The request was understood; what it asks for can't be given. Some causes have no ``info`` at all (None)."""
    json = {
        "name": "HANDLER_ERROR",
        "cause": {"name": cause} if info is None else {"name": cause, "info": info},
        "code": -32000,
        "message": "Server error",
        "data": data,
    }
    return RpcError(json, status)


def parse_error(message: str) -> RpcError:
    """The request was not understood."""
    json = {
        "name": "REQUEST_VALIDATION_ERROR",
        "cause": {"name": "PARSE_ERROR", "info": {"error_message": message}},
        "code": -32700,
        "message": "Parse error",
        "data": message,
    }
    return RpcError(json, BAD_REQUEST)


def method_not_found(method: str) -> RpcError:
    """There is no such method."""
    json = {
        "name": "REQUEST_VALIDATION_ERROR",
        "cause": {"name": "METHOD_NOT_FOUND", "info": {"method_name": method}},
        "code": -32601,
        "message": "Method not found",
        "data": method,
    }
    return RpcError(json, BAD_REQUEST)


def internal_error(message: str) -> RpcError:
    """A fault of this program."""
    json = {
        "name": "INTERNAL_ERROR",
        "cause": {"name": "INTERNAL_ERROR", "info": {"error_message": message}},
        "code": -32000,
        "message": "Server error",
        "data": message,
    }
    return RpcError(json, SERVER_ERROR)
