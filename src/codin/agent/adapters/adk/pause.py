"""Where an ADK run takes place, and what one that waits needs to go on in whatever process."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from a2a.types import Message

from codin.agent._parts import jsonable
from codin.agent.adapters._answer import complaint, fitted
from codin.agent.adapters._message import Attachment, past_with_files
from codin.agent.answers import answer, approves
from codin.agent.base import AgentError, MemoryAccess, Task
from codin.agent.events import InputRequest

CONFIRMATION = "adk_request_confirmation"
INPUT = "adk_request_input"
CREDENTIAL = "adk_request_credential"
READS = ("image", "audio", "video", "application/pdf")
"""Kinds of files that ADK's models may read."""

REQUESTS = frozenset({CONFIRMATION, INPUT, CREDENTIAL})
"""Calls that nobody makes: by them ADK asks."""

_HINT = "by responding with a FunctionResponse"


@dataclass(frozen=True, slots=True)
class Call:
    """A call that waits for an answer from outside."""

    id: str
    name: str
    arguments: dict[str, Any]


@dataclass(slots=True)
class Paused:
    """A session's events and artifacts as JSON, the calls that wait, and their answers so far."""

    user: str
    session: str
    events: list[str]
    artifacts: dict[str, list[str]]
    calls: list[Call]
    answers: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    complaint: str = ""

    @staticmethod
    def load(state: str) -> Paused:
        """What ``request`` gave as state. Raises what is wrong with one that it did not give."""
        given = json.loads(state)
        given["calls"] = [Call(**call) for call in given["calls"]]
        if not given["calls"]:
            raise ValueError("it asks nothing")
        return Paused(**given)

    def request(self) -> InputRequest:
        """The question of the first call that waits."""
        call = self.calls[0]
        kind = {CONFIRMATION: "approval", CREDENTIAL: "auth"}.get(call.name, "input")
        return InputRequest.model_validate(
            {
                "request_id": call.id,
                "prompt": self.complaint + _question(call),
                "answer_schema": _schema(call),
                "request_kind": kind,
                "state": json.dumps({**asdict(self), "complaint": ""}),
            }
        )

    def answered(self, message: Message) -> None:
        """Take ``message`` as the answer to the first call. One that does not fit its schema is
        none: the question is asked again, with the reason in front."""
        call = self.calls[0]
        given, wrong = fitted(answer(message), _schema(call))
        self.complaint = complaint(wrong)
        if not wrong:
            self.calls.pop(0)
            self.answers.append((call.id, call.name, _response(call, given)))

    def content(self) -> Any:
        """The answers as the message that ADK goes on with."""
        from google.genai import types

        responses = [
            types.FunctionResponse(id=call_id, name=name, response=given)
            for call_id, name, given in self.answers
        ]
        return types.Content(
            role="user", parts=[types.Part(function_response=response) for response in responses]
        )


