"""The rooms of the house and who may enter them, read from the imports."""

from __future__ import annotations

import ast
import graphlib
import itertools
import subprocess
import sys
from pathlib import Path

import pytest

import autolabel
from tests.conftest import REPO

PACKAGE = Path(autolabel.__file__).parent

PLAN = (REPO / "docs" / "architecture.md").read_text("utf-8")


def table(first_column: str) -> dict[str, list[str]]:
    """Rows of the page's table whose head begins so: first cell -> the names in the last one."""
    lines = PLAN[PLAN.index(f"| {first_column} |") :].splitlines()[2:]
    cells = [line.strip("| ").split(" | ") for line in itertools.takewhile(str.strip, lines)]
    return {
        first.strip("`"): [name for name in rest[-1].strip(" |").split(", ") if name]
        if len(rest) > (first_column == "room")
        else []
        for first, *rest in cells
    }


MAY_IMPORT = table("room")
LIBRARIES = table("library")
MODULES = sorted(PACKAGE.rglob("*.py"))


def room(parts: tuple[str, ...]) -> str:
    return parts[0].removesuffix(".py") if parts else ""


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_wall_is_crossed(path: Path) -> None:
    here = room(path.relative_to(PACKAGE).parts)
    for name in imports(path):
        top, *rest = name.split(".")
        if top in LIBRARIES:
            assert here in LIBRARIES[top], f"{name} may not be imported in {here}/"
        if top != "autolabel" or not rest or rest[0] in (here, "__version__"):
            continue
        if here in ("cli", "__main__", "__init__"):  # the last names what `api` offers
            continue
        assert here in MAY_IMPORT, f"the room {here}/ has no entry in the table"
        allowed = MAY_IMPORT[here]
        assert rest[0] in allowed or ".".join(rest[:2]) in allowed, f"{here} may not use {name}"


def test_the_plan_names_every_room_and_no_arrow_points_up() -> None:
    rooms = {room(path.relative_to(PACKAGE).parts) for path in MODULES}
    assert set(MAY_IMPORT) == rooms - {"cli", "__init__", "__main__"}
    assert "ultralytics" in LIBRARIES
    above: set[str] = set()
    for name, allowed in MAY_IMPORT.items():
        upward = {one.split(".")[0] for one in allowed} - above
        assert not upward, f"{name} is above {upward}"
        above.add(name)


def test_no_modules_import_each_other_in_a_circle() -> None:
    names = {
        ".".join(["autolabel", *p.relative_to(PACKAGE).with_suffix("").parts]) for p in MODULES
    }
    names = {name.removesuffix(".__init__") for name in names}
    graph: dict[str, set[str]] = {}
    for path in MODULES:
        here = ".".join(["autolabel", *path.relative_to(PACKAGE).with_suffix("").parts])
        here = here.removesuffix(".__init__")
        found = {
            name if name in names else name.rpartition(".")[0]
            for name in at_once(ast.parse(path.read_text("utf-8")))
            if name.startswith("autolabel.")
        }
        graph[dotted(path)] = (found & names) - {dotted(path)}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as e:
        pytest.fail(" -> ".join(e.args[1]))


def dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def at_once(tree: ast.Module) -> set[str]:
    """What a module imports when it is imported, and not only for types or in a function."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize(
    "module", ["autolabel", "autolabel.cli", "autolabel.pipeline.plan", "autolabel.cli.run"]
)
def test_importing_loads_no_torch(module: str) -> None:
    code = (
        f"import sys, {module}\n"
        "heavy = {'torch', 'transformers', 'torchvision', 'ultralytics', 'cv2'}\n"
        "heavy &= set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_help_loads_neither_arrow_nor_numpy() -> None:
    code = (
        "import sys, autolabel.cli\n"
        "sys.exit(', '.join({'numpy', 'pyarrow'} & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_nothing_outside_cli_prints_or_exits() -> None:
    for path in MODULES:
        if "cli" in path.parts or path.name == "__main__.py":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("print", "exit", "quit"), f"{path}:{node.lineno}"
