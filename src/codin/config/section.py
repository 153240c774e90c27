"""What all sections of the settings have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

AgentId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
"""What an agent's id looks like."""


class Section(BaseModel):
    """A part of the settings, which knows its keys and takes no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)
