"""The same by the asynchronous half: many sandboxes at a time."""

import asyncio

from e2b import AsyncSandbox
from e2b_code_interpreter import AsyncSandbox as AsyncInterpreter


async def square(number: int) -> int:
    async with await AsyncSandbox.create() as sandbox:
        await sandbox.files.write("number", str(number))
        result = await sandbox.commands.run("echo $(( $(cat number) ** 2 ))")
        return int(result.stdout)


async def watched() -> list[str]:
    async with await AsyncSandbox.create() as sandbox:
        names: asyncio.Queue[str] = asyncio.Queue()
        watch = await sandbox.files.watch_dir(".", on_event=lambda e: names.put_nowait(e.name))
        await sandbox.commands.run("touch one two")
        seen = {await names.get()}
        while seen != {"one", "two"}:
            seen.add(await names.get())
        await watch.stop()
        return sorted(seen)


async def streamed() -> list[str]:
    lines: list[str] = []
    async with await AsyncInterpreter.create() as sandbox:
        execution = await sandbox.run_code(
            "for n in range(3): print(n)\n'end'",
            on_stdout=lambda message: lines.append(message.line.strip()),
        )
        context = await sandbox.create_code_context(cwd="/tmp")
        where = await sandbox.run_code("__import__('os').getcwd()", context=context)
    return [*"\n".join(lines).split(), execution.text or "", where.text or ""]


async def main() -> None:
    print(await asyncio.gather(*(square(number) for number in range(6))))
    print(await watched())
    print(await streamed())


asyncio.run(main())
