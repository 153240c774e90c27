"""Files that have no name are found by who holds them, and the filter can be set from inside."""

import ctypes
import errno
import mmap
import os
import subprocess
import sys

import pytest

from codin.sandbox.box.meter import TreeMeter
from codin.sandbox.box.unnamed import memory_device, unnamed_files
from codin.sandbox.box.watchdog import ENDLESS, disk_usage
from codin.sandbox.local import seccomp

SIZE = 8 << 20


def _mine():
    return unnamed_files([os.getpid()])


def test_a_file_that_was_removed_while_it_was_open(tmp_path):
    with (tmp_path / "f").open("wb", 0) as file:
        file.write(bytes(SIZE))
        key = (os.fstat(file.fileno()).st_dev, os.fstat(file.fileno()).st_ino)
        assert key not in _mine()
        (tmp_path / "f").unlink()
        assert SIZE <= _mine()[key] < 2 * SIZE
    assert key not in _mine()


def test_a_file_that_is_only_mapped():
    fd = os.memfd_create("f")
    os.ftruncate(fd, SIZE)
    key = (os.fstat(fd).st_dev, os.fstat(fd).st_ino)
    assert key[0] == memory_device()
    assert _mine()[key] == 0
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    # Python's own mmap would keep the file open.
    at = libc.mmap(None, ctypes.c_size_t(SIZE), 3, mmap.MAP_SHARED, fd, ctypes.c_long(0))
    os.close(fd)
    assert _mine()[key] == SIZE
    libc.munmap(ctypes.c_void_p(at), ctypes.c_size_t(SIZE))
    assert key not in _mine()


def test_a_process_that_is_gone_holds_nothing():
    assert unnamed_files([2**22 + 1]) == {}


_HOLDS = """
import mmap, os, sys
kept = mmap.mmap(-1, {size})
if os.fork() == 0:
    for at in range(0, {size}, 4096): kept[at] = 1
    os._exit(0)
os.wait()
print("up", flush=True)
sys.stdin.read()
"""


def test_memory_that_is_shared_counts_without_being_resident():
    argv = [sys.executable, "-c", _HOLDS.format(size=8 * SIZE)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"up\n"
        found = TreeMeter(process.pid).sample()
        process.stdin.close()
    assert 8 * SIZE < found.memory_bytes < 16 * SIZE


def test_a_folder_that_is_closed_counts_as_endless(tmp_path, monkeypatch):
    (tmp_path / "d").mkdir()
    scan = os.scandir

    def closed(path):
        if str(path).endswith("/d"):
            raise PermissionError(errno.EACCES, "closed", path)
        return scan(path)

    assert disk_usage(tmp_path) < ENDLESS
    monkeypatch.setattr(os, "scandir", closed)
    assert disk_usage(tmp_path) == ENDLESS


_FILTERED = """
import ctypes, errno, os, socket, sys
ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
exec(sys.argv[1])
def tried(function, *args):
    try: function(*args)
    except OSError as error: return errno.errorcode[error.errno]
    return "done"
os.chdir(sys.argv[2])
print(
    tried(os.open, "f", os.O_CREAT | os.O_WRONLY, 0o755), tried(os.open, "g", os.O_CREAT, 0o4755),
    tried(os.chmod, "f", 0o700), tried(os.chmod, "f", 0o4700), tried(os.chmod, "f", 0o2700),
    tried(socket.socket, socket.AF_INET), tried(socket.socket, 40, 1), tried(os.mkdir, "d"),
)
"""


@pytest.mark.skipif(seccomp.program() is None, reason="the numbers of this machine are not known")
def test_the_filter_can_be_set_by_the_program_inside(tmp_path):
    argv = [sys.executable, "-c", _FILTERED, seccomp.installing(), str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    expected = "done EPERM done EPERM EPERM done EAFNOSUPPORT done"
    assert done.stdout.split() == expected.split(), done.stderr


def test_the_filter_of_another_machine():
    assert seccomp.program("aarch64") != seccomp.program("x86_64")
    assert seccomp.program("riscv64") is None
