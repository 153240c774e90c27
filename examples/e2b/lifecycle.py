"""A sandbox from its beginning to its end: made, found again, given more time, ended."""

from e2b import Sandbox, SandboxQuery

sandbox = Sandbox.create(
    timeout=60,
    metadata={"team": "analytics"},
    envs={"STAGE": "test"},
)
print("running:", sandbox.is_running())
print(sandbox.commands.run("echo $STAGE on $(hostname)").stdout.strip())

# another program finds it by what it was marked with, and goes on where this one is
pages = Sandbox.list(query=SandboxQuery(metadata={"team": "analytics"}))
found = pages.next_items()
again = Sandbox.connect(found[0].sandbox_id)
again.files.write("note.txt", "left by the other program")
print(sandbox.files.read("note.txt"))

sandbox.set_timeout(600)
info = sandbox.get_info()
print("minutes in all:", round((info.end_at - info.started_at).total_seconds() / 60))

print("ended:", sandbox.kill())
print("running:", sandbox.is_running())
