"""Container limits: cgroup v1 and v2, nested, mixed, seen from inside and outside the container."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from bark_infinity.model.containers import memory_limit, processor_limit
from bark_infinity.model.devices import linux_memory

GIB = 2**30
MEMINFO = f"MemTotal: {64 * 2**20} kB\nMemFree: 1 kB\nMemAvailable: {32 * 2**20} kB\n"
NONE_V1 = 9223372036854771712  # how version 1 writes "no limit"


def system(files: dict[str, object], groups: str = "0::/") -> Path:
    """A fake root folder with the system's files; `files` are below /sys/fs/cgroup."""
    root = Path("root")
    contents = {"proc/self/cgroup": groups + "\n", "proc/meminfo": MEMINFO}
    for name, content in (contents | {f"sys/fs/cgroup/{name}": content for name, content in files.items()}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{content}\n" if isinstance(content, int) else content)
    return root


def v2(group: str, limit: object, used: int, inactive: int = 0, name: str = "max") -> dict[str, object]:
    stat = f"anon 5\nactive_file 7\ninactive_file {inactive}\n"
    return {f"{group}memory.{name}": limit, f"{group}memory.current": used, f"{group}memory.stat": stat}


def v1(group: str, limit: int, used: int, inactive: int = 0) -> dict[str, object]:
    stat = f"inactive_file 1\ntotal_inactive_file {inactive}\n"
    names = "memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat"
    return {f"memory/{group}{name}": content for name, content in zip(names, (limit, used, stat), strict=True)}


@pytest.mark.parametrize(
    ("files", "groups", "expected"),
    [
        ({}, "0::/", (64, 32)),  # no control groups
        (v2("", 8 * GIB, 3 * GIB, GIB), "0::/", (8, 6)),  # inside a container: its group is the root
        (v2("", 8 * GIB, 3 * GIB, GIB), "0::/docker/1f", (8, 6)),  # its own name, which is not mounted
        (v2("", 8 * GIB, 3 * GIB), "0::/../../other", (8, 5)),
        (v2("", "max\n", 3 * GIB), "0::/", (64, 32)),
        (v2("a/b/", 4 * GIB, GIB) | v2("a/", 2 * GIB, GIB // 2), "0::/a/b", (2, 1.5)),  # the tighter one is above
        (v2("a/b/", 2 * GIB, GIB) | v2("a/", 4 * GIB, GIB), "0::/a/b", (2, 1)),
        (v2("c/", GIB, GIB), "0::/a", (64, 32)),  # another process's group
        (v2("", 6 * GIB, GIB, name="high") | {"memory.max": "max\n"}, "0::/", (6, 5)),
        (v2("", GIB, 3 * GIB), "0::/", (1, 0)),  # usage above a limit set later
        (v1("", NONE_V1, GIB), "4:memory:/", (64, 32)),
        (v1("", 8 * GIB, 3 * GIB, GIB), "4:memory:/docker/1f", (8, 6)),
        (v1("a/b/", NONE_V1, 0) | v1("a/", 8 * GIB, GIB), "4:memory:/a/b\n3:cpu,cpuacct:/", (8, 7)),
        (v1("a/", 8 * GIB, GIB), "4:memory:/a\n0::/", (8, 7)),  # both versions mounted
        ({f"unified/{k}": v for k, v in v2("a/", 8 * GIB, GIB).items()}, "1:name=systemd:/\n0::/a", (8, 7)),
        (v2("a:b c/", 8 * GIB, GIB), "0::/a:b c", (8, 7)),
        (v2("", "nonsense", GIB), "0::/", (64, 32)),
    ],
)
def test_memory_is_limited_by_the_cgroup(files, groups, expected):
    assert linux_memory(system(files, groups)) == tuple(int(gib * GIB) for gib in expected)


def test_without_control_groups_there_are_no_limits():
    assert memory_limit(Path("absent")) == (math.inf, math.inf) and processor_limit(Path("absent")) == math.inf


@pytest.mark.parametrize(
    ("files", "groups", "expected"),
    [
        ({"cpu.max": "150000 100000\n"}, "0::/", 1.5),
        ({"cpu.max": "max 100000\n"}, "0::/", math.inf),
        ({"cpu.max": ""}, "0::/", math.inf),
        ({"a/cpu.max": "50000 100000\n", "a/b/cpu.max": "max 100000\n"}, "0::/a/b", 0.5),
        ({"cpu,cpuacct/a/cpu.cfs_quota_us": 200000, "cpu,cpuacct/a/cpu.cfs_period_us": 100000}, "3:cpu,cpuacct:/a", 2),
        ({"cpu/cpu.cfs_quota_us": 200000, "cpu/cpu.cfs_period_us": 100000}, "3:cpu,cpuacct:/a", 2),
        ({"cpu/cpu.cfs_quota_us": -1, "cpu/cpu.cfs_period_us": 100000}, "3:cpu:/", math.inf),
    ],
)
def test_processors_are_limited_by_the_cgroup(files, groups, expected):
    assert processor_limit(system(files, groups)) == expected
