"""What the page needs, under ``/api``.

Goals and tasks go through the orchestrator's own A2A handler, so the page can do nothing that
another client cannot. ``/api/openapi.json`` describes all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from a2a.types import CancelTaskRequest, GetTaskRequest, Message, SendMessageRequest, Task
from google.protobuf.json_format import MessageToDict
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import codin
from codin.agent.a2a import user_message
from codin.agent.answers import answering
from codin.agent.base import AgentInfo
from codin.agent.host.process import HostState
from codin.agent.planning.edits import PlanEdit
from codin.errors import NotFoundError
from codin.gateway.api_models import (
    About,
    AgentEntry,
    Agents,
    Answer,
    Begun,
    Document,
    EventsHeaders,
    EventsQuery,
    FileEntry,
    Files,
    Goal,
    LeftOut,
    Letter,
    LetterPage,
    LettersQuery,
    Model,
    TaskPage,
    TasksQuery,
    TaskSummary,
    Tools,
    ToolsQuery,
)
from codin.gateway.auth import CallContexts, principal_of
from codin.gateway.base import GatewayParts
from codin.gateway.files import content_download, download
from codin.gateway.memory_api import MemoryApi
from codin.gateway.openapi import Call, Endpoint, Media, document
from codin.gateway.proto_schema import message_schemas
from codin.gateway.quota import turn_of
from codin.gateway.streams import task_stream
from codin.security import Principal
from codin.task.errors import UnknownArtifact
from codin.task.log import TaskFilter, TaskRow
from codin.tool.base import ToolSpec

PAGE_SIZE = 50
_READY = HostState("ready")

_TASK = Media("application/json", Task.DESCRIPTOR.name)
"""A2A's own, as GetTask gives it."""


