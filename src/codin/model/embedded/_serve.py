"""The embedded model's process: `python -m codin.model.embedded._serve`.

Its settings come as one line of JSON on stdin, so that the key stands in no argument list. stdin
stays open for as long as the parent lives: its end is this process's end. One line of JSON on
stdout says that the model is loaded.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
from typing import Any

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Load the model, serve it, and end with the parent."""
    # The engine holds the interpreter while it loads, so this has to work without Python.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    line = sys.stdin.readline()
    if not line:
        return
    settings = json.loads(line)
    _die_with(settings["parent"])
    try:
        server = _start(settings)
    except Exception as error:
        _say({"error": f"{type(error).__name__}: {error}"})
        sys.exit(1)
    _say({"ready": True, "address": server.listening_address})
    sys.stdin.read()
    with contextlib.suppress(OSError):
        os.unlink(settings["socket"])
        os.rmdir(os.path.dirname(settings["socket"]))
    # Destroying the server waits for generations that nobody will read.
    os._exit(0)


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)


def _start(settings: dict[str, Any]) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.hostnames = [settings["socket"]]
    params.port = 1
    params.api_keys = [settings["key"]]
    params.ui = False
    params.endpoint_slots = False
    params.n_parallel = settings["slots"]
    params.n_ctx = settings["slots"] * settings["context"]
    params.cpuparams.n_threads = settings["threads"]
    params.cpuparams_batch.n_threads = settings["threads"]
    # Prompts that lost their slot are kept here, so that an agent's next turn finds its prefix.
    params.cache_ram_mib = settings["cache_mib"]
    params.n_threads_http = 8
    params.verbosity = 1
    return xllamacpp.Server(params)


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)  # noqa: T201 - stdout is the channel to the parent


if __name__ == "__main__":
    main()
