"""Copies of smolagents' agents, one a run: they remember what they were told, and ours do not."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any

from codin.agent.adapters._calls import Calls

Used = Callable[[str, int, int], None]
_TYPES = {"string", "boolean", "integer", "number", "array", "object", "null"}
_NOT_PLAIN = {"$ref", "anyOf", "oneOf"}


class SentImage:
    """An image as it was sent, where smolagents would paint it anew for its model.

    Raises:
        OSError: it is no image.
    """

    def __init__(self, raw: bytes) -> None:
        from PIL import Image

        self.raw = raw
        self._opened = Image.open(io.BytesIO(raw))

    def save(self, file: IO[bytes], **options: Any) -> None:
        if self._opened.format == "PNG" == options.get("format"):
            file.write(self.raw)
        else:
            self._opened.save(file, **options)

    def __deepcopy__(self, memo: object) -> SentImage:
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._opened, name)


def copied(agent: Any, tools: Sequence[Any], calls: Calls, used: Used) -> Any:
    """``agent`` for one run, with ``tools`` besides its own, asking its model through ``calls``;
    what an answer took is told to ``used``, in the thread that asked."""
    from rich.console import Console
    from smolagents import AgentLogger, AgentMemory, Monitor

    own = copy.copy(agent)
    own.model = _counted(agent.model, calls, used)
    own.tools = {**agent.tools, **{tool.name: tool for tool in tools}}
    own.managed_agents = {
        name: copied(member, tools, calls, used) for name, member in agent.managed_agents.items()
    }
    own.state = dict(agent.state)
    own.memory = AgentMemory(agent.system_prompt)
    # A console shows one live text at a time, and runs are many.
    own.logger = AgentLogger(level=agent.logger.level, console=Console(quiet=True))
    own.monitor = Monitor(own.model, own.logger)
    if hasattr(agent, "python_executor"):
        own.python_executor = _executor(agent)
    return own


def inputs_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a tool as smolagents has them: each with a type and a description, and no
    references or alternatives."""
    required = schema.get("required", ())
    inputs = {}
    for name, given in schema.get("properties", {}).items():
        known = given if isinstance(given, Mapping) else {}
        kinds = list(dict.fromkeys(_kinds(known))) or ["any"]
        plain = {key: value for key, value in known.items() if key not in _NOT_PLAIN}
        inputs[name] = {
            **plain,
            "type": kinds[0] if len(kinds) == 1 else kinds,
            "description": known.get("description") or name,
            **({} if name in required and "null" not in kinds else {"nullable": True}),
        }
    return inputs


def _kinds(schema: Mapping[str, Any]) -> Iterator[str]:
    """The types that a value may have, as far as smolagents knows them."""
    if "$ref" in schema:
        yield "object"
    for key in ("anyOf", "oneOf"):
        for other in schema.get(key, ()):
            yield from _kinds(other)
    given = schema.get("type", ())
    for kind in [given] if isinstance(given, str) else given:
        if kind in _TYPES:
            yield kind


def _counted(model: Any, calls: Calls, used: Used) -> Any:
    own = copy.copy(model)
    name = str(getattr(model, "model_id", "") or "")

    def told(tokens: Any) -> None:
        if tokens is not None:
            used(name, tokens.input_tokens, tokens.output_tokens)

    def generate(*args: Any, **options: Any) -> Any:
        with calls.asking():
            message = model.generate(*args, **options)
        told(message.token_usage)
        return message

    def generate_stream(*args: Any, **options: Any) -> Iterator[Any]:
        with calls.asking():
            for delta in model.generate_stream(*args, **options):
                told(delta.token_usage)
                yield delta

    own.generate = generate
    if hasattr(model, "generate_stream"):
        own.generate_stream = generate_stream
    return own


def _executor(agent: Any) -> Any:
    """Where the code of a run is executed: with variables of its own."""
    executor = copy.copy(agent.python_executor)
    if isinstance(getattr(executor, "state", None), dict):
        executor.state = dict(executor.state)
    return executor
