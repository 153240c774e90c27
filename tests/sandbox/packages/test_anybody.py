"""Layers of a user without rights."""

import pytest

from codin.testing.escapes.user import as_nobody, can_be_somebody_else, home_of_nobody

_SMOKE = """
import asyncio, os
from codin.sandbox import LocalSandboxProvider, SandboxSpec
from codin.sandbox.packages import PackageLayers

async def main():
    provider = LocalSandboxProvider(layers=PackageLayers(index=INDEX))
    async with await provider.create(SandboxSpec(requirements=("plain",))) as sandbox:
        print(os.getuid(), (await sandbox.run_code("import plain; plain.WORD")).value)
        done = await sandbox.exec(["sh", "-c", "chmod -R u+w /packages; echo > /packages/plain.py"])
        print(done.stderr.count(b"Read-only"))
    await provider.close()

asyncio.run(main())
"""


@pytest.mark.skipif(
    not can_be_somebody_else(), reason="root can also try what another user can; a user does"
)
def test_anybody_can_have_packages(index):
    index.wheel("plain", files={"plain.py": "WORD = 'hello'\n"})
    with home_of_nobody() as home:
        done = as_nobody(home, "-c", _SMOKE.replace("INDEX", repr(index.url)))
        assert done.stdout.splitlines()[:1] == ["65534 'hello'"], done.stderr
        assert int(done.stdout.splitlines()[1]) > 1
        kept = home / ".cache/codin/packages"
        assert kept.stat().st_mode & 0o777 == 0o700
