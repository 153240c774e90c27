"""`codin sandbox` from outside: its shell, files run in it, and what it refuses."""

import os
import pty
import select
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow


def codin(*arguments, stdin="", cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "codin", "sandbox", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=cwd,
    )


def test_a_shell_reads_what_it_is_given():
    done = codin(stdin="echo out; echo err >&2; pwd; exit 5\n")
    assert (done.returncode, done.stdout, done.stderr) == (5, "out\n/workspace\n", "err\n")
    assert codin("shell", stdin="id -un").stdout == "sandbox\n"


def test_the_shell_reaches_nothing_of_the_machine(tmp_path):
    (tmp_path / "secret").write_text("x")
    done = codin(
        stdin=f"cat {tmp_path}/secret; env; timeout 2 bash -c 'echo > /dev/tcp/1.1.1.1/53'"
    )
    assert "No such file" in done.stderr
    assert done.returncode != 0
    assert "CODIN" not in done.stdout


def test_a_file_is_run(tmp_path):
    file = tmp_path / "job.py"
    file.write_text(
        "import os, sys\nprint(sys.argv[1:], os.getcwd())\n"
        "print(sys.stdin.read(), file=sys.stderr)\nsys.exit(7)"
    )
    done = codin("run", str(file), "a b", "--flag", stdin="given")
    assert done.returncode == 7
    assert done.stdout == "['a b', '--flag'] /workspace\n"
    assert done.stderr == "given\n"
    assert codin(str(file), "--flag").stdout == "['--flag'] /workspace\n"
    assert "'nothing.py' does not exist" in codin("nothing.py").stderr


def test_a_shell_file_is_run_and_a_signal_is_told(tmp_path):
    file = tmp_path / "job.sh"
    file.write_text("echo $1; kill -9 $$")
    done = codin("run", str(file), "x")
    assert (done.returncode, done.stdout) == (137, "x\n")


def test_a_workspace_is_kept(tmp_path):
    done = codin("--workspace", str(tmp_path), stdin="echo made > made.txt")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "made.txt").read_text() == "made\n"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "no-such.py"], 2, "no-such.py"),
        (["--memory", "much"], 2, "'much' is no size"),
        (["--memory", "-1"], 2, "memory_bytes"),
        (["--network", "example.com"], 2, "host:port"),
        (["--least", "container"], 1, "container"),
        (["--backend", "moon"], 2, "moon"),
        (["--workspace", "/no/such/folder"], 2, "/no/such/folder"),
    ],
)
def test_what_cannot_be_had(arguments, code, said):
    done = codin(*arguments)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_limits_hold(tmp_path):
    file = tmp_path / "big.py"
    file.write_text("bytearray(300 << 20)\nprint('had it')")
    done = codin("run", "--memory", "100m", str(file))
    assert done.returncode == 1
    assert "memory" in done.stderr
    late = codin("--seconds", "0.5", stdin="sleep 30")
    assert late.returncode == 1
    assert "0.5 s" in late.stderr


def test_in_a_terminal_it_has_one_of_its_own():
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "codin", "sandbox"], stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    try:
        _read_until(ours, b"sandbox:")
        os.write(ours, b"test -t 0 && test -t 1 && echo is-$((40+2))\n")
        _read_until(ours, b"is-42")
        os.write(ours, b"echo be-$((40+1)); sleep 100\n")
        _read_until(ours, b"be-41")
        time.sleep(0.5)
        os.write(ours, b"\x03")  # ends what runs inside, and nothing else
        os.write(ours, b"echo on-$((40+3)); exit 3\n")
        _read_until(ours, b"on-43")
        assert process.wait(20) == 3
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _read_until(fd, text):
    seen, late = b"", time.monotonic() + 20
    while text not in seen:
        ready, _, _ = select.select([fd], [], [], max(late - time.monotonic(), 0))
        assert ready, seen
        seen += os.read(fd, 4096)
