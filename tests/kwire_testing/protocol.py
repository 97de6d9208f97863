"""One request of Kafka's protocol, sent over a connection of its own."""

from __future__ import annotations

import socket
import struct
from typing import Any

from kwire import codec, headers
from kwire.api_keys import ApiKey
from kwire.messages import response_class


def ask(bootstrap_servers: str, api: ApiKey, version: int, request: Any, client_id: str = "a-test") -> Any:
    """The decoded answer of the first node."""
    host, _, port = bootstrap_servers.partition(",")[0].rpartition(":")
    head = headers.encode_request_header(headers.RequestHeader(api, version, 1, client_id))
    body = codec.encode(request, version)
    with socket.create_connection((host, int(port)), timeout=90) as connection, connection.makefile("rb") as stream:
        connection.sendall(struct.pack(">i", len(head) + len(body)) + head + body)
        (size,) = struct.unpack(">i", stream.read(4))
        data = stream.read(size)
    _, offset = headers.decode_response_header(headers.response_header_version(api, version), data)
    return codec.decode(response_class(api), version, data, offset)
