"""What Agno's tools and models make besides text, told to a run."""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
import uuid
from typing import Any

from pydantic import BaseModel

from codin.agent._parts import jsonable
from codin.agent.adapters._run import Run
from codin.agent.base import AgentError
from codin.agent.events import ArtifactProduced

_KINDS = {"files": "application", "images": "image", "audio": "audio", "videos": "video"}


class Files:
    """The files and the data of a run; each is told once, whoever repeats it."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._told: set[str] = set()

    async def tell(self, event: Any) -> None:
        """What ``event`` says was made."""
        for attribute, kind in _KINDS.items():
            for media in getattr(event, attribute, None) or []:
                await self._file(media, kind)

    async def tell_data(self, content: Any) -> None:
        """The output of a run that is no text."""
        name = type(content).__name__ if isinstance(content, BaseModel) else "output"
        await self._run.emit(
            ArtifactProduced(
                artifact_id=uuid.uuid4().hex,
                name=name,
                media_type="application/json",
                data=jsonable(content),
            )
        )

    async def _file(self, media: Any, kind: str) -> None:
        name = getattr(media, "filename", None) or getattr(media, "name", None) or ""
        raw = await _bytes(media, name)
        url = media.url if raw is None else None
        mark = hashlib.sha256(raw if raw is not None else (url or "").encode()).hexdigest()
        if mark in self._told or (raw is None and not url):
            return
        self._told.add(mark)
        await self._run.emit(
            ArtifactProduced(
                artifact_id=media.id or uuid.uuid4().hex,
                name=name,
                media_type=_media_type(media, kind, name),
                raw=raw,
                url=url,
            )
        )


async def _bytes(media: Any, name: str) -> bytes | None:
    content = media.content
    if isinstance(content, str):
        return content.encode()
    if isinstance(content, bytes):
        return content
    if media.filepath is None:
        return None
    try:
        return await asyncio.to_thread(_read, media.filepath)
    except OSError as error:
        raise AgentError(
            f"the file {name or media.filepath!r} that a tool gave cannot be read: {error}"
        ) from error


def _read(path: Any) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _media_type(media: Any, kind: str, name: str) -> str:
    if media.mime_type:
        return str(media.mime_type)
    if media.format and "/" in str(media.format):
        return str(media.format)
    guess = mimetypes.guess_type(name or f"x.{media.format}")[0]
    return guess or (f"{kind}/{media.format}" if media.format else "application/octet-stream")
