"""Calls of the host's on the sandbox's files, led astray by what code inside has made."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from codin.sandbox.errors import PermissionDenied, SandboxFileNotFound
from codin.sandbox.filesystem import FileSystem
from codin.testing.escapes.base import Act, Attempt, Control, Ground, Held, NotRun
from codin.testing.escapes.careless import Careless, made
from codin.testing.escapes.scene import Scene

_REFUSED = ("PermissionDenied", "SandboxFileNotFound")
_BLOCKED = 3.0


def _fs(
    identity: str,
    tries: str,
    function: Callable[[Ground], Awaitable[str]],
    sees: tuple[str, ...] = _REFUSED,
    control: Control | None = None,
) -> Attempt:
    return Attempt(identity, tries, sees, Act(function), control or Careless(), own=True)


def _secret(ground: Ground, data: bytes) -> str:
    if ground.scene.secret.encode() in data:
        return "the secret"
    raise Held("nothing")


def _touched(ground: Ground) -> str:
    found = ground.scene.touched()
    if not found:
        raise Held("nothing")
    return found


def _reads(code: str, path: str) -> Callable[[Ground], Awaitable[str]]:
    async def attempt(ground: Ground) -> str:
        if code:
            await made(ground, code)
        facts = {key: str(value) for key, value in ground.scene.facts().items()}
        return _secret(ground, await ground.fs.read(path.format(**facts)))

    return attempt


def _changes(
    code: str, change: Callable[[FileSystem, Scene], Awaitable[object]]
) -> Callable[[Ground], Awaitable[str]]:
    async def attempt(ground: Ground) -> str:
        if code:
            await made(ground, code)
        try:
            await change(ground.fs, ground.scene)
        except (PermissionDenied, SandboxFileNotFound):
            if not ground.scene.touched():
                raise
        return _touched(ground)

    return attempt


_LINK = "os.symlink(H['folder'], 'link')"
_UP = "../" * 30


async def _read_environment(ground: Ground) -> str:
    await made(ground, "os.symlink('/proc/self/environ', 'env')")
    data = await ground.fs.read("env")
    if data == await asyncio.to_thread(Path("/proc/self/environ").read_bytes):
        return "the platform's own environment"
    raise Held("nothing")


async def _list_outside(ground: Ground) -> str:
    await made(ground, _LINK)
    names = [info.path for info in await ground.fs.list("link")]
    if any("secret" in name for name in names):
        return str(names)
    raise Held("nothing")


async def _watch_outside(ground: Ground) -> str:
    await made(ground, _LINK)
    async with ground.fs.watch("link") as changes:
        first = asyncio.ensure_future(anext(aiter(changes)))
        try:
            await asyncio.sleep(0.2)
            await asyncio.to_thread((ground.scene.folder / "new").touch)
            done, _ = await asyncio.wait([first], timeout=1)
        finally:
            (ground.scene.folder / "new").unlink(missing_ok=True)
            first.cancel()
    if done:
        return f"what happens in a folder of the host: {first.result().path}"
    raise Held("nothing")


async def _stat_outside(ground: Ground) -> str:
    found = await ground.fs.stat(str(ground.scene.file))
    return f"{found.size} bytes"


async def _stat_through(ground: Ground) -> str:
    await made(ground, "os.symlink(H['file'], 'link')")
    size = (await ground.fs.stat("link")).size
    if size == len(ground.scene.secret):
        return f"the size of a file of the host: {size}"
    raise Held("nothing")


async def _in_time(reading: Awaitable[object], release: Callable[[], None]) -> str:
    """What a call of the host's on something that never answers comes to."""
    task = asyncio.ensure_future(reading)
    done, _ = await asyncio.wait([task], timeout=_BLOCKED)
    if done:
        await task
        raise Held("nothing")
    release()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return f"the host waited {_BLOCKED:g} s"


