"""The page on NumPy's functions: what its cells compute, as the documentation's build does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[str, dict[str, str]]:
    """Return what the first cell prints, and the rows of the tables: what is called, and the rest of the row."""
    monkeypatch.chdir(DOCS)
    cells = re.findall(r"```\{code-cell\} python\n(.*?)```", Path("numpy.md").read_text(encoding="utf-8"), re.DOTALL)
    code = "\n".join(re.sub(r"^:tags:.*\n", "", cell) for cell in cells)
    whole: dict[str, str] = {}
    exec(code.replace("from IPython.display import Markdown", "Markdown = str").replace(
        'Markdown("', 'page = Markdown("'), whole)  # fmt: skip
    rows = re.findall(r"^\| `(.*?)` \| (.*)$", whole["page"], re.MULTILINE)
    assert len(rows) == len({call for call, _ in rows}) > 300
    return capsys.readouterr().out, dict(rows)


def test_each_function_stands_once_with_its_arguments(page: tuple[str, dict[str, str]]) -> None:
    _, rows = page
    names = [re.split(r"\((?!values)|\[", call)[0] for call in rows if not call.startswith("t.at")]
    assert sorted({name for name in names if names.count(name) > 1}) == []
    assert "einsum(*operands, optimize)" in rows
    assert "put_along_axis(arr, indices, values, axis)" in rows
    assert "zeros(shape, dtype, order, requires_grad, name, device, like)" in rows
    assert {"t[key]", *[f"t.at[key].{name}(values)" for name in ("set", "add", "multiply", "max", "min")]} <= set(rows)
    for helper in ("embed_diagonal", "scatter", "permute", "vectors", "pad_constant", "barred", "arcsin_slope", "same"):
        assert helper not in names


def test_ties_are_pointed_to_where_they_are(page: tuple[str, dict[str, str]]) -> None:
    _, rows = page
    noted = {re.split(r"\((?!values)", call)[0] for call, rest in rows.items() if "ties.md" in rest}
    assert {"power", "arccos", "arccosh", "fmin", "fmod", "ceil", "trunc", "rint", "svd", "eigh", "max", "nanmin",
            "cummin", "t[key]", "t.at[key].multiply(values)", "t.at[key].min(values)"} <= noted  # fmt: skip
    assert not {"multiply", "add", "exp", "cos", "reshape"} & noted


def test_what_is_said_of_refusals_is_so(page: tuple[str, dict[str, str]]) -> None:
    first, second, third = page[0].strip().split("\n\n")
    assert first.startswith("np.modf has no derivative rule for tensors. The nearest supported function is np.fmod.")
    assert second.startswith("add: a tensor cannot be written into an array")
    assert "tg.stack" in third
