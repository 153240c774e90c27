"""What the page needs, under ``/api``.

Goals and tasks go through the orchestrator's own A2A handler, so the page can do nothing that
another client cannot.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

from a2a.types import CancelTaskRequest, GetTaskRequest, Message, SendMessageRequest, Task
from google.protobuf.json_format import MessageToDict
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import codin
from codin.agent.a2a import user_message
from codin.errors import InvalidInputError
from codin.gateway.auth import CallContexts, principal_of
from codin.gateway.base import GatewayParts
from codin.gateway.files import download
from codin.gateway.quota import turn_of
from codin.gateway.streams import task_stream
from codin.security import Principal
from codin.task.log import TaskFilter, TaskRow

PAGE_SIZE = 50

B = TypeVar("B", bound=BaseModel)


class Goal(BaseModel):
    """Body of ``POST /api/goals``. ``context_id`` continues a conversation."""

    model_config = ConfigDict(extra="forbid", strict=True)

    goal: str = Field(min_length=1)
    context_id: str = Field(default="", max_length=200)


class Answer(BaseModel):
    """Body of ``POST /api/tasks/{id}/answer``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str = Field(min_length=1)


class PageApi:
    """The handlers behind ``/api``, for one gateway."""

    def __init__(self, parts: GatewayParts) -> None:
        self._parts = parts
        self._orchestrator = parts.orchestrator.handler
        self._contexts = CallContexts()

    def routes(self) -> list[Route]:
        """The routes, with their full paths."""
        return [
            Route("/api/about", self.about, methods=["GET"]),
            Route("/api/goals", self.submit, methods=["POST"]),
            Route("/api/tasks", self.tasks, methods=["GET"]),
            Route("/api/tasks/{id}", self.task, methods=["GET"]),
            Route("/api/tasks/{id}/events", self.events, methods=["GET"]),
            Route("/api/tasks/{id}/cancel", self.cancel, methods=["POST"]),
            Route("/api/tasks/{id}/answer", self.answer, methods=["POST"]),
            Route("/api/tasks/{id}/files", self.files, methods=["GET"]),
            Route("/api/tasks/{id}/files/{path:path}", self.file, methods=["GET"]),
            Route("/api/agents", self.agents, methods=["GET"]),
            Route("/api/tools", self.tools, methods=["GET"]),
        ]

    async def about(self, request: Request) -> Response:
        badge = self._parts.model()
        model = {"label": badge.label, "basic": badge.basic} if badge else None
        return JSONResponse({"version": codin.__version__, "model": model})

    async def submit(self, request: Request) -> Response:
        goal = _parsed(Goal, await request.body())
        if not goal.goal.strip():
            raise InvalidInputError("the goal is empty: say in words what is to be done")
        task = await self._send(request, user_message(goal.goal, context_id=goal.context_id))
        told = {"task_id": task.id, "context_id": task.context_id}
        return JSONResponse(told, status_code=201)

    async def answer(self, request: Request) -> Response:
        given = _parsed(Answer, await request.body())
        message = user_message(given.text, task_id=request.path_params["id"])
        return _task_response(await self._send(request, message))

    async def tasks(self, request: Request) -> Response:
        principal = await self._reader(request)
        page = await self._parts.log.tasks(
            principal,
            TaskFilter(agent_id=self._parts.orchestrator.info.id, roots=True),
            limit=PAGE_SIZE,
            after=_page(request),
        )
        rows = [await self._summary(principal, row) for row in page.tasks]
        following = f"{page.cursor[0]!r}:{page.cursor[1]}" if page.cursor else ""
        return JSONResponse({"tasks": rows, "next": following, "total": page.total})

    async def task(self, request: Request) -> Response:
        asked = GetTaskRequest(id=request.path_params["id"])
        task = await self._orchestrator.on_get_task(asked, self._contexts.build(request))
        return _task_response(task)

    async def cancel(self, request: Request) -> Response:
        asked = CancelTaskRequest(id=request.path_params["id"])
        task = await self._orchestrator.on_cancel_task(asked, self._contexts.build(request))
        return _task_response(task)

    async def events(self, request: Request) -> Response:
        reader = await self._reader(request)
        turn_of(request).stream()
        return await task_stream(
            self._parts.log,
            reader,
            request.path_params["id"],
            after=_cursor(request),
            heartbeat=self._parts.heartbeat_seconds,
        )

    async def files(self, request: Request) -> Response:
        principal = await self._reader(request)
        row = await self._parts.log.task(principal, request.path_params["id"])
        found = await self._parts.workspaces.files(principal, row.goal_id)
        rows = [{"path": f.path, "size": f.size, "media_type": f.media_type} for f in found]
        return JSONResponse({"files": rows})

    async def file(self, request: Request) -> Response:
        principal = await self._reader(request)
        row = await self._parts.log.task(principal, request.path_params["id"])
        path = request.path_params["path"]
        return download(await self._parts.workspaces.open(principal, row.goal_id, path))

    async def agents(self, request: Request) -> Response:
        served = self._parts.agents(principal_of(request))
        fields = ("id", "name", "description", "framework", "tools", "isolation", "trusted")
        rows = [{name: getattr(agent.info, name) for name in fields} for agent in served]
        return JSONResponse({"agents": rows})

    async def tools(self, request: Request) -> Response:
        specs = self._parts.tools(principal_of(request))
        return JSONResponse({"tools": [spec.model_dump(mode="json") for spec in specs]})

    async def _reader(self, request: Request) -> Principal:
        """Who asks for what is read past the orchestrator's handler."""
        principal = principal_of(request)
        await self._parts.access.require(
            principal, "task.read", resource=request.path_params.get("id", "")
        )
        return principal

    async def _send(self, request: Request, message: Message) -> Task:
        asked = SendMessageRequest(message=message)
        asked.configuration.return_immediately = True
        task = await self._orchestrator.on_message_send(asked, self._contexts.build(request))
        assert isinstance(task, Task)  # the orchestrator has no other answer
        return task

    async def _summary(self, principal: Principal, row: TaskRow) -> dict[str, Any]:
        first = await self._parts.log.read(principal, row.task_id, limit=1)
        asked = first[0].body.get("history", [])[:1] if first else []
        goal = "\n".join(part["text"] for m in asked for part in m["parts"] if "text" in part)
        return {
            "id": row.task_id,
            "context_id": row.context_id,
            "goal": goal[:300],
            "state": row.state,
            "created": row.created,
            "updated": row.updated,
        }


