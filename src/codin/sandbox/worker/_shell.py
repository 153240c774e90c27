"""Shell code of a session: each piece in a bash of its own, folder and environment carried over."""

from __future__ import annotations

import os
import subprocess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# The code runs by eval, so that an error of syntax is its own; the state goes to a memory file
# and not to a pipe, because what the code leaves running would keep a pipe open.
_SCRIPT = (
    "trap '__code=$?; { pwd; env -0; } > /proc/self/fd/{fd}; exit $__code' EXIT; eval -- \"$1\""
)


class ShellSession:
    """Bash code with one working directory and one set of exported variables between calls."""

    def __init__(self) -> None:
        self._cwd = os.getcwd()
        self._env = dict(os.environ)

    def run(self, code: str, env: Mapping[str, str] | None = None) -> tuple[None, str | None]:
        """Run ``code``, with ``env`` this once; gives an error when its exit status is not 0."""
        once = env or {}
        before = {name: self._env.get(name) for name in once}
        state = os.memfd_create("state", 0)
        try:
            done = subprocess.run(
                ["bash", "-c", _SCRIPT.replace("{fd}", str(state)), "bash", code],  # noqa: S607
                cwd=self._cwd if os.path.isdir(self._cwd) else "/workspace",
                env={**self._env, **once},
                stdin=subprocess.DEVNULL,
                pass_fds=(state,),
                check=False,
            )
            self._keep(state)
            for name, value in before.items():
                if self._env.get(name) == once[name]:
                    self._env.pop(name)
                    self._env |= {} if value is None else {name: value}
        except OSError as error:
            return None, f"bash could not be started: {error}"
        finally:
            os.close(state)
        if done.returncode < 0:
            return None, f"ended by signal {-done.returncode}"
        return None, f"exit status {done.returncode}" if done.returncode else None

    def _keep(self, state: int) -> None:
        size = os.fstat(state).st_size
        cwd, newline, variables = os.pread(state, size, 0).partition(b"\n")
        if not newline:
            return  # the code replaced the shell, or its trap: the state stays as it was
        pairs = (os.fsdecode(entry).partition("=") for entry in variables.split(b"\0") if entry)
        self._cwd = os.fsdecode(cwd)
        self._env = {name: value for name, _, value in pairs if name and name != "_"}
