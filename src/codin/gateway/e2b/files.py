"""envd's ``/files``: whole files in and out, and ``/health``."""

from __future__ import annotations

import asyncio
import posixpath
import zlib
from collections.abc import AsyncGenerator

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from codin.gateway.e2b.body import body_of
from codin.gateway.e2b.errors import BadRequest, NotServed, TooLarge, WrongMediaType
from codin.gateway.e2b.paths import absolute, check_user, sandbox_of
from codin.gateway.e2b.sandboxes import SandboxService
from codin.gateway.e2b.streaming import MessageStream
from codin.gateway.headers import FILE_POLICY
from codin.gateway.responses import FastJson

_CHUNK = 256 * 1024
_MULTIPART_OVERHEAD = 64 * 1024


async def _health(_: Request) -> Response:
    return Response(status_code=204)


async def _read(request: Request) -> Response:
    path = _path(request)
    fs = sandbox_of(request).sandbox.fs
    if (await fs.stat(path)).is_dir:
        raise BadRequest(f"path is a directory: {path}")
    turn = _transfers(request)
    await turn.acquire()
    try:
        data = await fs.read(path)
    except BaseException:
        turn.release()
        raise
    answer = MessageStream(_chunks(data), media_type="application/octet-stream", over=turn.release)
    answer.headers["content-length"] = str(len(data))
    answer.headers["content-security-policy"] = FILE_POLICY
    answer.headers["content-disposition"] = "attachment"
    return answer


async def _chunks(data: bytes) -> AsyncGenerator[bytes, None]:
    view = memoryview(data)
    for start in range(0, len(data), _CHUNK):
        yield bytes(view[start : start + _CHUNK])


async def _write(request: Request) -> Response:
    if any(name.lower().startswith("x-metadata-") for name in request.headers):
        raise NotServed("metadata of files is not implemented by this service")
    fs = sandbox_of(request).sandbox.fs
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in {"application/octet-stream", "multipart/form-data"}:
        raise WrongMediaType(
            f"send application/octet-stream or multipart/form-data, not {media_type[:60]!r}"
        )
    async with _transfers(request):
        if media_type == "multipart/form-data":
            files = await _parts(request)
        else:
            files = [(_path(request), await _octets(request))]
        for path, data in files:
            await fs.write(path, data)
    names = [path for path, _ in files]
    return FastJson(
        [{"name": posixpath.basename(path), "type": "file", "path": path} for path in names]
    )


def _transfers(request: Request) -> asyncio.Semaphore:
    service: SandboxService = request.app.state.service
    return service.transfers(sandbox_of(request).owner)


async def _octets(request: Request) -> bytes:
    most = _most(request)
    body = await body_of(request, most)
    encoding = request.headers.get("content-encoding", "identity")
    if encoding == "identity":
        return body
    if encoding != "gzip":
        raise WrongMediaType(f"the content-encoding is gzip or none, not {encoding[:20]!r}")
    unpacking = zlib.decompressobj(wbits=31)
    try:
        data = unpacking.decompress(body, most)
    except zlib.error as error:
        raise BadRequest(f"the body is no gzip: {error}") from None
    if unpacking.unconsumed_tail:
        raise TooLarge(f"unpacked, the file is larger than the {most:,} bytes allowed")
    if not unpacking.eof:
        raise BadRequest("the gzip body ends too early")
    return data


async def _parts(request: Request) -> list[tuple[str, bytes]]:
    """The files of a form: at the path of the query, or where each says by its name."""
    from starlette.formparsers import MultiPartException, MultiPartParser

    body = await body_of(request, _most(request) + _MULTIPART_OVERHEAD)

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    check_user(request, request.query_params.get("username"))
    single = request.query_params.get("path")
    files: list[tuple[str, bytes]] = []
    try:
        form = await MultiPartParser(request.headers, stream()).parse()
    except MultiPartException as error:
        raise BadRequest(f"the form cannot be read: {error.message}") from None
    try:
        uploads = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        if single is not None and len(uploads) > 1:
            raise BadRequest("a path was given, and more than one file")
        for upload in uploads:
            path = single if single is not None else upload.filename or ""
            if not path:
                raise BadRequest("a file has no path: give one by ?path= or as its file name")
            files.append((absolute(path), await upload.read()))
    finally:
        await form.close()
    if not files:
        raise BadRequest("the form has no file")
    return files


def _most(request: Request) -> int:
    return int(request.app.state.upload_bytes)


def _path(request: Request) -> str:
    check_user(request, request.query_params.get("username"))
    path = request.query_params.get("path")
    if not path:
        raise BadRequest("say which file, by ?path=")
    return absolute(path)


ROUTES = [
    Route("/health", _health, methods=["GET"]),
    Route("/files", _read, methods=["GET"]),
    Route("/files", _write, methods=["POST"]),
]
