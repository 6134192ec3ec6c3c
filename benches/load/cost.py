"""What processes and their children have cost so far: `cost.py PID…`.

Tells nanoseconds of CPU time, user and system, and KiB of memory. The time is the
one that utime and stime in /proc are made of, which count it in hundredths of a
second; every process has a clock of it (clock_getcpuclockid(3)), whose number is
made as the C library makes it. Threads that ended are in it. The memory is VmRSS:
what processes share counts once for each.
"""

import sys
import time


def family(pid):
    yield pid
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        for child in children.read().split():
            yield from family(int(child))


def resident(pid):
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    raise SystemExit(f"process {pid} has ended")


pids = [pid for root in sys.argv[1:] for pid in family(int(root))]
print(sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in pids), sum(map(resident, pids)))
