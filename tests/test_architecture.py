"""The house holds: one-way imports, a small engine, short files, one walker of parents, a light import."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import tinygrad_fc as tg
from tinygrad_fc.engine.dispatch import functions
from tinygrad_fc.engine.op import REGISTRY

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tinygrad_fc"
ENGINE = PACKAGE / "engine"
MAY_WALK_PARENTS = {PACKAGE / "graph" / "graph.py", ENGINE / "backward.py", ENGINE / "pull.py"}
OPTIONAL = {
    "graphviz", "joblib", "matplotlib", "networkx", "numba", "pooch", "reportlab", "requests", "safetensors", "scipy",
    "sklearn", "svglib", "tensorboardX", "tqdm",
}  # fmt: skip


def modules(folder: Path) -> list[Path]:
    files = sorted(folder.rglob("*.py"))
    assert files, f"no modules in {folder}"
    return files


def code_lines(path: Path) -> int:
    """Count the lines that hold code: no blank lines, no comments, no docstrings."""
    source = path.read_text(encoding="utf-8")
    prose = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    ignored = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in ignored:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - prose)


def imported_names(path: Path) -> Iterator[str]:
    """Yield the dotted name of every import in a file, relative ones resolved, wherever in the file they stand."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            origin = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:  # `from tinygrad_fc import nn` imports a room, `... import tensor` a public name
                is_room = (PACKAGE / alias.name).is_dir() or (PACKAGE / f"{alias.name}.py").exists()
                yield f"{origin}.{alias.name}" if origin == "tinygrad_fc" and is_room else origin


def test_imports_point_one_way() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()"]
    done = subprocess.run(
        [*command, "--config", "setup.cfg", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 kept, 0 broken" in done.stdout


def test_engine_imports_numpy_and_the_standard_library_only() -> None:
    allowed = sys.stdlib_module_names | {"numpy"}
    foreign = [
        f"{path.name}: {name}"
        for path in modules(ENGINE)
        for name in imported_names(path)
        if name.split(".")[0] not in allowed and not f"{name}.".startswith("tinygrad_fc.engine.")
    ]
    assert foreign == []


def test_no_room_imports_the_public_names() -> None:
    """A room that reads ``tinygrad_fc`` itself would import every room, whatever the contract says."""
    above = {PACKAGE / "__main__.py"}
    through_the_door = [str(path) for path in modules(PACKAGE) if path not in above and "tinygrad_fc" in
                        imported_names(path)]
    assert through_the_door == []


def test_engine_stays_small() -> None:
    sizes = {path.name: code_lines(path) for path in modules(ENGINE)}
    assert sum(sizes.values()) < 1255, sizes


def test_the_engine_knows_no_operation() -> None:
    assert len(REGISTRY) > 100
    assert [op.name for op in REGISTRY.values() if op.module.startswith("tinygrad_fc.engine")] == []


@pytest.mark.parametrize("folder", ["tinygrad_fc", "tests", "examples", "docs"])
def test_files_stay_short(folder: str) -> None:
    lengths = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8").count("\n")
               for path in modules(ROOT / folder) if "_build" not in path.parts}
    assert {name: length for name, length in lengths.items() if length >= 400} == {}


def reads_of_parents(path: Path) -> list[int]:
    """Return the lines that read ``.parents``, but to count them (``len(node.parents)``), and but a path's folders."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    counted = {
        id(call.args[0])
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "len" and call.args
    }
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "parents" and isinstance(node.ctx, ast.Load)
        if id(node) not in counted and "Path(" not in ast.unparse(node.value)
    ]


def test_only_graph_and_backward_walk_parents() -> None:
    walkers = {str(path.relative_to(ROOT)): reads_of_parents(path) for path in modules(PACKAGE)}
    allowed = {str(path.relative_to(ROOT)) for path in MAY_WALK_PARENTS}
    assert {name: lines for name, lines in walkers.items() if lines and name not in allowed} == {}


def test_import_brings_in_nothing_optional() -> None:
    code = "import sys, tinygrad_fc; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    names = set(loaded.stdout.split())
    assert {"tinygrad_fc", "numpy"} <= names
    assert names & OPTIONAL == set()


def test_the_checks_above_can_fail(tmp_path: Path) -> None:
    """The counters see what they are to see: code and imports inside functions, and walks but no counts."""
    file = tmp_path / "sample.py"
    prose = '"""Two\n    lines."""'
    code = "def f(n):\n    {prose}\n    import os\n    return (os,\n  n.parents)\n"
    file.write_text(f"{prose}\n\n# why\n" + code.format(prose=prose))
    assert code_lines(file) == 4
    assert reads_of_parents(file) == [10]
    file.write_text("node.parents = ()\nlen(node.parents)\n")
    assert reads_of_parents(file) == []


def test_the_page_names_what_is_there() -> None:
    """docs/architecture.md follows one array through files and functions: each is where the page says."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    stations = re.findall(r"^\| \d+ \| `([\w/.]+)` \| `(\w+)` \|", page, re.MULTILINE)
    assert len(stations) >= 10
    missing = [
        f"{file}: {function}"
        for file, function in stations
        if not (PACKAGE / file).exists() or not re.search(rf"def {function}\b", (PACKAGE / file).read_text("utf-8"))
    ]
    assert missing == []
    rooms = set(re.findall(r"`(\w+)`", page.split("## The house")[1].split("\n\n")[2]))
    there = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert there - {"__init__"} <= rooms


def test_the_reference_is_complete() -> None:
    """docs/api.md has every public name of the package and of its rooms; operations have a table there."""
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    rooms = {name: getattr(tg, name) for name in tg.__all__ if isinstance(getattr(tg, name), ModuleType)}
    assert {"nn", "models", "optim", "training", "data", "check", "viz", "cs231n"} <= set(rooms)
    operations = {id(record) for record in vars(functions).values()}  # docs/api.md makes a table of the registry
    public = {name for name in tg.__all__ if name not in rooms and id(getattr(tg, name)) not in operations}
    names = {
        f"{room}.{name}" for room, module in rooms.items() for name in module.__all__
        if id(getattr(module, name)) not in operations
    }  # fmt: skip
    held = {id(getattr(module, name)) for module in rooms.values() for name in module.__all__}
    names |= {name for name in public if id(getattr(tg, name)) not in held}
    assert {"Tensor", "gradients", "nn.Linear"} <= names
    assert sorted(name for name in names if not re.search(rf":: (tinygrad_fc\.)?{re.escape(name)}\b", page)) == []
