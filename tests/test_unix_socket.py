"""HTTP over Unix sockets."""

import asyncio
import ssl
from pathlib import Path

import httpx
import pytest

from codin.unix_socket import unix_transport


async def test_it_is_plain_http_and_reads_no_certificates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*args: object, **kwargs: object) -> None:
        raise AssertionError("certificates were read, for a socket without TLS")

    monkeypatch.setattr(ssl, "create_default_context", read)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    path = str(tmp_path / "s")
    async with (
        await asyncio.start_unix_server(answer, path),
        httpx.AsyncClient(transport=unix_transport(path), trust_env=False) as client,
    ):
        assert (await client.get("http://service/")).text == "ok"
