from __future__ import annotations

import subprocess
import sys

from codin.task.owner import is_dead, new_owner


def test_a_living_process_is_not_dead() -> None:
    assert not is_dead(new_owner())
    assert new_owner() != new_owner()


def test_a_dead_process_is() -> None:
    code = "from codin.task.owner import new_owner; print(new_owner())"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert is_dead(said.stdout.strip())


def test_a_reused_process_id_is_not_taken_for_the_old_process() -> None:
    machine, process, nonce = new_owner().split("/")
    pid, _, namespace = process.split(".")
    assert is_dead(f"{machine}/{pid}.12345.{namespace}/{nonce}")
    assert not is_dead(f"{machine}/{pid}.12345.5/{nonce}"), "in another container"


def test_of_others_nothing_is_known() -> None:
    assert not is_dead("another-host/1/2/3")
    assert not is_dead("worker-7")
    assert not is_dead("")