async def _fifo(ground: Ground) -> str:
    await made(ground, "os.mkfifo('pipe')")

    def release() -> None:
        with contextlib.suppress(OSError):
            os.close(os.open(ground.workspace / "pipe", os.O_WRONLY | os.O_NONBLOCK))

    return await _in_time(ground.fs.read("pipe"), release)


async def _socket(ground: Ground) -> str:
    await made(ground, "socket.socket(socket.AF_UNIX).bind('sock')")
    try:
        await ground.fs.read("sock")
    except OSError as error:
        return f"an error that is not the sandbox's: {error}"
    raise Held("nothing")


async def _device(ground: Ground) -> str:
    await made(ground, "os.symlink('/dev/zero', 'zero')")
    data = await ground.fs.read("zero", max_bytes=1 << 20)
    return f"{len(data)} bytes of a device of the host"


async def _loop_of_links(ground: Ground) -> str:
    await made(ground, "os.symlink('b', 'a'); os.symlink('a', 'b')")
    try:
        await ground.fs.read("a")
    except OSError as error:
        return f"an error that is not the sandbox's: {error}"
    raise Held("nothing")


async def _forged_name(ground: Ground) -> str:
    await made(ground, r"open('a\nforged', 'w').close()")
    names = [info.path for info in await ground.fs.list()]
    if "/workspace/forged" in names:
        return f"a file that is not there: {names}"
    raise Held("nothing")


async def _odd_names(ground: Ground) -> str:
    """Each name comes back as it is, and removing it removes it and nothing else."""
    names = [
        *(
            "-rf",
            "$(touch pwned)",
            "; touch pwned",
            "*",
            "~",
            " ",
            "...",
            "\x1b[2J",
            "\u202egnp.exe",
        ),
        *("\udcff\udcfe", "a" * 255, "\u00e9", "e\u0301", "CON", "a\\b", "%2e%2e", "\uff0e\uff0e"),
    ]
    await made(ground, f"for n in {names!r}: open(n, 'w').close()\nopen('kept', 'w').close()")
    try:
        listed = {info.path.removeprefix("/workspace/") for info in await ground.fs.list()}
    except UnicodeDecodeError as error:
        return f"an error that is not the sandbox's: {error}"
    if listed != {*names, "kept"}:
        return f"other names: {listed ^ {*names, 'kept'}}"
    for name in names:
        await ground.fs.remove(name)
    left = {path.name for path in ground.workspace.iterdir()}
    if left != {"kept"}:
        return f"what is left: {left}"
    raise Held("nothing")


async def _long_name(ground: Ground) -> str:
    try:
        await ground.fs.read("a/" * 3000 + "b" * 300)
    except OSError as error:
        return f"an error that is not the sandbox's: {error}"
    raise Held("nothing")


async def _many_calls(ground: Ground) -> str:
    """Calls on a folder with very many files: other work of the host goes on meanwhile."""
    await made(ground, "for n in range(4000): open(f'{n}', 'w').close()")
    lists = [asyncio.ensure_future(_listed(ground.fs)) for _ in range(16)]
    await asyncio.sleep(0.1)
    began = asyncio.get_running_loop().time()
    await asyncio.to_thread(lambda: None)
    waited = asyncio.get_running_loop().time() - began
    for task in lists:
        task.cancel()
    await asyncio.gather(*lists, return_exceptions=True)
    if waited > _BLOCKED:
        return f"a thread of the host was waited for {waited:.1f} s"
    raise Held("nothing")


async def _listed(fs: FileSystem) -> None:
    with contextlib.suppress(PermissionDenied):
        await fs.list(recursive=True)


