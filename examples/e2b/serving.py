"""A program inside that serves HTTP, reached from outside."""

import os
import time
from urllib.parse import urlsplit

import httpx
from e2b import Sandbox

with Sandbox.create() as sandbox:
    sandbox.files.write("site/index.html", "<h1>hello from inside</h1>")
    sandbox.commands.run(
        "exec python3 -m http.server 3000 --directory site", background=True, timeout=0
    )
    host = sandbox.get_host(3000)
    print(
        "port:", host.split("-")[0], "sandbox:", host.split("-")[1].startswith(sandbox.sandbox_id)
    )

    # Where names below localhost do not resolve, the name goes in the Host header.
    service = urlsplit(os.environ["E2B_SANDBOX_URL"])
    headers = {"Host": host, "E2B-Traffic-Access-Token": sandbox.traffic_access_token}
    url = f"{service.scheme}://{service.netloc}/"
    for _ in range(100):
        answer = httpx.get(url, headers=headers, trust_env=False)
        if answer.status_code == 200:
            break
        time.sleep(0.05)
    print(answer.status_code, answer.text)
