"""This process's terminal, or its pipes, as those of a command in a sandbox."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import shlex
import shutil
import sys
from collections.abc import Iterator

from codin.cli.text import clean
from codin.sandbox.base import Process, Sandbox
from codin.sandbox.outcome import OutputChunk

_READ = 65536

# A terminal of its own: what runs in it sees one, and its control characters act inside.
_TERMINAL = (
    "import os, pty, sys; "
    "sys.exit(os.waitstatus_to_exitcode(pty.spawn(['sh', '-c', sys.argv[1]])) % 256)"
)


class Console:
    """Standard input, output and error. ``plain`` keeps control sequences from a terminal."""

    def __init__(self, *, plain: bool = False) -> None:
        self.interactive = not plain and sys.stdin.isatty() and sys.stdout.isatty()
        self._ends = {"stdout": sys.stdout, "stderr": sys.stderr}
        decoder = codecs.getincrementaldecoder("utf-8")
        self._decoders = {
            name: decoder("replace") for name, end in self._ends.items() if plain and end.isatty()
        }

    async def run(self, place: Sandbox, argv: list[str]) -> int:
        """Run ``argv`` there until its end; gives its exit code.

        Raises what ``Process.wait`` does.
        """
        process = await place.start(argv, stdin=True)
        feeding = asyncio.create_task(self._feed(process))
        try:
            with self._raw():
                async for chunk in process.output():
                    self._show(chunk)
            return (await process.wait()).exit_code
        finally:
            feeding.cancel()
            await asyncio.wait([feeding])
            await asyncio.shield(process.kill())

    async def _feed(self, process: Process) -> None:
        loop, arrived = asyncio.get_running_loop(), asyncio.Queue[bytes]()
        fd = sys.stdin.fileno()

        def read() -> None:
            with contextlib.suppress(OSError):
                data = os.read(fd, _READ)
                arrived.put_nowait(data)
                if not data:
                    loop.remove_reader(fd)

        try:
            loop.add_reader(fd, read)
        except PermissionError:  # a file is always ready, and the loop does not watch those
            while data := os.read(fd, _READ):
                await process.write(data)
            await process.close_stdin()
            return
        try:
            while data := await arrived.get():
                await process.write(data)
            await process.close_stdin()
        finally:
            loop.remove_reader(fd)

    def _show(self, chunk: OutputChunk) -> None:
        end = self._ends[chunk.stream]
        if chunk.stream in self._decoders:
            text = self._decoders[chunk.stream].decode(chunk.data)
            end.write(clean(text.replace("\r\n", "\n")))
        else:
            end.buffer.write(chunk.data)
        end.flush()

    @contextlib.contextmanager
    def _raw(self) -> Iterator[None]:
        """Keys go inside as they are pressed, the ones for signals too."""
        if not self.interactive:
            yield
            return
        import termios
        import tty

        before = termios.tcgetattr(sys.stdin.fileno())
        try:
            tty.setraw(sys.stdin.fileno())
            yield
        finally:
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, before)


def shell_command(console: Console) -> list[str]:
    """The shell, in a terminal of its own where this process has one."""
    if not console.interactive:
        return ["bash"]
    size = shutil.get_terminal_size()
    kind = shlex.quote(os.environ.get("TERM", "xterm"))
    script = (
        f"stty rows {size.lines} cols {size.columns}; export TERM={kind} PS1='sandbox:\\w\\$ '; "
        "exec bash --norc -i"
    )
    return ["python", "-c", _TERMINAL, script]
