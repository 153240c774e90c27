"""An agent that asks for what is not its own."""

from dataclasses import replace

from codin import wrap
from codin.memory import Chunk


async def reach(task):
    """Try what the message says."""
    if task.memory is None:
        return "no memory"
    memory, own = task.memory.system, task.memory.scope
    scopes = {
        "tenant": replace(own, tenant="other"),
        "user": replace(own, user="ben"),
        "agent": replace(own, agent="graph_remembers"),
        "wide": replace(own, agent=None),
        "session": replace(own, session="context"),
        "own": own,
    }
    words = task.text.split()
    scope = scopes[words[0]]
    calls = {
        "put": lambda: memory.notes.put(scope, "k", 1),
        "search": lambda: memory.chunks.search(scope, "peanuts", mode="text", collection="x"),
        "default": lambda: memory.chunks.upsert(scope, Chunk("poison")),
        "forget": lambda: memory.forget(scope),
    }
    try:
        return f"done: {await calls[words[1]]()}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


agent = wrap(reach, id="hostile_memory")
