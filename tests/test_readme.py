"""The session of README.md is run, and what it prints is compared with what stands there."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"


def sessions() -> list[str]:
    return re.findall(r"```pycon\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_the_session_prints_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the session writes a picture
    (session,) = sessions()
    test = doctest.DocTestParser().get_doctest(session, {}, "README.md", str(README), 0)
    assert 15 <= len(session.splitlines()) <= 45
    report: list[str] = []
    with np.printoptions(precision=8, suppress=False):
        results = doctest.DocTestRunner(verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE).run(
            test, out=report.append
        )
    assert results.attempted >= 10
    assert results.failed == 0, "".join(report)
    assert "fc1.W" in (tmp_path / "graph.svg").read_text(encoding="utf-8")


def test_links_lead_somewhere() -> None:
    text = README.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    local = [target for target in targets if "://" not in target]
    assert local
    assert [target for target in local if not (ROOT / target).exists()] == []


def test_the_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"^make (\w+)", README.read_text(encoding="utf-8"), re.MULTILINE))
    assert {"demo", "test"} <= named
    assert [name for name in named if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []
