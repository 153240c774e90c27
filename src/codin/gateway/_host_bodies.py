"""What hosts send, read."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

M = TypeVar("M", bound=BaseModel)


async def read_body(request: Request, kind: type[M]) -> M:
    """The body of ``request``.

    Raises:
        HTTPException: it is none of that kind; it is answered with what is wrong.
    """
    try:
        return kind.model_validate_json(await request.body())
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"]) or "the body"
        raise HTTPException(400, f"{where}: {problem['msg']}") from None