class Place:
    """The services of one run: a session, artifacts and memory that are its own, or the memory
    that the run has of the platform."""

    def __init__(self, app: str, user: str, memory: MemoryAccess | None) -> None:
        from google.adk.artifacts import InMemoryArtifactService
        from google.adk.memory import InMemoryMemoryService
        from google.adk.sessions import InMemorySessionService

        self.user = user
        self.session = uuid.uuid4().hex
        self._app = app
        self._sessions = InMemorySessionService()
        self._artifacts = InMemoryArtifactService()
        self.services = {
            "session_service": self._sessions,
            "artifact_service": self._artifacts,
            "memory_service": InMemoryMemoryService(),
        }
        if memory is not None:
            from codin.agent.adapters.adk.memory import AdkMemoryService

            self.services["memory_service"] = AdkMemoryService(memory.system, scope=memory.scope)

    async def begin(self, task: Task, speaker: str) -> None:
        """Make the session, with the conversation so far."""
        from google.adk.events import Event
        from google.genai import types

        session = await self._create()
        for role, text, files in past_with_files(task, reads=READS):
            mine = role == "assistant"
            parts = parts_of(text, files)
            content = types.Content(role="model" if mine else "user", parts=parts)
            event = Event(
                author=speaker if mine else "user", invocation_id="before", content=content
            )
            await self._sessions.append_event(session, event)

    async def restore(self, paused: Paused) -> list[tuple[str, str]]:
        """Make the session as it was; gives id and name of the calls that were made in it."""
        from google.adk.events import Event
        from google.genai import types

        self.session = paused.session
        session = await self._create()
        events = [Event.model_validate_json(event) for event in paused.events]
        for event in events:
            await self._sessions.append_event(session, event)
        for name, versions in paused.artifacts.items():
            for version in versions:
                part = types.Part.model_validate_json(version)
                await self._artifacts.save_artifact(**self._named(name), artifact=part)
        calls = [call for event in events for call in event.get_function_calls()]
        return [(call.id or "", call.name or "") for call in calls]

    async def paused(self, calls: Sequence[Call]) -> Paused:
        """What has to be kept while ``calls`` wait.

        Raises:
            AgentError: the session cannot be stored.
        """
        where = {"app_name": self._app, "user_id": self.user, "session_id": self.session}
        artifacts: dict[str, list[str]] = {}
        for name in await self._artifacts.list_artifact_keys(**where):
            numbers = await self._artifacts.list_versions(**self._named(name))
            parts = [await self.artifact(name, number) for number in sorted(numbers)]
            artifacts[name] = [p.model_dump_json(exclude_none=True) for p in parts if p]
        return Paused(
            user=self.user,
            session=self.session,
            events=await self._events(),
            artifacts=artifacts,
            calls=list(calls),
        )

    async def _events(self) -> list[str]:
        try:
            session = await self._sessions.get_session(
                app_name=self._app, user_id=self.user, session_id=self.session
            )
            return [event.model_dump_json(exclude_none=True) for event in session.events]
        except (TypeError, ValueError) as error:
            raise AgentError(
                f"the agent cannot wait for an answer, for its session cannot be stored: {error}; "
                "keep in it and give only what can be serialised"
            ) from error

    async def artifact(self, name: str, version: int) -> Any:
        """One version of an artifact, as a part; None when there is none."""
        return await self._artifacts.load_artifact(**self._named(name), version=version)

    def _named(self, name: str) -> dict[str, str]:
        return {
            "app_name": self._app,
            "user_id": self.user,
            "session_id": self.session,
            "filename": name,
        }

    async def _create(self) -> Any:
        return await self._sessions.create_session(
            app_name=self._app, user_id=self.user, session_id=self.session
        )


def parts_of(text: str, files: Sequence[Attachment]) -> list[Any]:
    """What a message says, and its files, as ADK's parts."""
    from google.genai import types

    parts = [types.Part(text=text)] if text else []
    for file in files:
        if file.url:
            parts.append(types.Part.from_uri(file_uri=file.url, mime_type=file.media_type))
        else:
            parts.append(types.Part.from_bytes(data=file.raw or b"", mime_type=file.media_type))
    return parts


def _question(call: Call) -> str:
    if call.name == CONFIRMATION:
        confirmation = call.arguments.get("toolConfirmation") or {}
        original = call.arguments.get("originalFunctionCall") or {}
        called = _called(original.get("name"), original.get("args") or {})
        hint = str(confirmation.get("hint") or "")
        # ADK's own hint is for programs.
        return f"{hint} ({called})" if hint and _HINT not in hint else f"Approve {called}?"
    if call.name == CREDENTIAL:
        return _credential(call)
    for key in ("question", "prompt", "message"):
        if isinstance(call.arguments.get(key), str):
            return str(call.arguments[key])
    return f"{_called(call.name, call.arguments)} waits for its result"


def _called(name: Any, arguments: Any) -> str:
    return f"{name}({json.dumps(jsonable(arguments))})"


def _credential(call: Call) -> str:
    config = call.arguments.get("authConfig") or {}
    oauth = (config.get("exchangedAuthCredential") or {}).get("oauth2") or {}
    if address := oauth.get("authUri"):
        return f"Sign in at {address}, and answer with the address that you are sent back to."
    scheme = (config.get("authScheme") or {}).get("type", "")
    return f"A tool needs credentials ({scheme}): answer with ADK's AuthConfig as data."


def _schema(call: Call) -> dict[str, Any] | None:
    given = call.arguments.get("response_schema", call.arguments.get("responseSchema"))
    return given if call.name == INPUT and isinstance(given, dict) else None


def _response(call: Call, given: Any) -> dict[str, Any]:
    if call.name == CONFIRMATION and not isinstance(given, dict):
        return {"confirmed": approves(given)}
    if call.name == CREDENTIAL and isinstance(given, str):
        config = json.loads(json.dumps(call.arguments.get("authConfig") or {}))
        exchanged = config.setdefault("exchangedAuthCredential", {})
        exchanged.setdefault("oauth2", {})["authResponseUri"] = given
        return dict(config)
    return given if isinstance(given, dict) else {"result": given}
