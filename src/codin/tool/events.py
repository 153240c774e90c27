"""What a tool shows while it runs. It is one of the events of the agent that called it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class ToolOutput(BaseModel):
    """Output of a tool while it runs, such as what a sandbox prints."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["tool_output"] = "tool_output"
    call_id: str
    name: str
    stream: Literal["stdout", "stderr", "progress"] = "stdout"
    text: str
