"""Copies of AutoGen's agents and teams, one a run: they remember what they were told, and ours do
not. What a copy needs is in their private attributes; AutoGen is no longer developed.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from typing import Any

from codin.agent.adapters._calls import Calls
from codin.agent.adapters._run import Run

_INNER = ("_wrapped_agent", "_team")


def speakers(agent: Any, *, tools: bool = True) -> Iterator[Any]:
    """Those who speak in a run of ``agent``: itself, the members of a team, who is inside of it,
    and, with ``tools``, who is a tool of it."""
    parts = vars(agent)
    yield agent
    inside = [*parts.get("_participants", ()), *(parts[n] for n in _INNER if parts.get(n))]
    for workbench in parts.get("_workbench", ()) if tools else ():
        inside += filter(None, map(_runner, vars(workbench).get("_tools", ())))
    for other in inside:
        yield from speakers(other, tools=tools)


async def copied(agent: Any, tools: Sequence[Any], calls: Calls, run: Run) -> Any:
    """``agent`` for one run, with ``tools`` besides its own, asking its model through ``calls``."""
    own = copy.copy(agent)
    parts = vars(own)
    if (client := parts.get("_model_client")) is not None:
        parts["_model_client"] = _counted(client, calls, run)
    if (context := parts.get("_model_context")) is not None:
        parts["_model_context"] = copy.copy(context)
        await parts["_model_context"].load_state(await context.save_state())
    if "_workbench" in parts:
        own_ones = [await _workbench(each, calls, run) for each in parts["_workbench"]]
        parts["_workbench"] = [*own_ones, *_added(tools)]
    for name in _INNER:
        if parts.get(name) is not None:
            parts[name] = await copied(parts[name], tools, calls, run)
    if getattr(parts.get("input_func"), "__name__", "") in {"input", "cancellable_input"}:
        parts.update(input_func=_asked, _is_async=True)
    if "_participants" in parts:
        _renew(own, [await copied(member, tools, calls, run) for member in parts["_participants"]])
    return own


class NobodyThere(Exception):
    """A run reads from a terminal that there is not."""


async def _asked(prompt: str, cancellation_token: Any) -> str:
    """Ends the run, which has told already that it asks."""
    raise NobodyThere(prompt)


def _counted(client: Any, calls: Calls, run: Run) -> Any:
    own = copy.copy(client)
    model = str(vars(client).get("_create_args", {}).get("model", ""))

    async def answered(result: Any) -> None:
        used = result.usage
        await run.usage(model, used.prompt_tokens, used.completion_tokens)

    async def create(*args: Any, **options: Any) -> Any:
        with calls.asking():
            result = await client.create(*args, **options)
        await answered(result)
        return result

    async def create_stream(*args: Any, **options: Any) -> AsyncIterator[Any]:
        with calls.asking():
            async with aclosing(client.create_stream(*args, **options)) as stream:
                async for piece in stream:
                    if not isinstance(piece, str):
                        await answered(piece)
                    yield piece

    vars(own).update(create=create, create_stream=create_stream)
    return own


def _runner(tool: Any) -> Any:
    """The agent or the team that a tool is, or None."""
    return vars(tool).get("_task_runner")


async def _workbench(workbench: Any, calls: Calls, run: Run) -> Any:
    """A workbench whose agents are copied too."""
    own = copy.copy(workbench)
    tools = vars(workbench).get("_tools", ())
    if any(map(_runner, tools)):
        vars(own)["_tools"] = [await _tool(tool, calls, run) for tool in tools]
    return own


async def _tool(tool: Any, calls: Calls, run: Run) -> Any:
    if (runner := _runner(tool)) is None:
        return tool
    own = copy.copy(tool)
    vars(own)["_task_runner"] = await copied(runner, (), calls, run)
    return own


def _added(tools: Sequence[Any]) -> list[Any]:
    from autogen_core.tools import StaticStreamWorkbench

    return [StaticStreamWorkbench(list(tools))] if tools else []


def _renew(team: Any, participants: Sequence[Any]) -> None:
    """Make a copied team one of its own: with other members, another runtime, no past."""
    from autogen_agentchat.teams import BaseGroupChat

    parts = dict(vars(team))
    BaseGroupChat.__init__(
        team,
        name=parts["_name"],
        description=parts["_description"],
        participants=list(participants),
        group_chat_manager_name=parts["_group_chat_manager_name"],
        group_chat_manager_class=parts["_base_group_chat_manager_class"],
        termination_condition=copy.deepcopy(parts["_termination_condition"]),
        max_turns=parts["_max_turns"],
        emit_team_events=parts["_emit_team_events"],
    )
    vars(team)["_message_factory"] = parts["_message_factory"]  # it knows the team's own messages
