"""Answers that have to fit a schema."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import jsonschema_rs

from codin.agent.answers import approves
from codin.agent.base import AgentError


def fitted(given: Any, schema: dict[str, Any] | None) -> tuple[Any, str]:
    """``given`` as it fits ``schema``, read as JSON if need be; and why it does not fit, if so."""
    if not schema:
        return given, ""
    wrong = ""
    for value in _readings(given, schema):
        try:
            jsonschema_rs.validate(schema, value, offline=True)
        except jsonschema_rs.ValidationError as error:
            wrong = wrong or error.message
        else:
            return value, ""
    return given, wrong


_NO = frozenset({"n", "no", "false", "reject", "rejected", "deny", "denied"})


@contextmanager
def loading(agent_id: str) -> Iterator[None]:
    """What goes wrong while a run's state is read means that it is not of this agent any more.

    Raises:
        AgentError: it cannot be read.
    """
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, NotImplementedError) as error:
        raise AgentError(
            f"agent {agent_id!r} cannot go on from what it kept when it asked "
            f"({type(error).__name__}: {error}): it has been changed since; begin the task anew"
        ) from error


def complaint(wrong: str) -> str:
    """What is said in front of a question that is asked again."""
    return f"The answer does not fit: {wrong}\n" if wrong else ""


def _readings(given: Any, schema: dict[str, Any]) -> Iterable[Any]:
    yield given
    if isinstance(given, str):
        if schema.get("type") == "boolean" and (approves(given) or given.strip().lower() in _NO):
            yield approves(given)
        try:
            yield json.loads(given)
        except ValueError:
            return
