"""Tokens and keys: who may run code on the cluster, ask the service, open what is sealed."""

from __future__ import annotations

import os
from pathlib import Path

from persona_ray.config import RunConfig
from persona_ray.corpus.sealing import SealedCorpus
from persona_ray.errors import VaultError
from persona_ray.launch.doctor.databases import answering
from persona_ray.launch.doctor.finding import NotWellError, not_applicable, warning
from persona_ray.store.keys import KeyRepository
from persona_ray.store.migrating import EMPTY, Schema
from persona_ray.store.screening.sealed import SealedPrints
from persona_ray.store.urls import expand_url
from persona_ray.vault.keys import VARIABLE, ring_of
from persona_ray.vault.seal import PLAIN, Vault

_MODE, _TOKEN, _TOKEN_FILE = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
LOOPBACK = ("127.", "localhost", "[::1]", "::1")
REFUSED = "UNAUTHENTICATED"
_KNOCK_S = 3.0
_HERE = ("", "local", "auto")


def token(config: RunConfig) -> str:
    """Ray's token authentication, as this process is set; whether the cluster accepts the token is
    told by the check `ray`."""
    mode = os.environ.get(_MODE, "")
    address = _address(config)
    here = address in _HERE or address.removeprefix("ray://").startswith(LOOPBACK)
    if mode != "token":
        if here:
            raise not_applicable(f"{_MODE} is {mode or 'not set'}; the cluster is this machine's")
        raise warning(
            f"{_MODE} is {mode or 'not set'}: whoever reaches {address} can run code there",
            f"start the cluster with {_MODE}=token, and give its token as {_TOKEN_FILE}",
        )
    if os.environ.get(_TOKEN):
        return f"{_MODE}=token, the token in {_TOKEN}"
    path = _token_file()
    try:
        written = path.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise NotWellError(
            f"{_MODE}=token, and no token: {path}: {error.strerror}",
            f"put the cluster's into a file and name it in {_TOKEN_FILE}",
        ) from None
    if not written:
        raise NotWellError(f"{path} is empty", "put the cluster's token into it")
    if path.stat().st_mode & 0o077:
        raise warning(f"others of this machine may read {path}", f"chmod 600 {path}")
    return f"{_MODE}=token, the token in {path}"


def token_of() -> str:
    """What this process shows to a cluster; empty: nothing."""
    if os.environ.get(_MODE) != "token":
        return ""
    try:
        return os.environ.get(_TOKEN) or _token_file().read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def knock(address: str, shown: str) -> str:
    """What a head says to who shows this token (empty: none): OK, REFUSED or another name of a gRPC
    status."""
    import grpc

    with grpc.insecure_channel(address) as channel:
        ask = channel.unary_unary("/ray.rpc.NodeInfoGcsService/CheckAlive")
        try:
            ask(
                b"", timeout=_KNOCK_S, metadata=[("authorization", f"Bearer {shown}")] * bool(shown)
            )
        except grpc.RpcError as error:
            return str(error.code().name)
    return "OK"


def keys(config: RunConfig) -> str:
    """The service has a key to be asked with."""
    if not config.serving.keys.required:
        if config.serving.host.startswith(LOOPBACK):
            return "serving.keys.required is false; only this machine is answered"
        raise NotWellError(
            f"serving.keys.required is false and serving.host is {config.serving.host}",
            "set it to true, and make keys: `persona-ray keys create NAME --scope recognise`",
        )
    url = expand_url(config.store_url)
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists():
        raise not_applicable("there is no store yet, and so no key")
    with answering(url) as found:
        with found.read() as session:
            if Schema().current(session.connection(), str(found)) == EMPTY:
                raise not_applicable("the store is empty, and so there is no key")
        now = found.now()
        count = sum(key.state(now) == "valid" for key in KeyRepository(found).all())
    if not count:
        raise warning(
            "no key is valid: the service would refuse everybody",
            "`persona-ray keys create NAME --scope recognise`",
        )
    return f"{count} valid key(s)"


def vault(config: RunConfig) -> str:
    """The ring has the keys that sealed the store's voiceprints and the corpus."""
    if not config.privacy.vault.sealed:
        raise not_applicable("privacy.vault.sealed is empty")
    ring, needed = ring_of(config), _sealed_by(config)
    if not ring.path.exists():
        try:
            ring.check_not_lost()
        except VaultError as error:
            said, _, fix = str(error).partition(": ")
            raise NotWellError(said, fix) from None
        if not (needed or config.privacy.vault.keys or os.environ.get(VARIABLE)):
            raise not_applicable(f"{ring.path} is made when something is sealed")
        raise NotWellError(
            f"{ring.path} is not there: what is sealed cannot be opened",
            "mount it, or put it back from where the keys are kept",
        )
    found = ring.all()
    try:
        Vault(ring).require(needed)
    except VaultError as error:
        raise NotWellError(
            str(error), "`persona-ray vault status` tells what the missing key sealed"
        ) from None
    return f"{ring.path}: {len(found)} key(s), its owner's alone; none is missing"


def _sealed_by(config: RunConfig) -> set[str]:
    """Ids of the keys that sealed something in the corpus or the store. A store of an older schema
    is not asked: the check `database` tells of it."""
    needed = set(SealedCorpus(config.corpus_dir, PLAIN).by_key())
    url = expand_url(config.store_url)
    if url.get_backend_name() != "sqlite" or Path(str(url.database)).exists():
        schema = Schema()
        with answering(url) as found:
            with found.read() as session:
                revision = schema.current(session.connection(), str(found))
            if revision == schema.head:
                needed |= set(SealedPrints(found, PLAIN).by_key())
    return needed - {""}


def _address(config: RunConfig) -> str:
    return config.launch.address or os.environ.get("RAY_ADDRESS", "")


def _token_file() -> Path:
    return Path(os.environ.get(_TOKEN_FILE) or Path.home() / ".ray" / "auth_token")
