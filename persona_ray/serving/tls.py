"""TLS of the service: the files that are named in its configuration, and what Serve makes of them.

Serve's proxies hand the files to uvicorn, which asks clients for no certificate even where a CA is
named, and reads the files once. `harden` mends both, in the process of the proxy: it comes with the
middleware of `serving.proxy`, before the proxy listens.
"""

from __future__ import annotations

import inspect
import ssl
import threading
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_ray.errors import ConfigError
from persona_ray.vault.private_file import read as read_private
from persona_ray.watch.logs import log_event, log_exception

if TYPE_CHECKING:
    from persona_ray.config.serving import TlsConfig

_LOOK_EVERY_S = 30.0


def http_options(tls: TlsConfig) -> dict[str, str]:
    """What Serve's `http_options` have of TLS; nothing where there is none.

    Raises ConfigError where a file is missing, is none of its kind, does not fit the others, or
    where the key may be read by others.
    """
    if not tls.certificate:
        return {}
    options = {"ssl_certfile": _file(tls.certificate, "serving.tls.certificate")}
    options["ssl_keyfile"] = _file(tls.key, "serving.tls.key")
    read_private(Path(tls.key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without a phrase it would be asked for at the terminal.
        context.load_cert_chain(tls.certificate, tls.key, password="")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"serving.tls.certificate {tls.certificate} and serving.tls.key {tls.key} are no "
            f"certificate and its key, without a passphrase, in PEM: {error}"
        ) from None
    if tls.client_ca:
        options["ssl_ca_certs"] = _file(tls.client_ca, "serving.tls.client_ca")
        try:
            context.load_verify_locations(tls.client_ca)
        except OSError as error:
            raise ConfigError(
                f"serving.tls.client_ca {tls.client_ca} holds no certificate in PEM: {error}"
            ) from None
    return options


def harden(look_every_s: float = _LOOK_EVERY_S) -> None:
    """From now on uvicorn refuses clients without a certificate of a CA that it was given, speaks
    TLS 1.2 at least, and takes up files that were renewed."""
    from uvicorn import config as uvicorn

    plain = inspect.unwrap(uvicorn.create_ssl_context)

    @wraps(plain)
    def hardened(*args: Any, **kwargs: Any) -> ssl.SSLContext:
        asked = inspect.signature(plain).bind(*args, **kwargs)
        if asked.arguments.get("ca_certs"):
            asked.arguments["cert_reqs"] = ssl.CERT_REQUIRED
        context: ssl.SSLContext = plain(*asked.args, **asked.kwargs)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        files = (asked.arguments["certfile"], asked.arguments["keyfile"])
        renewing = threading.Thread(
            target=_renew, args=(context, *files, look_every_s), name="tls", daemon=True
        )
        renewing.start()
        return context

    uvicorn.create_ssl_context = hardened


def _renew(context: ssl.SSLContext, certificate: str, key: str, look_every_s: float) -> None:
    """Lines that stand keep what they began with; new ones see the new certificate."""
    known = _state(certificate, key)
    while True:
        threading.Event().wait(look_every_s)
        found = _state(certificate, key)
        if found == known:
            continue
        try:
            # A context that is given what does not fit loses what it had.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
            context.load_cert_chain(certificate, key)
        except (OSError, ValueError) as error:
            # Half of them is written: the old ones serve until the rest is.
            log_exception("certificate not taken up", error)
        else:
            known = found
            log_event("certificate renewed")


def _state(*files: str) -> list[tuple[int, int]]:
    try:
        return [(found.st_mtime_ns, found.st_ino) for found in (Path(one).stat() for one in files)]
    except OSError:
        return []


def _file(path: str, key: str) -> str:
    if not Path(path).is_file():
        raise ConfigError(f"{key} {path or '(empty)'} is no file")
    return str(Path(path).resolve())
