"""What tasks ask, asked on the terminal."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

from codin.agent.events import InputRequest

if TYPE_CHECKING:
    from rich.console import Console

_READ = 65536


class Asker:
    """Asks on ``console`` and reads the answers from standard input, both of which are a
    terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def ask(self, request: InputRequest) -> str | None:
        """What is answered; ``None`` when nobody wants to answer now (Ctrl-D)."""
        from rich.text import Text

        self._console.print(Text(question(request), style="yellow"), soft_wrap=True)
        self._console.print(Text("Ctrl-D: answer later. Ctrl-C: cancel the task.", style="dim"))
        _forget_typed()
        answer: str | None = ""
        while answer == "":
            self._console.print(Text(f"{_choices(request)}> "), end="", soft_wrap=True)
            answer = await _line()
        if answer is None:
            self._console.print()
        return answer


def asker_for(console: Console, *, as_json: bool) -> Asker | None:
    """Whoever answers here; ``None`` where there is nobody."""
    ends = (sys.stdin, sys.stdout)
    at_terminal = all(end is not None and end.isatty() for end in ends)
    return Asker(console) if at_terminal and not as_json else None


def question(request: InputRequest) -> str:
    """What is asked, with the call that it is about as it would be made, and nothing in it that a
    terminal does not show."""
    from codin.tool.policies.approval import call_text, visible

    if request.call is None:
        return visible(request.prompt)
    call = call_text(request.call.name, request.call.arguments)
    if request.reason is None:
        return visible(f"{request.prompt}\n{call}")
    asked, _, _ = request.prompt.partition("\n")
    return visible(f"{asked}\n{call}\n{request.reason}")


def _choices(request: InputRequest) -> str:
    from codin.tool.policies.approval import visible

    schema = request.answer_schema or {}
    if request.request_kind == "approval":
        return "yes, or no and why"
    if schema.get("type") == "boolean":
        return "yes or no"
    words = schema.get("enum")
    if isinstance(words, list) and words and all(isinstance(word, str) for word in words):
        return visible(" | ".join(words)).replace("\n", " ")
    return "answer"


def _forget_typed() -> None:
    """What was typed before the question could be read is no answer to it."""
    import termios

    termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)


async def _line() -> str | None:
    """The next line, without the blanks around it; ``None`` at the end of the input."""
    loop, fd = asyncio.get_running_loop(), sys.stdin.fileno()
    read: asyncio.Future[bytes] = loop.create_future()
    typed = bytearray()

    def ready() -> None:
        try:
            piece = os.read(fd, _READ)
        except OSError:  # the terminal is gone
            piece = b""
        typed.extend(piece)
        if not read.done() and (not piece or piece.endswith(b"\n")):
            read.set_result(piece)

    loop.add_reader(fd, ready)
    try:
        end = await read
    finally:
        loop.remove_reader(fd)
    return typed.decode("utf-8", "replace").strip() if end else None
