"""The TLS twin: the same traffic as plain, with files, large frames, bad clients, client certificates asked for."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from broker.config.broker_config import BrokerConfig
from broker.config.values import InvalidConfigError
from broker.tls import server_context
from log.storage import FileRange, RealStorage
from tests.broker.server_helpers import Running, frame, receive_exactly, running_listener

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="needs the openssl command to make certificates"
)


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and its self-signed certificate for 127.0.0.1."""
    directory = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"),
            *("-keyout", "key.pem", "-out", "cert.pem"),
        ],
        cwd=directory,
        check=True,
        capture_output=True,
    )
    both = directory / "both.pem"
    both.write_bytes((directory / "key.pem").read_bytes() + (directory / "cert.pem").read_bytes())
    return both


def context_for(pem: Path, **settings: str) -> ssl.SSLContext:
    texts = {"ssl.keystore.type": "PEM", "ssl.keystore.location": str(pem), "ssl.truststore.type": "PEM"}
    return server_context(
        BrokerConfig({**texts, **{key.replace("_", "."): text for key, text in settings.items()}}), "SSL"
    )


async def connect(running: Running, pem: Path, certificate: bool = False) -> trio.SSLStream[trio.SocketStream]:
    client = ssl.create_default_context(cafile=str(pem.with_name("cert.pem")))
    if certificate:
        client.load_cert_chain(pem)
    stream = trio.SSLStream(await running.connect(), client, server_hostname="127.0.0.1", https_compatible=True)
    await stream.do_handshake()
    return stream


def test_frames_of_all_sizes_come_back(pem: Path) -> None:
    bodies = [os.urandom(size) for size in (0, 1, 16_384, 70_000, 1_000_000, 5)]
    sent = b"".join(map(frame, bodies))

    async def main() -> None:
        async with running_listener(frame, tls=context_for(pem)) as running:
            stream = await connect(running, pem)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stream.send_all, sent)
                assert await receive_exactly(stream, len(sent)) == sent

    trio.run(main)


def test_file_ranges_are_encrypted_on_the_way(pem: Path, tmp_path: Path) -> None:
    content = os.urandom(2_000_000)
    (tmp_path / "file").write_bytes(content)

    async def main() -> None:
        file = RealStorage().open(str(tmp_path / "file"), create=False)
        answer: Callable[[bytes], object] = lambda body: [b"head", FileRange(file, 7, 1_500_000)]  # noqa: E731
        async with running_listener(answer, tls=context_for(pem)) as running:
            stream = await connect(running, pem)
            await stream.send_all(frame(b"x") * 3)
            expected = (b"head" + content[7:1_500_007]) * 3
            assert await receive_exactly(stream, len(expected)) == expected

    trio.run(main)


def test_plain_bytes_on_a_tls_listener_end_that_connection_only(pem: Path) -> None:
    async def main() -> None:
        async with running_listener(frame, tls=context_for(pem)) as running:
            plain = await running.connect()
            await plain.send_all(frame(b"hello") * 10)
            while await plain.receive_some(1000):
                pass
            stream = await connect(running, pem)
            await stream.send_all(frame(b"ok"))
            assert await receive_exactly(stream, 6) == frame(b"ok")

    trio.run(main)


def test_a_client_certificate_is_required_where_the_setting_says_so(pem: Path) -> None:
    async def main() -> None:
        tls = context_for(pem, ssl_client_auth="required", ssl_truststore_location=str(pem.with_name("cert.pem")))
        async with running_listener(frame, tls=tls) as running:
            without = await connect(running, pem)
            with pytest.raises(trio.BrokenResourceError):
                await without.receive_some(1)
            stream = await connect(running, pem, certificate=True)
            await stream.send_all(frame(b"ok"))
            assert await receive_exactly(stream, 6) == frame(b"ok")

    trio.run(main)


def test_a_listener_without_a_certificate_says_what_is_missing() -> None:
    with pytest.raises(InvalidConfigError, match=r"ssl\.keystore\.location"):
        server_context(BrokerConfig({"ssl.keystore.type": "PEM"}), "SSL")
    with pytest.raises(InvalidConfigError, match="PEM"):
        server_context(BrokerConfig({}), "SSL")
