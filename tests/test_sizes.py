"""Files stay below 300 lines and functions below 40, or say why not, in a comment ``# Long: …``."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import autolabel

PACKAGE = Path(autolabel.__file__).parent
FILE, FUNCTION = 300, 40
REASON = "# Long: "


def functions(text: str) -> Iterator[tuple[str, int, int]]:
    """Name, first and last line of each function's code, its docstring left out of the count."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body
            has_text = isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
            doc = (body[0].end_lineno or 0) - body[0].lineno + 1 if has_text else 0
            yield node.name, node.lineno, (node.end_lineno or 0) - doc


def test_files_and_functions_are_short_or_say_why() -> None:
    long = []
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text("utf-8")
        lines = text.splitlines()
        name = path.relative_to(PACKAGE)
        if len(lines) > FILE and not any(line.startswith(REASON) for line in lines):
            long.append(f"{name}: {len(lines)} lines")
        for function, first, last in functions(text):
            above = lines[first - 2] if first > 1 else ""
            if last - first + 1 > FUNCTION and REASON not in above + lines[first]:
                long.append(f"{name}: {function} has {last - first + 1} lines")
    assert not long, "\n".join(long)
