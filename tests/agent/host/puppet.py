"""An agent for tests that does in its host what it is told: trusted by nobody."""

import asyncio
import contextlib
import glob
import json
import os
import signal
import socket
import subprocess
import time

import httpx

from codin import wrap
from codin.agent.events import Completed, InputRequest

print("puppet: imported")


def every_environment():
    seen = [dict(os.environ)]
    for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                seen.append(file.read().decode(errors="replace"))
        except OSError as error:
            seen.append(str(error))
    return json.dumps(seen)


def connect(host, port):
    try:
        socket.create_connection((host, int(port)), 3).close()
    except OSError as error:
        return f"refused: {error}"
    return "connected"


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError as error:
        return f"refused: {error}"


async def ask(words):
    import openai

    async with openai.AsyncOpenAI(max_retries=0) as client:
        messages = [{"role": "user", "content": " ".join(words)}]
        answer = await client.chat.completions.create(model="any", messages=messages)
    return answer.choices[0].message.content


async def puppet(task):  # noqa: C901
    """Does what it is told."""
    tools = {tool.name: tool for tool in task.tools}
    verb, *rest = task.text.split()
    match verb:
        case "add":
            yield str(await tools["add"].invoke(int(rest[0]), b=int(rest[1])))
        case "tools":
            yield json.dumps(sorted(tools))
        case "who":
            said = [part.text for message in task.history for part in message.parts]
            who = [task.id, task.context_id, task.principal.tenant, task.principal.subject]
            yield json.dumps([who, said, sorted(task.message.metadata)])
        case "ask":
            yield await ask(rest)
        case "environment":
            yield every_environment()
        case "connect":
            yield connect(*rest)
        case "fetch":
            yield httpx.get(rest[0]).text
        case "lose":
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(rest[0])
            raise ValueError("no reason is given")
        case "read":
            yield read(rest[0])
        case "write":
            try:
                with open(rest[0], "w") as file:
                    file.write("x")
                yield "written"
            except OSError as error:
                yield f"refused: {error}"
        case "token":
            yield repr(task) + repr(task.tools) + repr(task.model)
        case "tick":
            while True:
                await tools["tick"].invoke()
                await asyncio.sleep(0.02)
        case "linger":
            try:
                await asyncio.sleep(3600)
            finally:
                await asyncio.sleep(0.1)
                print("puppet: cleaned up", task.id)
        case "stubborn":
            yield "begun "
            while True:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    continue
        case "block":
            yield "begun "
            await asyncio.sleep(0.2)
            time.sleep(3600)
        case "die":
            yield "begun "
            print("puppet: about to die")
            await asyncio.sleep(0.2)
            os.kill(os.getpid(), signal.SIGKILL)
        case "leave":
            subprocess.Popen(["sleep", "4242"], start_new_session=True)
            yield "left"
        case "shout":
            for _ in range(2000):
                print("x" * 5000)
            yield "shouted"
        case "question":
            if task.text == "question asked":
                yield InputRequest(request_id="q", prompt="how many?", state="I asked")
            else:
                yield f"thank you for {rest[0]}, {task.id}: {task.state}"
        case "tidy":
            try:
                yield "done"
                yield Completed()
            finally:
                time.sleep(0.5)
                print("puppet: tidied up")
        case "eat":
            eaten = []
            while True:
                eaten.append(bytearray(os.urandom(1 << 20) * 16))
                await asyncio.sleep(0)
        case "flood":
            for number in range(int(rest[0])):
                yield f"{number} "
        case "fail":
            raise ValueError("I was told to fail")


agent = wrap(puppet, tools=["add", "tick"])
