"""An agent's card at its well-known address (A2A 1.0, sections 8.2 and 8.6)."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

from a2a.utils.constants import VERSION_HEADER
from google.protobuf.json_format import MessageToDict
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from codin.agent.base import AgentInfo
from codin.agent.cards import Cards
from codin.gateway.a2a.calling import address_of, is_old, version_of
from codin.gateway.a2a.v03 import card_json

MAX_AGE = 60
"""Seconds for which a client may take a card for unchanged."""

_KEPT = 64


class CardEndpoint:
    """Serves the card of one agent, made for the address by which the client came."""

    def __init__(
        self,
        info: AgentInfo,
        cards: Cards,
        path: str,
        *,
        public_url: str | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._info = info
        self._cards = cards
        self._path = path
        self._public_url = public_url
        self._now = now
        self._since: OrderedDict[str, datetime] = OrderedDict()

    async def answer(self, request: Request) -> Response:
        address = address_of(request, self._path, self._public_url)
        card = self._cards.public(self._info, address)
        # who says nothing may be a client of 0.3
        found = card_json(card) if is_old(version_of(request)) else MessageToDict(card)
        tag = _tag(found)
        changed = self._changed(tag)
        headers = {
            "etag": tag,
            "cache-control": f"public, max-age={MAX_AGE}",
            "last-modified": format_datetime(changed, usegmt=True),
            "vary": f"host, {VERSION_HEADER}",
        }
        if _is_fresh(request, tag, changed):
            return Response(status_code=304, headers=headers)
        return JSONResponse(found, headers=headers)

    def _changed(self, tag: str) -> datetime:
        """Since when the card is as it is, to the second; here that is when it was first seen."""
        since = self._since.setdefault(tag, self._now().replace(microsecond=0))
        self._since.move_to_end(tag)
        while len(self._since) > _KEPT:
            self._since.popitem(last=False)
        return since


def _tag(card: dict[str, Any]) -> str:
    """Weak, and without the signatures: an algorithm may sign the same card differently each
    time, and every one of these signatures stays good."""
    unsigned = {key: value for key, value in card.items() if key != "signatures"}
    digest = hashlib.sha256(json.dumps(unsigned, sort_keys=True).encode()).hexdigest()
    return f'W/"{digest[:32]}"'


def _is_fresh(request: Request, tag: str, changed: datetime) -> bool:
    """RFC 9110, section 13.2.2: the tags count when there are any, else the date."""
    tags = request.headers.get("if-none-match")
    if tags is not None:
        known = {one.strip().removeprefix("W/") for one in tags.split(",")}
        return "*" in known or tag.removeprefix("W/") in known
    since = request.headers.get("if-modified-since")
    if since is None:
        return False
    try:
        return changed <= parsedate_to_datetime(since)
    except (ValueError, TypeError):  # no date, or one without a zone
        return False
