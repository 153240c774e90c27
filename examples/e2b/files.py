"""Files of a sandbox: written, read, listed, moved, watched, brought in and out."""

import tempfile
import time
from pathlib import Path

import httpx
from e2b import FilesystemEventType, Sandbox

with Sandbox.create() as sandbox:
    sandbox.files.write("reports/first.txt", "one")
    sandbox.files.write_files(
        [
            {"path": "reports/second.txt", "data": "two"},
            {"path": "/tmp/raw.bin", "data": bytes(range(8))},
        ]
    )
    for entry in sandbox.files.list("reports"):
        print(entry.type.value, entry.name, entry.size, entry.permissions)
    print(sandbox.files.read("/tmp/raw.bin", format="bytes").hex())

    sandbox.files.rename("reports/first.txt", "reports/renamed.txt")
    print("still there:", sandbox.files.exists("reports/first.txt"))
    print("new:", sandbox.files.make_dir("results"), sandbox.files.make_dir("results"))

    # what happens in a folder, asked for when it suits
    watch = sandbox.files.watch_dir("results", recursive=True)
    sandbox.commands.run("mkdir results/today && echo 42 > results/today/answer")
    seen = []
    while not any(event.name == "today/answer" for event in seen):
        time.sleep(0.05)
        seen += watch.get_new_events()
    print("created:", [e.name for e in seen if e.type == FilesystemEventType.CREATE])
    watch.stop()

    # from this machine and back
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder, "data.csv")
        local.write_text("a,b\n1,2\n")
        with local.open("rb") as file:
            sandbox.files.write("data.csv", file)
        sandbox.commands.run("sed 's/2/3/' data.csv > changed.csv")
        local.write_text(sandbox.files.read("changed.csv"))
        print(local.read_text().split())

    # addresses that somebody without a key may use for a while
    up = sandbox.upload_url("from-outside.txt", use_signature_expiration=60)
    httpx.post(up, files={"file": b"sent by form"}, trust_env=False).raise_for_status()
    down = sandbox.download_url("from-outside.txt", use_signature_expiration=60)
    print(httpx.get(down, trust_env=False).text)

    sandbox.files.remove("reports")
    print("reports:", sandbox.files.exists("reports"))
