"""The platform's servers, as the settings say: HTTP, and gRPC where it is asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from codin.config import ConfigError, ServerSettings, Settings
from codin.gateway.address import check_encrypted, check_guarded, parsed_address
from codin.gateway.app import create_app
from codin.gateway.base import GatewayParts
from codin.gateway.server import HttpServer

if TYPE_CHECKING:
    import grpc


@dataclass(frozen=True, slots=True)
class Served:
    """Where the platform is: its URL, and ``host:port`` of its gRPC server if there is one."""

    url: str
    grpc: str | None


def check_server(settings: ServerSettings, *, guarded: bool) -> None:
    """Return when the platform may be served so; before anything is started.

    Raises:
        UnsafeAddress: others could come in, and nobody would be asked.
        ConfigError: it is not said where others reach it, or the certificate cannot be read.
    """
    address = parsed_address(settings.host)
    check_guarded(address, guarded=guarded)
    if address.is_unspecified and settings.public_url is None:
        raise ConfigError(
            f"{settings.host} is every address of this machine, and cards have to name one: say by"
            " which others reach it, as in --public-url https://agents.example.org"
        )
    if settings.grpc_port is not None:
        check_encrypted(address, secure=settings.certificate is not None)
    for file in (settings.certificate, settings.certificate_key):
        if file is not None:
            _read(file)


def is_plain(settings: ServerSettings) -> bool:
    """Whether others reach the gateway, and by all that the settings say not over TLS."""
    secure = settings.address.startswith("https://")
    return not secure and not parsed_address(settings.host).is_loopback


@asynccontextmanager
async def with_e2b(parts: GatewayParts, settings: Settings) -> AsyncIterator[GatewayParts]:
    """``parts``, with the service of sandboxes until the block is left, where the settings have
    it."""
    if not settings.e2b.enabled:
        yield parts
        return
    from codin.gateway.e2b import open_e2b
    from codin.gateway.sandboxes import local_provider

    provider = local_provider(settings)
    guarded = settings.security.auth
    try:
        async with open_e2b(settings.e2b, parts.access, provider, guarded=guarded) as mount:
            yield replace(parts, e2b=mount)
    finally:
        await provider.close()


@asynccontextmanager
async def serve(
    parts: GatewayParts, settings: ServerSettings, *, guarded: bool
) -> AsyncIterator[Served]:
    """Serve ``parts`` until the block is left.

    Raises:
        GatewayError: it cannot be served there.
        ConfigError: as ``check_server``.
    """
    check_server(settings, guarded=guarded)
    pair = settings.certificate, settings.certificate_key
    certificate = (pair[0], pair[1]) if pair[0] and pair[1] else None
    web = HttpServer(
        create_app(parts),
        host=settings.host,
        port=settings.port,
        guarded=guarded,
        certificate=certificate,
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(web)
        if settings.grpc_port is None:
            yield Served(web.url, None)
            return
        from codin.gateway.grpc import GrpcServer

        grpc_server = GrpcServer(
            parts,
            host=settings.host,
            port=settings.grpc_port,
            credentials=_credentials(certificate) if certificate else None,
            public_address=_public_address(settings),
            web_url=settings.public_url or web.url,
        )
        await stack.enter_async_context(grpc_server)
        yield Served(web.url, grpc_server.address)


def _public_address(settings: ServerSettings) -> str | None:
    """Where others reach the gRPC server: the public host, at the port that it has here."""
    if settings.public_url is None or not settings.grpc_port:
        return None
    host = urlsplit(settings.public_url).netloc.rpartition("@")[2]
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return f"{name}:{settings.grpc_port}"


def _credentials(certificate: tuple[Path, Path]) -> grpc.ServerCredentials:
    import grpc

    chain, key = (_read(file) for file in certificate)
    return grpc.ssl_server_credentials([(key, chain)])


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"the certificate {file} cannot be read: {error.strerror}") from None
