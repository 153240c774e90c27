"""`codin matrix` from outside."""

import json
import subprocess
import sys


def codin(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "codin", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_matrix_as_json():
    done = codin("matrix", "--backend", "http", "--backend", "kubernetes", "--json")
    assert done.returncode == 0, done.stderr
    cells = json.loads(done.stdout)["cells"]
    assert [cell["workload"] for cell in cells[::2]] == [
        *("Function", "Module", "Class", "Command", "Container", "Endpoint")
    ]
    found = {(cell["workload"], cell["backend"]): cell for cell in cells}
    assert found["Endpoint", "http"]["status"] == "ok"
    assert found["Endpoint", "http"]["seconds"] > 0
    assert found["Function", "http"]["status"] == "unsupported"
    assert found["Function", "kubernetes"]["status"] == "unavailable"
    assert set(cells[0]) == {"workload", "backend", "status", "seconds", "detail"}


def test_the_matrix_as_a_table():
    done = codin("matrix", "--backend", "http")
    assert done.returncode == 0, done.stderr
    row = done.stdout.splitlines()[1].split()
    assert row[:6] == ["http", *"-----"]
    assert row[6] == "ok"


def test_a_backend_that_nobody_knows():
    done = codin("matrix", "--backend", "moon")
    assert done.returncode == 2
    assert "no backend 'moon'" in done.stderr
