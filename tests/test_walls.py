"""The rooms of the house and who may enter them, read from the imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import autolabel

PACKAGE = Path(autolabel.__file__).parent

BASE = {"errors", "reading"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "reading": set(),
    "ontology": BASE,
    "types": BASE,
    "config": BASE | {"ontology"},
    "registry": BASE,
    "ops": BASE | {"types"},
    "store": BASE | {"types", "vectors", "ops", "config", "ontology"},
    "models": BASE | {"types", "ops", "ontology", "registry"},
    "formats": BASE | {"types", "ops", "ontology"},
    "vectors": BASE | {"types"},
    "truth": BASE | {"types", "ops", "formats"},
    "stages": BASE | {"models.base", "registry", "ops", "types", "vectors", "config", "ontology"},
    "engine": BASE | {"store", "types"},
    "export": BASE
    | {"store", "formats", "ops", "models.base", "registry", "types", "config", "ontology"},
    "evaluate": BASE
    | {
        "store",
        "formats",
        "truth",
        "ops",
        "models.base",
        "registry",
        "types",
        "config",
        "ontology",
    },
    "present": BASE | {"store", "ops", "types"},
    "history": BASE | {"store", "config", "ontology"},
    "running": BASE | {"history", "store", "stages", "engine", "ops", "types", "config"},
    "guard": BASE | {"running", "truth", "store", "stages", "engine", "ops", "types", "config"},
    "pipeline": BASE
    | {
        "guard",
        "present",
        "running",
        "store",
        "stages",
        "engine",
        "ops",
        "registry",
        "types",
        "config",
    }
    | {"ontology"},
    "unseen": BASE | {"pipeline", "stages", "store", "registry", "types", "config", "ontology"},
    "examples": BASE | {"truth", "ops", "models.base", "stages", "ontology"},
    "filtering": BASE
    | {"pipeline", "running", "examples", "store", "stages", "engine", "registry", "types"}
    | {"config", "ontology"},
    "train": BASE
    | {
        "guard",
        "running",
        "pipeline",
        "export",
        "stages.ingest",
        "store",
        "models",
        "formats",
        "ops",
        "registry",
    }
    | {"evaluate", "types", "config", "ontology"},
    "compare": BASE
    | {"pipeline", "running", "filtering", "train", "evaluate", "truth", "store", "stages"}
    | {"engine", "models.device", "models.machine", "registry", "ops", "types", "config"}
    | {"ontology"},
    "checks": BASE
    | {"config", "export", "filtering", "ops", "pipeline", "registry", "stages", "store", "train"}
    | {"truth"},
    "plan": BASE
    | {"checks", "config", "evaluate", "export", "filtering", "ontology", "pipeline", "registry"}
    | {"report", "store", "train"},
    "drawing": BASE | {"ops", "types"},
    "preview": BASE | {"drawing", "store", "ops", "types", "ontology"},
    "report": BASE
    | {
        "drawing",
        "history",
        "store",
        "formats",
        "ops",
        "evaluate",
        "truth",
        "registry",
        "types",
        "config",
    }
    | {"ontology"},
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


@pytest.mark.parametrize("module", ["autolabel.cli", "autolabel.pipeline", "autolabel.cli.run"])
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
