"""What the page's API reads and answers."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from codin.gateway.openapi import Parameters
from codin.tool.base import ToolSpec

# Readers of JSON Schema differ in what \s has: these are blank for one of them.
_WORD = r"[^\s\u001c-\u001f\u0085\ufeff]"


def _said(text: str) -> str:
    if not re.search(_WORD, text):
        raise ValueError("it is empty: say in words what is to be done")
    text.encode()  # half a character, as JSON can write it, is none
    return text


Said = Annotated[str, AfterValidator(_said), Field(json_schema_extra={"pattern": _WORD})]
"""A text in which something is said."""


class Goal(BaseModel):
    """Body of ``POST /api/goals``. ``context_id`` continues a conversation."""

    model_config = ConfigDict(extra="forbid", strict=True)

    goal: Said
    context_id: str = Field(
        default="", max_length=200, json_schema_extra={"pattern": "^[^\\u0000]*$"}
    )


class Answer(BaseModel):
    """Body of ``POST /api/tasks/{id}/answer``. ``question`` is the ``request_id`` of what is
    answered: given, nothing that is asked by now instead is."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: Said
    question: str = Field(
        default="", max_length=256, json_schema_extra={"pattern": "^[^\\u0000]*$"}
    )


class TasksQuery(Parameters):
    """``page`` is the ``next`` of the page before."""

    page: str = Field(default="", pattern=r"^([0-9]{1,15}(\.[0-9]{1,20})?:[0-9A-Za-z._-]{1,256})?$")


class LettersQuery(Parameters):
    """``page`` is the ``next`` of the page before; ``task`` the id of the task that they are of."""

    page: str = Field(default="", pattern=r"^[0-9]{0,18}$")
    task: str = Field(default="", max_length=256)


class ToolsQuery(Parameters):
    """``search`` asks for those that fit some words, the best first; ``limit`` for so many on a
    page, and without it all are on one. ``page`` is the ``next`` of the page before."""

    search: str = Field(default="", max_length=1_000)
    limit: str = Field(default="", pattern=r"^([1-9][0-9]{0,3})?$")
    page: str = Field(default="", pattern=r"^[0-9]{0,6}$")


class EventsQuery(Parameters):
    """``after`` is the number of the last event that was seen."""

    after: str = Field(default="0", pattern=r"^[0-9]{1,18}$")


class EventsHeaders(Parameters):
    """A browser sends by itself what it saw last; it goes before ``after``."""

    last_event_id: str = Field(default="", alias="last-event-id", pattern=r"^[0-9]{0,18}$")


class Model(BaseModel):
    """The language model in use. ``basic`` marks the embedded one."""

    label: str
    basic: bool


class About(BaseModel):
    """What serves the page."""

    version: str
    model: Model | None


class Begun(BaseModel):
    """A goal that is in the log."""

    task_id: str
    context_id: str


class TaskSummary(BaseModel):
    """A goal in the list; times are in seconds since the epoch."""

    id: str
    context_id: str
    goal: str
    state: str
    created: float
    updated: float
    paused: bool = False


class TaskPage(BaseModel):
    """``next`` asks for the page after this one; empty, there is none."""

    tasks: list[TaskSummary]
    next: str
    total: int


class FileEntry(BaseModel):
    """A file of a goal; ``size`` in bytes."""

    path: str
    size: int
    media_type: str


class Files(BaseModel):
    """The files of a goal."""

    files: list[FileEntry]


class AgentEntry(BaseModel):
    """An agent that the caller may use. ``version`` is its framework's, in its ``environment``;
    ``address`` its A2A endpoint, relative to the gateway, and ``reason`` why it is not ready."""

    id: str
    name: str
    description: str
    framework: str
    version: str
    environment: str
    tools: tuple[str, ...]
    isolation: str
    trusted: bool
    state: Literal["starting", "ready", "silent", "failed", "stopped"]
    reason: str
    address: str


class LeftOut(BaseModel):
    """What could not be brought up, and why."""

    source: str
    reason: str


class Agents(BaseModel):
    """The team. ``left_out`` is told to whoever may see what is deployed."""

    agents: list[AgentEntry]
    left_out: list[LeftOut]


class Tools(BaseModel):
    """The tools that the caller may have called: those of a page, of ``total``; ``next`` asks for
    the page after this one, and is empty when there is none."""

    tools: list[ToolSpec]
    next: str
    total: int


class Letter(BaseModel):
    """An event of a task that a receiver of push notifications did not take; ``status`` is its last
    HTTP status, if it answered, and the first and last attempts are in seconds since the epoch."""

    model_config = ConfigDict(from_attributes=True)

    task_id: str
    config_id: str
    seq: int
    url: str
    reason: str
    status: int | None
    attempts: int
    first: float
    last: float


class LetterPage(BaseModel):
    """Dead letters, the newest first; ``next`` asks for the page after this one."""

    letters: list[Letter]
    next: str


class Document(BaseModel):
    """An OpenAPI document."""

    model_config = ConfigDict(extra="allow")

    openapi: Literal["3.1.0"]
    info: dict[str, Any]
    paths: dict[str, Any]
