"""A2A's operations on push notification configs (A2A 1.0, sections 3.1.7 to 3.1.10)."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from a2a.types import (
    AuthenticationInfo,
    DeleteTaskPushNotificationConfigRequest,
    GetTaskPushNotificationConfigRequest,
    ListTaskPushNotificationConfigsRequest,
    ListTaskPushNotificationConfigsResponse,
    Message,
    TaskPushNotificationConfig,
)
from a2a.utils.errors import InvalidParamsError, TaskNotFoundError
from a2a.utils.task import validate_page_size

from codin.database import Database
from codin.errors import CodinError
from codin.security import OutgoingGuard, Principal
from codin.task.log.base import EventLog
from codin.task.log.rows import TaskRow
from codin.task.push.base import DeadLetterPage, PushConfig, PushConfigStore, UrlGuard
from codin.task.push.courier import RetryPolicy
from codin.task.push.delivery import PushDelivery
from codin.task.push.errors import PushConfigRefused, UnknownPushConfig
from codin.task.push.http import HttpPushSender
from codin.task.push.stored import StoredPushConfigs

if TYPE_CHECKING:
    import httpx

    from codin.task.push.signing import BodySigner

MAX_CONFIGS = 16
"""Configs of one principal for one task."""
MAX_URL_CHARS = 2048
MAX_SECRET_CHARS = 4096
_MAX_ID_CHARS = 256
_CHECK_SECONDS = 10.0
_DEFAULT_PAGE = 50
_SCHEMES = frozenset({"bearer", "basic"})
_HEADER = re.compile(r"[\x20-\x7e]*")


class PushNotifications:
    """Configs of push notifications, whose news ``delivery`` sends."""

    def __init__(self, store: PushConfigStore, guard: UrlGuard, delivery: PushDelivery) -> None:
        self._store = store
        self._guard = guard
        self._delivery = delivery

    async def check(
        self, principal: Principal, asked: TaskPushNotificationConfig, message: Message
    ) -> None:
        """Return when ``asked``, which came with ``message``, can be kept once the message is
        taken.

        Raises:
            InvalidParamsError: something of it cannot be used, or the task has too many; the
                message says what.
        """
        await self._check(asked)
        if not message.task_id:
            return
        page = await self._store.list(principal, message.task_id, limit=MAX_CONFIGS)
        own = asked.id or _own_id(message.task_id, message)
        if len(page.configs) >= MAX_CONFIGS and own not in {one.id for one in page.configs}:
            raise InvalidParamsError(
                f"task {message.task_id} has {MAX_CONFIGS} push notification configs, and more are"
                " not allowed: delete one first"
            )

    async def _check(self, asked: TaskPushNotificationConfig) -> None:
        _check_fields(asked)
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                await self._guard.check(asked.url)
        except TimeoutError as error:
            raise InvalidParamsError(
                f"the host of the push notification url was not found within {_CHECK_SECONDS:g}"
                " seconds"
            ) from error
        except CodinError as error:
            raise InvalidParamsError(
                f"the push notification url cannot be used: {error}"
            ) from error

    async def announced(
        self,
        principal: Principal,
        task_id: str,
        asked: TaskPushNotificationConfig,
        message: Message,
        after: int,
    ) -> None:
        """Keep ``asked``, which came with ``message`` and which ``check`` let through, to be told
        the task's events after the seq ``after``. The same message sent again makes no second one.

        Raises:
            InvalidParamsError: the task has too many.
        """
        config = _config(task_id, asked, _own_id(task_id, message))
        await self._keep(principal, config, asked.tenant, after)

    async def _keep(
        self, principal: Principal, config: PushConfig, tenant: str, after: int
    ) -> TaskPushNotificationConfig:
        try:
            await self._store.put(principal, config, after=after, most=MAX_CONFIGS)
        except PushConfigRefused as error:
            raise InvalidParamsError(str(error)) from error
        self._delivery.wake()
        return _shown(config, tenant)

    async def create(
        self, principal: Principal, row: TaskRow, asked: TaskPushNotificationConfig
    ) -> TaskPushNotificationConfig:
        """Make a config for the task ``row``, or replace the one of the same id. It is told what
        comes from now on; when the task has ended, that it has.

        Raises:
            InvalidParamsError: it cannot be used, or the task has too many.
        """
        await self._check(asked)
        after = row.last_seq - 1 if row.ended else row.last_seq
        config = _config(row.task_id, asked, uuid.uuid4().hex)
        return await self._keep(principal, config, asked.tenant, after)

    async def get(
        self, principal: Principal, row: TaskRow, asked: GetTaskPushNotificationConfigRequest
    ) -> TaskPushNotificationConfig:
        """The config.

        Raises:
            TaskNotFoundError: the task has none of this id (section 3.1.8).
        """
        try:
            config = await self._store.get(principal, row.task_id, asked.id)
        except UnknownPushConfig as error:
            raise TaskNotFoundError(str(error)) from error
        return _shown(config, asked.tenant)

    async def list(
        self, principal: Principal, row: TaskRow, asked: ListTaskPushNotificationConfigsRequest
    ) -> ListTaskPushNotificationConfigsResponse:
        """A page of the task's configs, in the order of their making.

        Raises:
            InvalidParamsError: the page's size or token cannot be used.
        """
        if asked.page_size:
            validate_page_size(asked.page_size)
        page = await self._store.list(
            principal,
            row.task_id,
            limit=asked.page_size or _DEFAULT_PAGE,
            after=_decode(asked.page_token) if asked.page_token else None,
        )
        return ListTaskPushNotificationConfigsResponse(
            configs=[_shown(config, asked.tenant) for config in page.configs],
            next_page_token="" if page.cursor is None else _encode(page.cursor),
        )

    async def delete(
        self, principal: Principal, row: TaskRow, asked: DeleteTaskPushNotificationConfigRequest
    ) -> None:
        """Forget a config; nothing is sent to it any more. One that is not there is no error
        (section 3.1.10)."""
        await self._store.delete(principal, row.task_id, asked.id)

    async def dead_letters(
        self,
        principal: Principal,
        *,
        task_id: str | None = None,
        limit: int = _DEFAULT_PAGE,
        after: int | None = None,
    ) -> DeadLetterPage:
        """What receivers of ``principal`` did not take, newest first; ``after`` is the cursor of
        the page before."""
        return await self._store.dead_letters(principal, task_id=task_id, limit=limit, after=after)


@asynccontextmanager
async def open_push(
    place: str | os.PathLike[str] | Database,
    log: EventLog,
    *,
    guard: UrlGuard | None = None,
    signer: BodySigner | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    policy: RetryPolicy | None = None,
) -> AsyncIterator[PushNotifications]:
    """Push notifications of the tasks in ``log``, with the configs at ``place``, delivered until
    the block is left. ``place`` is a file, the ``postgresql://`` address of a database that many
    gateways share, or an open database, which stays open.

    Without a ``guard`` only public addresses are sent to. What the guard saw a name resolve to may
    change before it is connected to: of ``OutgoingGuard`` its own transport is used, which looks
    again; beside another guard, give a ``transport`` that does.

    Raises:
        PushStoreError: the place cannot be used.
    """
    guard = guard or OutgoingGuard()
    if transport is None and isinstance(guard, OutgoingGuard):
        transport = guard.transport()
    async with AsyncExitStack() as stack:
        if isinstance(place, Database):
            store = await StoredPushConfigs.over(place)
        else:
            store = await StoredPushConfigs.open(place)
        stack.push_async_callback(store.close)
        sender = HttpPushSender(guard, signer=signer, transport=transport)
        stack.push_async_callback(sender.close)
        delivery = PushDelivery(store, log, sender, policy=policy)
        await stack.enter_async_context(delivery)
        yield PushNotifications(store, guard, delivery)


def _check_fields(asked: TaskPushNotificationConfig) -> None:
    if not asked.url:
        raise InvalidParamsError("the push notification config has no url")
    for name, most in (
        ("id", _MAX_ID_CHARS),
        ("url", MAX_URL_CHARS),
        ("token", MAX_SECRET_CHARS),
    ):
        _check_text(name, getattr(asked, name), most)
    authentication = asked.authentication
    _check_text("authentication.credentials", authentication.credentials, MAX_SECRET_CHARS)
    scheme = authentication.scheme
    if (scheme or authentication.credentials) and scheme.lower() not in _SCHEMES:
        raise InvalidParamsError(
            f"the push notification config's authentication scheme is {scheme[:40]!r}: only"
            " Bearer and Basic are known here"
        )
    if "@" in asked.url.partition("://")[2].partition("/")[0]:
        raise InvalidParamsError(
            "the push notification url holds a user or a password: give these as authentication"
        )


def _check_text(name: str, value: str, most: int) -> None:
    if len(value) > most:
        raise InvalidParamsError(
            f"the push notification config's {name} has more than {most} characters"
        )
    if not value.isprintable() and name == "id":
        raise InvalidParamsError("the push notification config's id holds a control character")
    # What goes into a header must not begin another one.
    if name != "id" and not _HEADER.fullmatch(value):
        raise InvalidParamsError(
            f"the push notification config's {name} holds a character that is not printable ASCII"
        )


def _config(task_id: str, asked: TaskPushNotificationConfig, own_id: str) -> PushConfig:
    return PushConfig(
        id=asked.id or own_id,
        task_id=task_id,
        url=asked.url,
        token=asked.token,
        scheme=asked.authentication.scheme,
        credentials=asked.authentication.credentials,
    )


def _own_id(task_id: str, message: Message) -> str:
    """The id of a config that came with ``message`` and has none: the same when it comes again."""
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{task_id}/{message.message_id}").hex


def _shown(config: PushConfig, tenant: str) -> TaskPushNotificationConfig:
    shown = TaskPushNotificationConfig(
        tenant=tenant, id=config.id, task_id=config.task_id, url=config.url, token=config.token
    )
    if config.scheme:
        shown.authentication.CopyFrom(
            AuthenticationInfo(scheme=config.scheme, credentials=config.credentials)
        )
    return shown


def _encode(cursor: int) -> str:
    return base64.urlsafe_b64encode(str(cursor).encode()).decode().rstrip("=")


def _decode(token: str) -> int:
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode("ascii")
        if not text.isdecimal() or len(text) > 18:
            raise ValueError(text)
        return int(text)
    except ValueError as error:
        raise InvalidParamsError(
            "the page token is not one that this server gave: begin without one"
        ) from error
