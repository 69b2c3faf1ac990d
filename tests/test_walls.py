"""The rooms of the house and who may enter them, read from the imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import autolabel

PACKAGE = Path(autolabel.__file__).parent

BASE = {"errors", "reading", "plugins"}
DATA = BASE | {"types", "ontology", "config"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "reading": set(),
    "plugins": set(),
    "types": BASE,
    "ontology": BASE,
    "config": BASE | {"ontology"},
    "ops": BASE | {"types"},
    "registry": BASE,
    "sources": BASE | {"ops"},
    "models": BASE | {"types", "ontology", "ops", "registry"},
    "store": DATA | {"ops", "sources"},
    "engine": BASE | {"types", "store"},
    "datasets": DATA | {"ops", "sources", "store"},
    "stages": DATA | {"ops", "registry", "sources", "models.base", "store", "engine", "datasets"},
    "metrics": DATA | {"ops", "store", "datasets"},
    "train": DATA
    | {"ops", "registry", "models", "sources", "store", "engine", "datasets", "stages", "metrics"},
    "evaluate": DATA
    | {"ops", "registry", "models.device", "models.machine", "sources", "store", "engine"}
    | {"datasets", "stages", "metrics", "train"},
    "report": DATA | {"ops", "registry", "sources", "store", "datasets", "stages", "metrics"},
    "pipeline": DATA
    | {"ops", "registry", "sources", "store", "datasets", "stages", "metrics", "train"}
    | {"evaluate", "report"},
    "testing": DATA
    | {"ops", "registry", "sources", "models", "store", "engine", "datasets", "stages", "metrics"},
}
LIBRARIES = {
    "typer": {"cli"},
    "rich": {"cli"},
    "torch": {"models", "train"},
    "torchvision": {"models", "train"},
    "transformers": {"models", "train"},
    "ultralytics": {"models", "train"},
    "ray": {"engine"},
    "cv2": {"ops"},
}

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
        if here == "cli" or here == "__main__":
            continue
        assert here in MAY_IMPORT, f"the room {here}/ has no entry in the table"
        allowed = MAY_IMPORT[here]
        assert rest[0] in allowed or ".".join(rest[:2]) in allowed, f"{here} may not use {name}"


@pytest.mark.parametrize(
    "module", ["autolabel.cli", "autolabel.pipeline.plan", "autolabel.cli.run"]
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
