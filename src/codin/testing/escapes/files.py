"""Files of the host, from inside."""

from __future__ import annotations

from codin.testing.escapes.base import Attempt, Code
from codin.testing.escapes.weaken import Bare, Weaker, add, show

_ABSENT = ("ENOENT", "EACCES", "EPERM", "ENOTDIR", "nothing")
_SHOWN = Weaker("the folder is shown", (show(),))

ATTEMPTS = (
    Attempt(
        "file-by-path",
        "read a file of the host by its path",
        _ABSENT,
        Code("secret(open(H['file'], 'rb').read())"),
        _SHOWN,
    ),
    Attempt(
        "file-in-home",
        "read a file in the home of whoever runs the platform",
        _ABSENT,
        Code("secret(open(H['home'], 'rb').read())"),
        Weaker("that home is shown", (add("--ro-bind", "{home}", "{home}"),)),
    ),
    Attempt(
        "file-searched",
        "search everything that can be seen for a file's name",
        _ABSENT,
        Code(
            """
for folder, below, names in os.walk("/"):
    below[:] = [n for n in below if n not in ("proc", "usr", "lib", "site-packages")]
    if "secret" in names and "victim" in names:
        secret(open(f"{folder}/secret", "rb").read())
"""
        ),
        _SHOWN,
    ),
    Attempt(
        "file-in-shared-memory",
        "read what the host holds in /dev/shm",
        _ABSENT,
        Code("secret(open(H['shm'], 'rb').read())"),
        Weaker("the host's /dev/shm is shown", (add("--ro-bind", "/dev/shm", "/dev/shm"),)),
    ),
    Attempt(
        "file-by-symlink",
        "read a file of the host through a symbolic link",
        _ABSENT,
        Code("os.symlink(H['file'], '/tmp/s'); secret(open('/tmp/s', 'rb').read())"),
        _SHOWN,
    ),
    Attempt(
        "file-by-relative-link",
        "read a file of the host through a link that climbs above the root",
        _ABSENT,
        Code("os.symlink('../' * 40 + H['file'], '/tmp/up'); secret(open('/tmp/up', 'rb').read())"),
        _SHOWN,
    ),
    Attempt(
        "file-by-dots",
        "climb above the root with ..",
        _ABSENT,
        Code("secret(open('../' * 40 + H['file'], 'rb').read())"),
        _SHOWN,
    ),
    Attempt(
        "file-by-hard-link",
        "make a hard link to a file of the host",
        (*_ABSENT, "EXDEV"),
        Code("os.link(H['file'], 'linked'); secret(open('linked', 'rb').read())"),
        Bare(),
    ),
    Attempt(
        "mount-by-hard-link",
        "link a file of a read-only mount into the workspace, to write to it there",
        ("EXDEV", "EPERM", "EROFS", "ENOENT"),
        Code(
            "os.link(os.path.realpath(sys.executable), 'linked')\n"
            "os.unlink('linked'); got('linked')"
        ),
        Bare("no sandbox: a plain process of root, in a folder of the same disk", root=True),
    ),
    Attempt(
        "system-written",
        "write to a file of the host's system",
        ("EROFS", "EPERM", "EACCES", "ENOENT"),
        Code("p = '/usr/' + H['name']; open(p, 'x').close(); os.unlink(p); got(p)"),
        Weaker("/usr is shown writable", (add("--bind", "/usr", "/usr"),), root=True),
    ),
    Attempt(
        "python-written",
        "change the Python that the platform itself runs from",
        ("EROFS", "EPERM", "EACCES", "ENOENT"),
        Code(
            "p = os.path.dirname(os.__file__) + '/' + H['name'] + '.py'\n"
            "open(p, 'x').close(); os.unlink(p); got(p)"
        ),
        Bare("no sandbox: a plain process of whoever owns that Python", root=True),
    ),
    Attempt(
        "root-remounted-by-proc",
        "reach the host's root through the root of every process that can be seen",
        (*_ABSENT, "ESRCH"),
        Code(
            "each([p for p in os.listdir('/proc') if p.isdigit()],"
            " lambda p: secret(open(f'/proc/{p}/root' + H['file'], 'rb').read()))"
        ),
        Bare("no sandbox: a plain process that sees the host's"),
    ),
    Attempt(
        "folder-of-processes",
        "reach the host's files through the working folder of every process",
        (*_ABSENT, "ESRCH"),
        Code(
            "each([p for p in os.listdir('/proc') if p.isdigit()],"
            " lambda p: secret(open(f'/proc/{p}/cwd/secret', 'rb').read()))"
        ),
        Bare("no sandbox: a plain process that sees the host's"),
    ),
    Attempt(
        "descriptors-of-processes",
        "read what other processes hold open, by /proc/*/fd",
        (*_ABSENT, "ESRCH", "ENXIO"),
        Code(
            """
def look(p):
    for fd in os.listdir(f"/proc/{p}/fd"):
        path = f"/proc/{p}/fd/{fd}"
        if os.path.realpath(path) == H["file"]:
            secret(open(path, "rb").read())
each([p for p in os.listdir("/proc") if p.isdigit() and int(p) != os.getpid()], look)
"""
        ),
        Bare("no sandbox: a plain process that sees the host's"),
    ),
    Attempt(
        "descriptors-inherited",
        "use a descriptor of the platform's that was inherited by mistake",
        ("nothing",),
        Code(
            """
import stat
for fd in range(3, 4096):
    try: found = os.fstat(fd)
    except OSError: continue
    where = os.readlink(f"/proc/self/fd/{fd}")
    if not (stat.S_ISFIFO(found.st_mode) or where.startswith("/proc/")):
        got((fd, where))
"""
        ),
        Bare("no sandbox: a process that is given a folder of the host's", leak=True),
    ),
    Attempt(
        "hidden-below-mounts",
        "list what lies below the folders that are shown only in part",
        ("nothing",),
        Code(
            """
found, shown = set(), [p for p in (*sys.path, sys.prefix, sys.base_prefix) if len(p) > 1]
shown.append("/opt/codin")  # the programs of the platform that run inside
shown += [os.path.realpath(p) for p in shown]
for place in ("/root", "/home", "/var", "/opt", "/srv", "/mnt", "/media", "/boot", "/run"):
    for folder, below, names in os.walk(place):
        if any((folder + "/").startswith(p + "/") for p in shown): below[:] = []; continue
        found.update(f"{folder}/{n}" for n in names)
if found: got(sorted(found)[:5])
"""
        ),
        Weaker("/var is shown", (add("--ro-bind", "/var", "/var"),)),
    ),
)
