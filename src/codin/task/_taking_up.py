"""Begins the runs of tasks that nobody runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from codin.agent.events import Failed
from codin.errors import NotFoundError
from codin.security import CredentialError, ForbiddenError, Principal
from codin.task._beginnings import Beginnings, Drive
from codin.task._entries import repeated, working
from codin.task._runs import Runs
from codin.task.beginning import Beginning, last_beginning, message_at
from codin.task.log.base import EventLog
from codin.task.log.leases import Lease
from codin.task.log.rows import TaskRow
from codin.task.projection import to_json
from codin.task.recovery import interrupted, past_deadline, unauthorized
from codin.task.states import SUBMITTED
from codin.task.work import Work

Works = Callable[[Principal, str], Work]
"""Gives what does the tasks of an agent, by its id. Raises ``NotFoundError`` where there is none
that the principal may use."""


Rights = Callable[[Principal], Awaitable[Principal]]
"""Gives what a principal may do now, of what it might when it began a task. Raises
``CredentialError`` when that is nothing any more."""


async def as_begun(principal: Principal) -> Principal:
    """Leave all rights as they were."""
    return principal


def no_works(principal: Principal, agent_id: str) -> Work:
    """Refuse: there is no agent."""
    raise NotFoundError(f"there is no agent {agent_id!r} here")


class TakingUp:
    """Has tasks go on in this process, by what the log has of them."""

    def __init__(
        self,
        log: EventLog,
        runs: Runs,
        beginnings: Beginnings,
        works: Works,
        *,
        rights: Rights,
        stalls: int,
    ) -> None:
        self._log = log
        self._rights = rights
        self._stalls = stalls
        self._runs = runs
        self._beginnings = beginnings
        self.works = works

    async def take_up(self, row: TaskRow, lease: Lease) -> Failed | None:
        """Begin the run of a task that nobody runs, for the first time or again; gives the task's
        end where it cannot be."""
        beginning = await self._beginning(row)
        if isinstance(beginning, Failed):
            return beginning
        try:
            # Only less than before: what was given since is for those who call now.
            principal = await self._rights(beginning.principal)
            beginning = replace(beginning, principal=principal)
            work = self.works(beginning.principal, row.agent_id)
        except CredentialError as error:
            return unauthorized(str(error))
        except (NotFoundError, ForbiddenError) as error:
            return interrupted(str(error))
        await self._beginnings.whole(self._taking_up(row, work, beginning, lease))
        return None

    async def _beginning(self, row: TaskRow) -> Beginning | Failed:
        """What the task's run is begun with now, or why it is not."""
        if row.deadline is not None and await self._log.now() >= row.deadline:
            return past_deadline()
        beginning = await last_beginning(self._log, row)
        if beginning is None:
            return interrupted("it does not say what it was begun with")
        if row.parent_id is not None and (await self._log.task(row.principal, row.parent_id)).ended:
            return interrupted("the task that it was a step of has ended")
        if row.state != SUBMITTED:
            beginning = beginning.repeated(row)
        if beginning.stalled and await self._waits(row):
            beginning = replace(beginning, stalled=0)
        if beginning.stalled >= self._stalls:
            return interrupted(
                f"it was begun {beginning.attempt - 1} times, and got no further the last times"
            )
        return beginning

    async def _waits(self, row: TaskRow) -> bool:
        """Whether the task only waits for its steps: those may be what ends its processes."""
        steps = await self._log.steps(row.principal, row.task_id)
        below = [one.child_id for one in steps if one.state == "working" and one.child_id]
        return any([not (await self._log.task(row.principal, one)).ended for one in below])

    async def _taking_up(
        self, row: TaskRow, work: Work, beginning: Beginning, lease: Lease
    ) -> tuple[None, Drive]:
        message = await message_at(self._log, row, beginning.answer or beginning.turn)
        if beginning.again:
            entries = [repeated(row, beginning.attempt), beginning.entry()]
        else:
            entries = [working(message)]
        await self._log.append(lease, entries)
        return None, await self._runs.go_on(row, work, beginning, lease, to_json(message))
