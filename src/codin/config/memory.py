"""What is remembered by itself, and what agents are given of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from codin.config.section import Section

_SERVERS = ("postgresql://", "postgres://", "redis://", "rediss://", "unix://")


class KeepSettings(Section):
    """What goes into memory by itself, where it can be found again: what was said in conversations,
    what tasks came to (what was asked, and the answer), and what tools gave.

    Of tools those count whose names fit one of the patterns ``tools`` and whose results have
    ``tool_chars`` characters, at least and at most. What was kept so is kept for ``days``, or until
    it is forgotten.
    """

    conversations: bool = True
    outcomes: bool = True
    results: bool = True
    tools: tuple[str, ...] = ("*",)
    tool_chars: tuple[int, int] = (200, 4_000)
    days: float | None = Field(default=None, gt=0)

    @field_validator("tool_chars")
    @classmethod
    def _a_range(cls, chars: tuple[int, int]) -> tuple[int, int]:
        if not 0 <= chars[0] <= chars[1]:
            raise ValueError("give the least and the most characters, such as [200, 4000]")
        return chars


class RecallSettings(Section):
    """What agents are given of memory before a turn: at most ``pieces`` that fit what is asked, of
    at most ``tokens`` together; none with ``enabled = false``.

    ``whose``: what was kept for the user with whatever agent, or for this agent alone.
    ``nearness`` is the least cosine at which a text is near in meaning; it depends on the embedder.
    """

    enabled: bool = True
    pieces: int = Field(default=5, ge=1, le=50)
    tokens: int = Field(default=500, ge=50)
    whose: Literal["user", "agent"] = "user"
    nearness: float | None = Field(default=None, ge=-1, le=1)


class MemorySettings(Section):
    """Memory: in a file below the home, or at ``url``, which is Postgres with pgvector
    (``postgresql://...``) or Redis (``redis://...``, ``rediss://...``, ``unix://...``), for
    gateways on many machines.

    ``embedder`` is what texts are compared by in meaning: ``e5`` on this machine, which needs the
    extra ``embed``, or a provider's (``openai:text-embedding-3-small``); without one, texts are
    found by their words. ``window`` are the tokens of a conversation that an agent is given; with
    ``compact`` the model in use sums up what is older.
    """

    url: str | None = None
    embedder: str | None = None
    window: int = Field(default=1_500, ge=0)
    compact: bool = False
    keep: KeepSettings = KeepSettings()
    recall: RecallSettings = RecallSettings()

    @field_validator("url")
    @classmethod
    def _a_server(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(_SERVERS):
            raise ValueError(f"give an address that begins with {', '.join(_SERVERS)}")
        return url
