"""Writes that are cut off before each of their file operations: started by test_checkpoint_faults.py.

In a process of its own, which forks: a child arms a countdown, writes, and at the n-th operation dies ("kill") or
finds the disk full from there on ("full"). What is on the disk then is looked at by the parent, for each n until the
write gets through. The mode and a folder are the arguments; a JSON report is printed.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from tinygrad_fc.files import write_atomically
from tinygrad_fc.training.checkpoint import CheckpointError, CheckpointWarning, newest, write_checkpoint

# Operations of the audit hook: each is reported before it is done. A full disk lets one rename and remove.
CHANGES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.scandir"}
NEED_SPACE = {"open", "os.mkdir"}


class Countdown:
    def __init__(self) -> None:
        self.left, self.mode = -1, ""

    def count(self, event: str, handle: int | None = None) -> None:
        if self.left < 0:
            return
        self.left = max(0, self.left - 1)
        if self.left:
            return
        if self.mode == "kill":
            if handle is not None and os.fstat(handle).st_size > 1 and not os.path.isdir(f"/proc/self/fd/{handle}"):
                os.ftruncate(handle, os.fstat(handle).st_size // 2)  # what was not synced may be lost
            os._exit(9)
        if event in NEED_SPACE or handle is not None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


countdown = Countdown()
fsync = os.fsync


def counted(handle: int) -> None:
    countdown.count("fsync", handle)
    fsync(handle)


def hook(event: str, values: Any) -> None:
    # Reading needs no space: the flags say whether a file is opened for writing.
    if event in CHANGES and (event != "open" or values[2] & (os.O_WRONLY | os.O_RDWR)):
        countdown.count(event)


def write(folder: Path, step: int, mark: str, keep: int = 2) -> Path:
    return write_checkpoint(folder, step, {"w": np.full(40, step * 1.0)}, {"mark": mark, "v": np.ones(3)}, keep)


def first(folder: Path) -> Callable[[], object]:
    """A folder that is not there yet."""
    return lambda: write(folder / "run", 4, "new")


def another(folder: Path) -> Callable[[], object]:
    """One more, for which the oldest one goes."""
    for step in (1, 2, 3):
        write(folder / "run", step, "old", 3)
    return lambda: write(folder / "run", 4, "new", 3)


def again(folder: Path) -> Callable[[], object]:
    """The only one, of the same step."""
    write(folder / "run", 4, "old", 1)
    return lambda: write(folder / "run", 4, "new", 1)


def whole_file(folder: Path) -> Callable[[], object]:
    (folder / "run").mkdir()
    write_atomically(folder / "run" / "net", b"old" * 1000)
    return lambda: write_atomically(folder / "run" / "net", b"new" * 2000)


def fault(scenario: Callable[[Path], Callable[[], object]], folder: Path, mode: str, status: int, said: str) -> str:
    """Return what is wrong on the disk after a write that was cut off, or nothing."""
    run, done = folder / "run", status == 0
    names = sorted(path.name for path in run.iterdir()) if run.exists() else []
    hidden = [name for name in names if name.startswith(".")]
    if mode == "full" and hidden:
        return f"left behind: {hidden}"
    if mode == "full" and not done and ("No space left" not in said or str(run) not in said):
        return f"it said {said!r}"
    if scenario is whole_file:
        found = {b"old" * 1000: "old", b"new" * 2000: "new"}.get((run / "net").read_bytes(), "neither")
        if mode == "full":
            return "" if found == ("old" if "was not written" in said else "new") else f"{found}, and it said {said!r}"
        return "" if found == "new" or (not done and found == "old") else found
    try:
        _, step, weights, state = newest(run)
    except CheckpointError as error:
        wanted = scenario is first and not done and ("there is no checkpoint" in str(error) or "no such" in str(error))
        return "" if wanted else str(error)
    except CheckpointWarning as warning:
        return f"unreadable: {warning}"
    before = {another: 3, again: 4}.get(scenario)
    if (step, state["mark"]) != (4, "new") and (done or (step, state["mark"]) != (before, "old")):
        return f"step {step} {state['mark']}"
    if not np.array_equal(weights["w"], np.full(40, step * 1.0)):
        return "other weights"
    if mode == "full" and not done and scenario is another and names != [f"step-{n:09d}" for n in (1, 2, 3)]:
        return f"there is {names}"
    write(run, 5, "next", 2)  # which removes what was left
    left = [path.name for path in run.iterdir() if path.name.startswith(".")]
    return f"stays: {left}" if left or newest(run)[3]["mark"] != "next" else ""


def attempt(action: Callable[[], object], said: Path) -> NoReturn:
    try:
        action()
    except OSError as error:
        countdown.left = -1
        said.write_text(str(error))
        os._exit(1)
    os._exit(0)


def main() -> None:
    mode, home = sys.argv[1], Path(sys.argv[2])
    warnings.simplefilter("error")
    write(home / "warm", 1, "")  # imports what a write needs
    sys.addaudithook(hook)
    os.fsync = counted
    report: dict[str, Any] = {"faults": []}
    for scenario in (first, another, again, whole_file):
        n, through = 0, False
        while not through:
            n += 1
            folder = home / f"{scenario.__name__}-{n}"
            folder.mkdir()
            action = scenario(folder)
            child = os.fork()
            if not child:
                countdown.mode, countdown.left = mode, n
                attempt(action, folder / "said")
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            through = n > 100 or (status == 0 and mode == "kill")
            said = (folder / "said").read_text() if (folder / "said").exists() else ""
            if found := fault(scenario, folder, mode, status, said):
                report["faults"].append(f"{scenario.__name__}, operation {n}: {found}")
            if mode == "full" and status == 0:  # the rest needs no space
                through = True
            shutil.rmtree(folder)
        report[scenario.__name__] = n
    print(json.dumps(report))


if __name__ == "__main__":
    main()
