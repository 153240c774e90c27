"""More on the host's disk than it may have there, and what cannot be removed again."""

from __future__ import annotations

from dataclasses import replace

from codin.sandbox.base import MIB
from codin.testing.escapes.base import LIMITS, Act, Attempt, Code, Ground
from codin.testing.escapes.weaken import Bare, Weaker

_LIMITS = replace(LIMITS, disk_bytes=8 * MIB)
_UNLIMITED = Weaker(
    "no limit on the disk", limits=replace(LIMITS, disk_bytes=None, wall_seconds=55.0)
)
_ENDED = ("DiskLimit", "EFBIG", "ENOSPC", "EDQUOT")
_SEEN = "time.sleep(1.5); got('{what}')"


def _fill(identity: str, tries: str, code: str, *also: str) -> Attempt:
    """Code that writes many times what it may, and keeps it until it would have been seen."""
    kept = f"os.chdir('/workspace')\n{code}\n" + _SEEN.format(what="many times the limit")
    return Attempt(
        identity, tries, (*_ENDED, *also), Code(kept), _UNLIMITED, _LIMITS, own=True, alone=True
    )


async def _through_host(ground: Ground) -> str:
    """The host's own writing counts too."""
    for number in range(12):
        await ground.fs.write(f"part{number}", bytes(2 * MIB))
    return "24 MiB, written by the host"


_PARTS = """
for n in range(12):
    with open(f"part{n}", "wb") as f: f.write(bytes(6 << 20))
"""

ATTEMPTS = (
    _fill(
        "disk-file",
        "write one file that is too large",
        "f = open('large', 'wb')\nfor n in range(64): f.write(bytes(1 << 20)); f.flush()",
    ),
    _fill("disk-files", "write many files", _PARTS),
    _fill(
        "disk-empty-files",
        "make very many empty files",
        "for n in range(12000): open(str(n), 'w').close()",
    ),
    _fill("disk-folders", "make very many folders", "for n in range(12000): os.mkdir(str(n))"),
    _fill(
        "disk-links", "make very many links", "for n in range(12000): os.symlink('x' * 100, str(n))"
    ),
    _fill(
        "disk-deep",
        "make a tree that is too deep to be named",
        "for n in range(1500): os.mkdir('d' * 50); os.chdir('d' * 50)",
    ),
    _fill(
        "disk-sparse",
        "make a file that is endless and takes nothing",
        "f = open('sparse', 'wb'); f.truncate(1 << 40)",
    ),
    _fill(
        "disk-allocated",
        "take room for a file without writing it",
        "os.posix_fallocate(os.open('taken', os.O_CREAT | os.O_RDWR), 0, 64 << 20)",
        "EOPNOTSUPP",
    ),
    _fill(
        "disk-unnamed",
        "write files that have no name any more",
        """
kept = []
for n in range(12):
    f = open(f"gone{n}", "wb", 0); os.unlink(f"gone{n}"); kept.append(f)
    f.write(bytes(6 << 20))
""",
    ),
    _fill(
        "disk-never-named",
        "write files that never had a name",
        """
kept = []
for n in range(12):
    fd = os.open(".", os.O_TMPFILE | os.O_RDWR); kept.append(fd)
    os.write(fd, bytes(6 << 20))
""",
        "EOPNOTSUPP",
        "EISDIR",
    ),
    _fill(
        "disk-hidden",
        "write files in a folder that is then closed to everybody",
        """
os.mkdir("closed")
kept = [open(f"closed/{n}", "wb", 0) for n in range(12)]
os.chmod("closed", 0)
for f in kept: f.write(bytes(6 << 20))
""",
    ),
    _fill(
        "disk-moving",
        "write files that are moved all the time",
        _PARTS.replace("12", "3").replace("6 <<", "2 <<")
        + """
for n in range(3, 40):
    with open(f"part{n}", "wb") as f: f.write(bytes(2 << 20))
    for m in range(n): os.rename(f"part{m}", "moved"); os.rename("moved", f"part{m}")
""",
    ),
    _fill(
        "disk-archive",
        "have a small archive become a large folder",
        """
import io, zipfile
data = io.BytesIO()
with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as z:
    for n in range(12): z.writestr(str(n), bytes(6 << 20))
zipfile.ZipFile(data).extractall("out")
""",
    ),
    Attempt(
        "disk-archive-paths",
        "have an archive unpack itself into the host's folders",
        ("ENOENT", "EROFS", "EACCES", "EPERM", "nothing"),
        Code(
            """
import io, tarfile
data, name = io.BytesIO(), H["folder"] + "/new"
with tarfile.open(fileobj=data, mode="w") as t:
    for path in (name, "../" * 30 + name):
        t.addfile(tarfile.TarInfo(path), io.BytesIO())
data.seek(0)
tarfile.open(fileobj=data).extractall(".", filter="fully_trusted")
if os.path.exists(H["file"]): got(name)
"""
        ),
        Bare(),
        _LIMITS,
        own=True,
    ),
    Attempt(
        "disk-by-host",
        "have the host itself write too much",
        ("DiskLimit",),
        Act(_through_host),
        _UNLIMITED,
        _LIMITS,
        own=True,
    ),
    Attempt(
        "disk-of-tmp",
        "fill /tmp",
        _ENDED,
        Code(
            "with open('/tmp/large', 'wb') as f:\n"
            "    for n in range(32): f.write(bytes(1 << 20))\n"
            "got('32 MiB')"
        ),
        _UNLIMITED,
        _LIMITS,
        own=True,
    ),
)
