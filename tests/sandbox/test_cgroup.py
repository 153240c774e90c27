"""Groups of both versions, on plain files: the kernel's own are tried by the other tests."""

import pytest

from codin.process_name import process_name
from codin.sandbox.base import MIB, Limits
from codin.sandbox.box import cgroup
from codin.sandbox.box.meter import GroupMeter, Sample


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(cgroup, "ROOT", tmp_path)
    return tmp_path


def test_version_1(root):
    group = cgroup.GroupV1("1.2/a/b")
    group.limit(Limits(memory_bytes=100 * MIB, processes=20))
    memory, pids, cpu = (root / name / "codin/1.2/a/b" for name in ("memory", "pids", "cpuacct"))
    assert (memory / "memory.limit_in_bytes").read_text() == str(100 * MIB)
    assert (pids / "pids.max").read_text() == str(20 + cgroup.OWN_PROCESSES)
    assert group.join == [folder / "cgroup.procs" for folder in (memory, pids, cpu)]
    assert (group.memory_peak(), group.cpu_seconds(), group.oom_kills()) == (None, 0, 0)
    (memory / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    (memory / "memory.max_usage_in_bytes").write_text("5000\n")
    (cpu / "cpuacct.usage").write_text("1500000000\n")
    assert (group.memory_peak(), group.cpu_seconds(), group.oom_kills()) == (5000, 1.5, 2)


def test_version_2(root):
    (root / "cgroup.controllers").write_text("cpu memory pids\n")
    group = cgroup.GroupV2("1.2/a/b")
    group.limit(Limits(memory_bytes=100 * MIB, processes=20))
    folder = root / "codin/1.2/a/b"
    assert (folder / "memory.max").read_text() == str(100 * MIB)
    assert (folder / "memory.oom.group").read_text() == "1"
    assert (folder / "pids.max").read_text() == str(20 + cgroup.OWN_PROCESSES)
    for above in (root, root / "codin", root / "codin/1.2", root / "codin/1.2/a"):
        assert (above / "cgroup.subtree_control").read_text() == "+memory +pids"
    assert not (folder / "cgroup.subtree_control").exists()
    (folder / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
    (folder / "memory.events").write_text("low 0\noom 1\noom_kill 3\noom_group_kill 1\n")
    (folder / "memory.peak").write_text("7000\n")
    assert (group.memory_peak(), group.cpu_seconds(), group.oom_kills()) == (7000, 2.5, 3)


def test_a_folder_with_other_hierarchies_in_it_is_none_of_version_2(root):
    with pytest.raises(OSError, match="no hierarchy of version 2"):
        cgroup.GroupV2("1.2/a")
    ended = process_name().replace(".", ".1", 1)  # another moment of its beginning
    left = root / "codin" / ended
    (left / "probe").mkdir(parents=True)
    cgroup.sweep()
    assert left.exists()
    (root / "cgroup.controllers").write_text("memory pids\n")
    cgroup.sweep()
    assert not left.exists()


def test_no_limit_is_not_written(root):
    cgroup.GroupV1("1.2/a").limit(Limits(memory_bytes=None, processes=None))
    assert not list(root.rglob("*.limit_in_bytes"))
    assert not list(root.rglob("pids.max"))


def test_where_no_group_can_be_made_there_is_none(root):
    root.joinpath("memory").write_text("not a folder")
    root.joinpath("codin").write_text("not a folder")
    assert cgroup.find_kind() is None


def test_a_meter_keeps_what_it_last_saw(root):
    group = cgroup.GroupV1("1.2/a")
    usage = root / "cpuacct/codin/1.2/a/cpuacct.usage"
    usage.write_text("1000000000")
    meter = GroupMeter(group)
    assert meter.sample() == Sample(cpu_seconds=1.0)
    usage.unlink()
    assert meter.sample() == Sample(cpu_seconds=1.0)


def test_groups_of_a_platform_that_is_gone_are_swept(root):
    namespace = process_name().rpartition(".")[2]
    names = [process_name(), f"{2**22 + 1}.1.{namespace}", f"{2**22 + 1}.1.5"]
    for name in names:
        (root / "memory/codin" / name / "a/b").mkdir(parents=True)
    cgroup.sweep()
    assert {path.name for path in (root / "memory/codin").iterdir()} == {names[0], names[2]}
