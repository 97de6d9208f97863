"""A throwaway certificate for 127.0.0.1, made with openssl."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """PEM files: `certificate` (also its own authority), `key` (PKCS#8), and `both` in one file."""

    certificate: Path
    key: Path
    both: Path


def make_certificate(directory: Path) -> Certificate:
    """Self-signed, P-256, valid for 127.0.0.1 and localhost. Raises CalledProcessError or FileNotFoundError."""
    certificate, key, both = directory / "cert.pem", directory / "key.pem", directory / "both.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "30"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    both.write_text(key.read_text() + certificate.read_text())
    return Certificate(certificate, key, both)