ATTEMPTS = (
    _fs(
        "fs-read-link",
        "have the host read a link to one of its files",
        _reads("os.symlink(H['file'], 'link')", "link"),
    ),
    _fs(
        "fs-read-folder-link",
        "have the host read below a link to one of its folders",
        _reads(_LINK, "link/secret"),
    ),
    _fs(
        "fs-read-chain",
        "have the host read through a chain of links",
        _reads(
            "os.symlink(H['file'], 'l0')\nfor n in range(30): os.symlink(f'l{n}', f'l{n+1}')", "l30"
        ),
    ),
    _fs(
        "fs-read-link-up",
        "have the host read a link that climbs with ..",
        _reads(f"os.symlink({_UP!r} + H['file'], 'link')", "link"),
    ),
    _fs("fs-read-up", "have the host read a path with ..", _reads("", _UP + "{file}")),
    _fs("fs-read-absolute", "have the host read an absolute path of its own", _reads("", "{file}")),
    _fs(
        "fs-read-inner-dots",
        "have the host read through a folder, a link and ..",
        _reads(_LINK + "; os.mkdir('f')", "f/../link/secret"),
    ),
    _fs("fs-read-environment", "have the host read its own /proc/self/environ", _read_environment),
    _fs("fs-list-link", "have the host list one of its folders", _list_outside),
    _fs("fs-stat-absolute", "learn of a file of the host by stat", _stat_outside),
    _fs(
        "fs-stat-link",
        "learn of a file of the host by stat of a link",
        _stat_through,
        (*_REFUSED, "nothing"),
    ),
    _fs(
        "fs-write-link",
        "have the host write to a link to one of its files",
        _changes(
            "os.symlink(H['folder'] + '/victim', 'link')", lambda fs, _: fs.write("link", b"x")
        ),
        (*_REFUSED, "nothing"),
    ),
    _fs(
        "fs-write-below-link",
        "have the host make a file below a link",
        _changes(_LINK, lambda fs, _: fs.write("link/new", b"x")),
        (*_REFUSED, "nothing"),
    ),
    _fs(
        "fs-folder-below-link",
        "have the host make a folder below a link",
        _changes(_LINK, lambda fs, _: fs.make_dir("link/new")),
        (*_REFUSED, "nothing"),
    ),
    _fs("fs-watch-link", "be told what happens in a folder of the host", _watch_outside),
    _fs(
        "fs-write-up",
        "have the host write to a path with ..",
        _changes("", lambda fs, scene: fs.write(_UP + str(scene.folder / "new"), b"x")),
        (*_REFUSED, "nothing"),
    ),
    _fs(
        "fs-remove-below-link",
        "have the host remove one of its files, below a link",
        _changes(_LINK, lambda fs, _: fs.remove("link/victim")),
        (*_REFUSED, "nothing"),
    ),
    _fs(
        "fs-move-out",
        "have the host move a file out",
        _changes(
            "open('f', 'w').close()", lambda fs, scene: fs.move("f", str(scene.folder / "new"))
        ),
        (*_REFUSED, "nothing"),
    ),
    _fs(
        "fs-move-in",
        "have the host move one of its files in",
        _changes("", lambda fs, scene: fs.move(str(scene.victim_file), "mine")),
        (*_REFUSED, "nothing"),
    ),
    _fs("fs-fifo", "put a FIFO where the host reads a file", _fifo),
    _fs("fs-socket", "put a socket where the host reads a file", _socket),
    _fs("fs-device", "put a link to a device where the host reads a file", _device),
    _fs("fs-loop", "put links in a circle where the host reads a file", _loop_of_links),
    _fs("fs-forged-name", "forge an entry by a line break in a name", _forged_name, ("nothing",)),
    _fs(
        "fs-odd-names",
        "names that are options, commands, patterns, no text, or no characters at all",
        _odd_names,
        ("nothing",),
    ),
    _fs("fs-long-path", "a path that is longer than the kernel takes", _long_name),
    _fs(
        "fs-many-calls",
        "take all of the host's threads with slow calls",
        _many_calls,
        ("nothing",),
        NotRun(
            "a call is bounded by how many files it tells of, and no one switch takes that away"
        ),
    ),
)