class PageApi:
    """The handlers behind ``/api``, for one gateway."""

    def __init__(self, parts: GatewayParts) -> None:
        self._parts = parts
        self._orchestrator = parts.orchestrator.handler
        self._contexts = CallContexts()

    def routes(self) -> list[Route]:
        """The routes, with their full paths."""
        return [endpoint.route() for endpoint in self.endpoints]

    @cached_property
    def endpoints(self) -> list[Endpoint]:
        """All that there is under ``/api``."""
        return [
            *self._about_the_platform(),
            Endpoint("POST", "/api/goals", self.submit, "Begin a goal.", Begun, 201, body=Goal),
            Endpoint("GET", "/api/tasks", self.tasks, "Goals, the latest first.", TaskPage,
                     query=TasksQuery),
            Endpoint("GET", "/api/tasks/{id}", self.task, "A task as A2A has it.", _TASK,
                     errors=[404]),
            Endpoint("GET", "/api/tasks/{id}/events", self.events, "A task's events as a stream.",
                     Media("text/event-stream"), query=EventsQuery, headers=EventsHeaders,
                     errors=[404]),
            Endpoint("POST", "/api/tasks/{id}/cancel", self.cancel, "Cancel a task.", _TASK,
                     errors=[404, 409]),
            Endpoint("POST", "/api/tasks/{id}/plan", self.edit_plan, "Change the plan of a goal.",
                     _TASK, body=PlanEdit, errors=[400, 404, 409]),
            Endpoint("POST", "/api/tasks/{id}/pause", self.pause, "Have a task go no further.",
                     _TASK, errors=[404, 409]),
            Endpoint("POST", "/api/tasks/{id}/resume", self.resume, "Have a paused task go on.",
                     _TASK, errors=[404, 409]),
            Endpoint("POST", "/api/tasks/{id}/answer", self.answer, "Answer a task's question.",
                     _TASK, body=Answer, errors=[404, 409]),
            Endpoint("GET", "/api/tasks/{id}/files", self.files, "A task's files.", Files,
                     errors=[404]),
            Endpoint("GET", "/api/tasks/{id}/files/{path:path}", self.file, "A file, to keep.",
                     Media("*/*"), errors=[404]),
            Endpoint("GET", "/api/artifacts/{id}", self.artifact,
                     "A large content of one's tasks, by its digest.", Media("*/*"), errors=[404]),
            Endpoint("GET", "/api/push/dead-letters", self.letters,
                     "Push notifications that could not be delivered.", LetterPage,
                     query=LettersQuery, errors=[404]),
            *MemoryApi(self._parts).endpoints,
        ]  # fmt: skip

    def _about_the_platform(self) -> list[Endpoint]:
        return [
            Endpoint("GET", "/api/about", self.about, "What serves the page.", About),
            Endpoint("GET", "/api/openapi.json", self.openapi, "This document.", Document),
            Endpoint("GET", "/api/agents", self.agents, "The agents that one may use.", Agents),
            Endpoint(
                "GET",
                "/api/tools",
                self.tools,
                "The tools that one may use.",
                Tools,
                query=ToolsQuery,
                errors=[404],
            ),
        ]

    @cached_property
    def document(self) -> Document:
        """The OpenAPI document of the endpoints."""
        found = document(
            self.endpoints,
            title="codin: the API of its page",
            version=codin.__version__,
            schemas=message_schemas(Task.DESCRIPTOR),
        )
        return Document.model_validate(found)

    async def openapi(self, call: Call) -> Document:
        return self.document

    async def about(self, call: Call) -> About:
        badge = self._parts.model()
        model = Model(label=badge.label, basic=badge.basic) if badge else None
        return About(version=codin.__version__, model=model)

    async def submit(self, call: Call) -> Begun:
        goal: Goal = call.body
        task = await self._send(call, user_message(goal.goal, context_id=goal.context_id))
        return Begun(task_id=task.id, context_id=task.context_id)

    async def answer(self, call: Call) -> Response:
        given: Answer = call.body
        message = answering(given.text, call.id, given.question)
        return _task_response(await self._send(call, message))

    async def tasks(self, call: Call) -> TaskPage:
        principal = await self._reader(call)
        query: TasksQuery = call.query
        updated, _, task_id = query.page.partition(":")
        page = await self._parts.log.tasks(
            principal,
            TaskFilter(agent_id=self._parts.orchestrator.info.id, roots=True),
            limit=PAGE_SIZE,
            after=(float(updated), task_id) if query.page else None,
        )
        rows = [await self._summary(principal, row) for row in page.tasks]
        following = f"{page.cursor[0]!r}:{page.cursor[1]}" if page.cursor else ""
        return TaskPage(tasks=rows, next=following, total=page.total)

    async def task(self, call: Call) -> Response:
        context = self._contexts.build(call.request)
        return _task_response(
            await self._orchestrator.on_get_task(GetTaskRequest(id=call.id), context)
        )

    async def cancel(self, call: Call) -> Response:
        context = self._contexts.build(call.request)
        return _task_response(
            await self._orchestrator.on_cancel_task(CancelTaskRequest(id=call.id), context)
        )

    async def edit_plan(self, call: Call) -> Response:
        context = self._contexts.build(call.request)
        agents = [served.info for served in self._parts.agents(principal_of(call.request))]
        await self._orchestrator.edit_plan(call.id, call.body, agents, context)
        return await self.task(call)

    async def pause(self, call: Call) -> Response:
        return await self._paused(call, paused=True)

    async def resume(self, call: Call) -> Response:
        return await self._paused(call, paused=False)

    async def _paused(self, call: Call, *, paused: bool) -> Response:
        context = self._contexts.build(call.request)
        await self._orchestrator.pause(call.id, context, paused=paused)
        return await self.task(call)

    async def events(self, call: Call) -> Response:
        reader = await self._reader(call)
        turn_of(call.request).stream()
        headers: EventsHeaders = call.headers
        return await task_stream(
            self._parts.log,
            reader,
            call.id,
            after=int(headers.last_event_id or call.query.after),
            heartbeat=self._parts.heartbeat_seconds,
        )

    async def files(self, call: Call) -> Files:
        principal = await self._reader(call)
        row = await self._parts.log.task(principal, call.id)
        found = await self._parts.workspaces.files(principal, row.goal_id)
        return Files(
            files=[FileEntry(path=f.path, size=f.size, media_type=f.media_type) for f in found]
        )

    async def file(self, call: Call) -> Response:
        principal = await self._reader(call)
        row = await self._parts.log.task(principal, call.id)
        path = call.request.path_params["path"]
        return download(await self._parts.workspaces.open(principal, row.goal_id, path))

    async def artifact(self, call: Call) -> Response:
        principal = await self._reader(call)
        artifacts = self._parts.log.artifacts
        if artifacts is None:
            raise UnknownArtifact(call.id)
        return content_download(await artifacts.read(principal, call.id))

    async def agents(self, call: Call) -> Agents:
        principal = principal_of(call.request)
        states = await self._parts.states()
        allows = self._parts.access.authorizer.allows
        # reasons have paths and output of this machine in them
        sees_all = allows(principal, "platform.read")
        rows = [
            _agent(served.info, states.get(served.info.id, _READY), reasons=sees_all)
            for served in self._parts.agents(principal)
        ]
        left = self._parts.problems() if sees_all else ()
        return Agents(agents=rows, left_out=[LeftOut(source=s, reason=r) for s, r in left])

    async def tools(self, call: Call) -> Tools:
        principal = principal_of(call.request)
        query: ToolsQuery = call.query
        found = await self._tools(principal, query.search.strip())
        first = int(query.page or 0)
        following = first + int(query.limit or len(found))
        return Tools(
            tools=list(found[first:following]),
            next=str(following) if following < len(found) else "",
            total=len(found),
        )

    async def letters(self, call: Call) -> LetterPage:
        principal = principal_of(call.request)
        query: LettersQuery = call.query
        await self._parts.access.require(principal, "task.push", resource=query.task)
        if self._parts.push is None:
            raise NotFoundError("no push notifications are sent here")
        page = await self._parts.push.dead_letters(
            principal,
            task_id=query.task or None,
            limit=PAGE_SIZE,
            after=int(query.page) if query.page else None,
        )
        letters = [Letter.model_validate(letter) for letter in page.letters]
        return LetterPage(letters=letters, next="" if page.cursor is None else str(page.cursor))

    async def _tools(self, principal: Principal, words: str) -> Sequence[ToolSpec]:
        if not words:
            return self._parts.tools(principal)
        if self._parts.find_tools is None:
            raise NotFoundError("tools are not searched here: ask for all of them")
        return await self._parts.find_tools(principal, words)

    async def _reader(self, call: Call) -> Principal:
        """Who asks for what is read past the orchestrator's handler."""
        principal = principal_of(call.request)
        resource = call.request.path_params.get("id", "")
        await self._parts.access.require(principal, "task.read", resource=resource)
        return principal

    async def _send(self, call: Call, message: Message) -> Task:
        asked = SendMessageRequest(message=message)
        asked.configuration.return_immediately = True
        context = self._contexts.build(call.request)
        task = await self._orchestrator.on_message_send(asked, context)
        assert isinstance(task, Task)  # the orchestrator has no other answer
        return task

    async def _summary(self, principal: Principal, row: TaskRow) -> TaskSummary:
        first = await self._parts.log.read(principal, row.task_id, limit=1)
        asked = first[0].body.get("history", [])[:1] if first else []
        goal = "\n".join(part["text"] for m in asked for part in m["parts"] if "text" in part)
        return TaskSummary(
            id=row.task_id,
            context_id=row.context_id,
            goal=goal[:300],
            state=row.state,
            created=row.created,
            updated=row.updated,
            paused=row.paused,
        )


def _agent(info: AgentInfo, state: HostState, *, reasons: bool) -> AgentEntry:
    return AgentEntry(
        id=info.id,
        name=info.name,
        description=info.description,
        framework=info.framework,
        version=info.version,
        environment=info.environment,
        tools=info.tools,
        isolation=info.isolation,
        trusted=info.trusted,
        state=state.status,
        reason=state.reason if reasons else "",
        address=f"/agents/{info.id}/",
    )


def _task_response(task: Task | None) -> Response:
    assert task is not None  # the handler says so itself
    return JSONResponse(MessageToDict(task))
