"""Ids: never twice, not even where many threads or a forked process ask."""

import os
import re
from concurrent.futures import ThreadPoolExecutor

from codin.ids import new_id


def test_no_id_comes_twice() -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: [new_id() for _ in range(500)], range(16)))
    ids = [one for some in found for one in some]
    assert len(set(ids)) == len(ids) == 8000
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)


def test_a_forked_process_gives_others() -> None:
    new_id()  # what was drawn with it must not be given by both
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, "".join(new_id() for _ in range(8)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(read, 8 * 32).decode()
    assert len(theirs) == 8 * 32
    assert not {theirs[at : at + 32] for at in range(0, len(theirs), 32)} & {
        new_id() for _ in range(8)
    }
    os.close(read)
    os.close(write)