def _parsed(kind: type[B], body: bytes) -> B:
    try:
        return kind.model_validate(json.loads(body))
    except ValidationError as error:
        found = error.errors()[0]
        where = ".".join(str(part) for part in found["loc"]) or "the body"
        raise InvalidInputError(f"{where}: {found['msg']}") from None
    except (ValueError, RecursionError):
        wanted = json.dumps(dict.fromkeys(kind.model_fields, "..."))
        raise InvalidInputError(f"the body is no JSON: send one like {wanted}") from None


def _cursor(request: Request) -> int:
    """Where to go on: the header that a browser sends by itself, else the query."""
    given = request.headers.get("last-event-id") or request.query_params.get("after") or "0"
    if not (given.isascii() and given.isdigit() and len(given) < 19):
        raise InvalidInputError(
            f"Last-Event-ID must be a number that a stream gave: {given[:40]!r}"
        )
    return int(given)


def _page(request: Request) -> tuple[float, str] | None:
    given = request.query_params.get("page", "")
    if not given:
        return None
    updated, _, task_id = given.partition(":")
    try:
        return float(updated), task_id
    except ValueError:
        raise InvalidInputError(
            f"page must be the `next` of a page before, not {given[:40]!r}"
        ) from None


def _task_response(task: Any) -> Response:
    return JSONResponse(MessageToDict(task))
