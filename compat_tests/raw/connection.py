"""A blocking connection that sends any bytes, any API in any version, and decodes what comes back."""

import socket
import ssl
import struct
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from compat_tests.raw import messages


class ClosedByBrokerError(Exception):
    """The broker closed the connection instead of answering."""


def _unsigned_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def request_header(
    api_key: int,
    version: int,
    correlation_id: int,
    client_id: str | None = "raw",
    *,
    flexible: bool,
    tags: bytes = b"\0",
) -> bytes:
    """A request header v1, or v2 with ``tags`` (count and fields, encoded) when ``flexible``."""
    encoded = None if client_id is None else client_id.encode()
    head = struct.pack(">hhih", api_key, version, correlation_id, -1 if encoded is None else len(encoded))
    return head + (encoded or b"") + (tags if flexible else b"")


class Connection:
    """One connection. ``ask`` sends a request and returns the decoded answer; the rest is for what is not normal."""

    def __init__(self, address: tuple[str, int], *, timeout_s: float = 10, ca: Path | None = None) -> None:
        plain = socket.create_connection(address, timeout=timeout_s)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if ca is None:
            self.socket = plain
        else:
            context = ssl.create_default_context(cafile=str(ca))
            self.socket = context.wrap_socket(plain, server_hostname=address[0])
        self._correlation_id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    # Normal use

    def ask(self, api: str, version: int, *, client_id: Any = "raw", **fields: Any) -> Any:
        """Send the request named ``api`` (as in the schemas, "ListOffsets") and return the decoded response.

        ``fields`` are the request's fields; structs are dicts, left-out fields have their default.
        Raises ClosedByBrokerError when the broker closes instead, TimeoutError when it does not answer.
        """
        return self.answer(api, version, self.send(api, version, client_id=client_id, **fields))

    def send(self, api: str, version: int, *, client_id: Any = "raw", **fields: Any) -> int:
        """Send without waiting; the correlation id."""
        return self.send_body(api, version, messages.encode_request(api, version, fields), client_id=client_id)

    def answer(self, api: str, version: int, correlation_id: int) -> Any:
        """The next response, which must be the one to ``correlation_id``."""
        return messages.decode_response(api, version, self.response_body(api, version, correlation_id))

    # Bytes

    def send_body(self, api: str, version: int, body: bytes, *, client_id: str | None = "raw") -> int:
        """Send a request whose body is given as bytes; the correlation id."""
        self._correlation_id += 1
        flexible = messages.request_is_flexible(api, version)
        header = request_header(messages.api_key(api), version, self._correlation_id, client_id, flexible=flexible)
        self.send_frame(header + body)
        return self._correlation_id

    def send_frame(self, payload: bytes) -> None:
        self.send_bytes(struct.pack(">i", len(payload)) + payload)

    def send_bytes(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except (ConnectionError, ssl.SSLEOFError) as error:
            raise ClosedByBrokerError("closed while the request was sent") from error

    def response_body(self, api: str, version: int, correlation_id: int) -> bytes:
        """The next response without its header, which must carry ``correlation_id``."""
        frame = self.read_frame()
        (got,) = struct.unpack_from(">i", frame)
        assert got == correlation_id, f"response to request {got} came, {correlation_id} was next in order"
        # ApiVersions answers with header v0 always: a client may not know the broker yet.
        flexible = api != "ApiVersions" and messages.request_is_flexible(api, version)
        if not flexible:
            return frame[4:]
        assert frame[4:5] == b"\0", f"response header v1 with tagged fields: {frame[:16].hex()}"
        return frame[5:]

    def read_frame(self) -> bytes:
        """One frame without its size; raises ClosedByBrokerError at the end of the stream."""
        (size,) = struct.unpack(">i", self._read(4))
        return self._read(size)

    def _read(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            try:
                data = self.socket.recv(min(size - len(parts), 1 << 20))
            except ConnectionResetError as error:
                raise ClosedByBrokerError("connection reset") from error
            if not data:
                raise ClosedByBrokerError("connection closed")
            parts += data
        return bytes(parts)

    # Expectations

    def assert_closed(self, why: str) -> None:
        """The broker closes the connection without sending anything more."""
        try:
            frame = self.read_frame()
        except ClosedByBrokerError:
            return
        except TimeoutError:
            raise AssertionError(f"{why}: the broker should close the connection; it keeps it open, silent") from None
        raise AssertionError(f"{why}: the broker should close the connection; it answered {frame[:64].hex()}")

    def assert_silent(self, why: str, seconds: float = 0.2) -> None:
        """Nothing comes and the connection stays open, as far as ``seconds`` tell."""
        before = self.socket.gettimeout()
        self.socket.settimeout(seconds)
        try:
            data = self.socket.recv(64)
        except TimeoutError:
            return
        except ConnectionResetError:
            data = b""
        finally:
            self.socket.settimeout(before)
        raise AssertionError(f"{why}: no answer should come; " + (f"got {data.hex()}" if data else "it was closed"))

    def assert_alive(self) -> None:
        """The connection still answers."""
        assert self.ask("ApiVersions", 0).error_code == 0
