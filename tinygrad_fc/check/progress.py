"""The progress bar of a check that takes long."""

from __future__ import annotations

from typing import Any


class Silent:
    """A progress bar that is not seen."""

    def update(self) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Show nothing."""


SILENT = Silent()


def bar(total: int, progress: bool | None) -> Any:
    """Return a progress bar, or what stands for one where none is to be seen."""
    if progress is False or (progress is None and total < 2_000):
        return SILENT
    from tqdm.auto import tqdm

    # disable=None: off where the output is no terminal.
    return tqdm(total=total, desc="gradient check", unit=" coordinates", disable=None if progress is None else False)
