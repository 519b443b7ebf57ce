"""Small CIFAR-10 files for the tests of the loaders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cifar10_made import write_folder


@pytest.fixture(autouse=True)
def nothing_at_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may find the data of whoever runs it."""
    monkeypatch.delenv("TINYGRAD_FC_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def made(tmp_path: Path, rng: np.random.Generator) -> tuple[Path, dict[str, Any]]:
    """A folder of small batches (4, 3, 5, 4, 4 and 6 images), and what is in it."""
    folder = tmp_path / "cifar-10-batches-py"
    return folder, write_folder(folder, rng)
