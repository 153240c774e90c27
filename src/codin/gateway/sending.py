"""Messages that the platform's own user sends, over A2A inside of this process."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from codin.errors import InvalidInputError
from codin.security import Principal
from codin.task.goal import ORCHESTRATOR
from codin.task.log.rows import StepRow, TaskRow
from codin.task.transport import in_memory_client

if TYPE_CHECKING:
    from a2a.server.request_handlers import RequestHandler
    from a2a.types import Message


async def send(handler: RequestHandler, principal: Principal, message: Message) -> str:
    """Send ``message``; gives the id of its task once it is in the log.

    Raises:
        InvalidInputError: it is not taken; the error says why.
    """
    from a2a.types import SendMessageRequest
    from a2a.utils.errors import A2AError

    client = in_memory_client(handler, principal)
    request = SendMessageRequest(message=message)
    request.configuration.return_immediately = True
    try:
        async for response in client.send_message(request):
            return response.task.id
    except A2AError as error:
        raise InvalidInputError(str(error)) from error
    raise InvalidInputError("the message was not answered")


def check_agents(row: TaskRow, steps: Sequence[StepRow], here: Collection[str]) -> None:
    """Return when the agents that a task needs to go on are ``here``: its own and, of a goal, those
    of the steps that are left.

    Raises:
        InvalidInputError: one is not; the answer would be lost on it.
    """
    left = [step.agent for step in steps if step.state in ("waiting", "working")]
    needed = [row.agent_id, *(left if row.agent_id == ORCHESTRATOR else ())]
    missing = sorted({agent for agent in needed if agent not in here})
    if missing:
        raise InvalidInputError(
            f"task {row.task_id} goes on with {', '.join(missing)}, and no such agent is here: give"
            " the agents and settings with which it was begun"
        )
