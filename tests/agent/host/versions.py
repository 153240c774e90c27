"""An agent for tests that says which packages it sees."""

import importlib.metadata
import importlib.util
import sys


async def agent(task):
    """Says the version of each package that is named, or that it is not there."""
    for name in task.text.split():
        try:
            yield f"{name} {importlib.metadata.version(name)}\n"
        except importlib.metadata.PackageNotFoundError:
            yield f"{name} -\n"
    yield f"python {sys.version_info.minor}"
