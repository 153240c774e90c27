"""Tools that ask for secrets, as an operator writes them."""

import urllib.parse
from collections.abc import Iterator
from datetime import date
from typing import Annotated

from codin import tool
from codin.tool import Secret, ToolContext


@tool
def open_ticket(
    title: str, token: Annotated[str, Secret("tracker")], day: date, context: ToolContext
) -> dict[str, str]:
    """Open a ticket.

    Args:
        title: what it is about
        token: what lets in
    """
    print("with", token, flush=True)
    return {
        "title": f"{title} on {day.year} for {context.user}",
        "said": f"Bearer {token}",
        token: urllib.parse.quote(token, safe=""),
        "length": str(len(token)),
    }


@tool
def refuse_ticket(token: Annotated[str, Secret("tracker")]) -> str:
    """Fail with it."""
    raise ValueError(f"{token} is not let in")


@tool(trusted=True)
async def open_here(token: Annotated[str, Secret("tracker")], times: int = 1) -> str:
    """Open one from here."""
    return f"{token} " * times + str(len(token))


@tool(trusted=True)
def tell_here(token: Annotated[str, Secret("tracker")], context: ToolContext) -> Iterator[str]:
    """Tell it in pieces."""
    context.progress(token)
    yield token[:3]
    yield token[3:]


@tool(trusted=True)
def refuse_here(token: Annotated[str, Secret("tracker")]) -> str:
    """Fail with it."""
    raise ValueError(f"{token} is not let in")


@tool
def open_door(key: Annotated[str, Secret("door")], other: Annotated[str, Secret("tracker")]) -> str:
    """Open a door."""
    return key + other
