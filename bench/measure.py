"""What the benchmarks measure with: a new file system for each run, and what /proc tells of processes."""
import os
import subprocess
import time

CLOCK = os.sysconf("SC_CLK_TCK")


class FreshDisk:
    """A new ext4 in a sparse file in memory, for one run. A file system whose files were just deleted stays slow for
    minutes: it searches past the inodes that it does not reuse yet."""

    def __init__(self, work):
        self.image, self.path = os.path.join(work, "disk"), os.path.join(work, "mnt")
        os.makedirs(self.path, exist_ok=True)

    def __enter__(self):
        with open(self.image, "wb") as out:
            out.truncate(12 << 30)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,nodiscard", self.image], check=True)
        subprocess.run(["mount", "-o", "loop", self.image, self.path], check=True)
        os.makedirs(self.path + "/tmp")
        return self.path

    def __exit__(self, *exc):
        for _ in range(100):
            with open("/proc/mounts", encoding="utf-8") as text:
                inside = [line.split()[1] for line in text if line.split()[1].startswith(self.path + "/")]
            for path in reversed(inside):
                subprocess.run(["umount", "-l", path], stderr=subprocess.DEVNULL, check=False)
            if subprocess.run(["umount", self.path], stderr=subprocess.DEVNULL, check=False).returncode == 0:
                os.remove(self.image)
                return
            time.sleep(0.1)
        raise SystemExit("cannot unmount " + self.path)


def stat_of(pid):
    with open("/proc/%s/stat" % pid, encoding="utf-8") as text:
        return text.read().rsplit(")", 1)[1].split()


def cpu_of(pid):
    """(user, system) seconds of a process and its children that ended."""
    f = stat_of(pid)
    return (int(f[11]) + int(f[13])) / CLOCK, (int(f[12]) + int(f[14])) / CLOCK


def written_by(pid):
    with open("/proc/%d/io" % pid, encoding="utf-8") as text:
        return next(int(line.split()[1]) for line in text if line.startswith("write_bytes:"))


def sample_tree(root, without, stop, peak):
    """Until stop is set: peak[0] becomes the largest RSS of the processes below root, in bytes."""
    page = os.sysconf("SC_PAGE_SIZE")
    while not stop.wait(0.02):
        children, rss = {}, {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                f = stat_of(pid)
            except OSError:
                continue
            children.setdefault(int(f[1]), []).append(int(pid))
            rss[int(pid)] = int(f[21]) * page
        todo, total = list(children.get(root, [])), 0
        while todo:
            pid = todo.pop()
            if pid not in without:
                total += rss.get(pid, 0)
                todo += children.get(pid, [])
        peak[0] = max(peak[0], total)
