"""Certificates for a TLS listener, made with the openssl command for one run."""

import shutil
import subprocess
from pathlib import Path

from attrs import frozen


@frozen
class Certificates:
    """Files in PEM form. ``keystore`` holds the private key (PKCS#8, no password) and then its certificate."""

    ca: Path
    certificate: Path
    key: Path
    keystore: Path


def make_certificates(directory: Path) -> Certificates | None:
    """A CA and a server certificate for 127.0.0.1 and localhost; None where openssl is missing."""
    openssl = shutil.which("openssl")
    if openssl is None:
        return None
    directory.mkdir(parents=True, exist_ok=True)

    def run(*arguments: str) -> None:
        done = subprocess.run([openssl, *arguments], cwd=directory, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"openssl {' '.join(arguments)}: {done.stderr}")

    ec_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    run("req", "-x509", *ec_key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=compat CA",
        "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip
    run("req", *ec_key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (directory / "san.cnf").write_text(
        "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\nkeyUsage=digitalSignature\n"
    )
    run("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
        "-out", "server.pem", "-extfile", "san.cnf")  # fmt: skip
    keystore = directory / "server-keystore.pem"
    keystore.write_text((directory / "server.key").read_text() + (directory / "server.pem").read_text())
    return Certificates(directory / "ca.pem", directory / "server.pem", directory / "server.key", keystore)
