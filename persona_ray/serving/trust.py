"""Whom a client of the service trusts, and what it shows of itself."""

from __future__ import annotations

import ssl
from pathlib import Path

from persona_ray.errors import ConfigError, RequestError

# What the other side says of a certificate; other errors of TLS are lines that broke.
_REFUSALS = ("CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE", "WRONG_VERSION")


def trusting(ca_file: Path | None = None, client_cert: Path | None = None) -> ssl.SSLContext:
    """Certificates are checked, by the machine's CAs or those of `ca_file` alone. `client_cert`: a
    certificate and its key in one PEM file, for a service that asks. Raises ConfigError."""
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"--ca-file {ca_file}: no certificates in PEM: {error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if client_cert is not None:
        try:
            context.load_cert_chain(client_cert)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"--client-cert {client_cert}: no certificate with its key in PEM: {error}"
            ) from None
    return context


def of_line(url: str, trust: ssl.SSLContext | None) -> ssl.SSLContext | bool | None:
    """What `websockets` is given for `url`: `trust`, else the machine's CAs; nothing for ws."""
    return (trust or True) if url.startswith("wss:") else None


def distrust(url: str, error: BaseException) -> RequestError | None:
    """What to say where a line failed for a certificate: to come again would not help."""
    # What reads the answer may hear of it first, and only that there is none.
    while error.__cause__ is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__
    if isinstance(error, ssl.SSLCertVerificationError):
        said, fix = error.verify_message, "name the CA that signed it by --ca-file"
    elif isinstance(error, ssl.SSLError) and any(one in str(error) for one in _REFUSALS):
        said = error.reason or "refused"
        fix = "name a certificate that the service knows by --client-cert"
    else:
        return None
    return RequestError("tls.refused", f"{url}: {said}", status=495, fix=fix)
