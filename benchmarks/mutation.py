"""How many small faults the tests notice, in the rooms where a wrong line is not seen by looking.

    PYTHONPATH=. python benchmarks/mutation.py --sample 40 --seed 0

Of each room so many mutants are drawn: a comparison, an operator, a number, a condition, a
returned value or a call that is made for its effect is changed, one at a time, in a copy of the
checkout. The tests that mirror the file are run first, then those of its room and those that use
the room, until the first that fails. Forks of one process that has loaded the large libraries run
them. A mutant that makes the tests run for too long counts as noticed. Printed are the share that
was noticed and each mutant that was not; some of those change nothing that anybody could see.

Ours, for the tools that do this start a process for each mutant, which loads torch anew, or rewrite
every function so that it chooses its mutant, which the processes that tests kill do not take.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]

ROOMS: dict[str, tuple[str, ...]] = {
    "corrections": ("cli/test_import.py",),
    "store": ("engine", "cli/test_unfinished.py", "stages/test_present.py", "test_crash.py"),
    "ops": ("test_types.py", "datasets", "stages/test_leaks.py", "report/preview"),
    "metrics": ("evaluate", "report/page"),
    "stages": ("cli/test_commands.py", "cli/test_unfinished.py", "cli/test_unseen.py"),
}
"""Room -> the tests that use it, beside those that mirror it."""

SECONDS = 400
"""After which a set of tests is taken to hang."""

SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div, ast.Mod: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One fault: a file, which of its nodes is changed, and how."""

    path: Path
    node: int
    negated: bool

    def made(self) -> tuple[str, str]:
        """The source with the fault, and where it is and what it changes."""
        tree = ast.parse(self.path.read_text("utf-8"))
        node = [*_nodes(tree)][self.node]
        before = ast.unparse(node).strip().splitlines()[0]
        line = getattr(node, "lineno", getattr(getattr(node, "target", None), "lineno", 0))
        _mutate(node, self.negated)
        after = ast.unparse(ast.fix_missing_locations(node)).strip().splitlines()[0]
        place = f"{self.path.relative_to(REPO)}:{line}"
        return ast.unparse(ast.fix_missing_locations(tree)), f"{place}  {before}  ->  {after}"


# -- faults ----------------------------------------------------------------------------------------


def mutants(path: Path) -> Iterator[Mutant]:
    """Every mutant of a file."""
    for number, node in enumerate(_nodes(ast.parse(path.read_text("utf-8")))):
        for negated in (False, True):
            if _mutate(deepcopy(node), negated):
                yield Mutant(path, number, negated)


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a tree but those of annotations and of what errors say."""
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if name in ("annotation", "returns", "decorator_list") or isinstance(child, ast.Raise):
                continue
            if isinstance(child, ast.AST):
                yield child
                yield from _nodes(child)


def _mutate(node: ast.AST, negated: bool) -> bool:
    """Change a node in place; whether there was something to change that way."""
    if negated:
        return _negate(node)
    match node:
        case ast.Compare(ops=[op]) if type(op) in SWAPS:
            node.ops = [SWAPS[type(op)]()]  # type: ignore[list-item]
        case ast.BinOp(op=op) | ast.BoolOp(op=op) if type(op) in SWAPS and not _is_type(node):
            node.op = SWAPS[type(op)]()  # type: ignore[assignment]
        case ast.Constant(value=bool(value)):
            node.value = not value
        case ast.Constant(value=int(value)):
            node.value = value + 1
        case ast.Constant(value=float(value)):
            node.value = 2 * value + 1
        case ast.Return(value=ast.expr()) if ast.unparse(node) != "return None":
            node.value = ast.Constant(None)
        case ast.Expr(value=ast.Call()):
            node.value = ast.Constant(...)
        case _:
            return False
    return True


def _negate(node: ast.AST) -> bool:
    match node:
        case ast.If() | ast.While() | ast.IfExp() if "TYPE_CHECKING" not in ast.unparse(node.test):
            node.test = ast.UnaryOp(ast.Not(), node.test)
        case ast.comprehension(ifs=[condition]):
            node.ifs = [ast.UnaryOp(ast.Not(), condition)]
        case _:
            return False
    return True


def _is_type(node: ast.BinOp | ast.BoolOp) -> bool:
    """Whether it is a union of types, as in an annotation."""
    names = [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]
    return isinstance(node.op, ast.BitOr) and ("None" in ast.unparse(node) or "str" in names)


# -- tests -----------------------------------------------------------------------------------------


def copied(folder: Path) -> Path:
    """The checkout, with a package of its own; what no test changes is linked."""
    own = {"autolabel", "tests"}
    for path in REPO.iterdir():
        if path.name in own:
            shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        elif not path.name.startswith("."):
            (folder / path.name).symlink_to(path)
    return folder


def near(path: Path, home: Path) -> list[str]:
    """A file's doctests and the tests that mirror it; those of its room where none has its name."""
    inner = path.relative_to(REPO / "autolabel")
    mirrored = home / "tests" / inner.parent
    named = sorted(mirrored.glob(f"test_{inner.stem}*.py"))
    return [str(home / "autolabel" / inner), *map(str, named or [mirrored])]


def wide(room: str, home: Path) -> list[str]:
    """The tests of a room and those that use it."""
    return [str(home / "tests" / test) for test in (room, *ROOMS[room])]


def run_tests(tests: list[str], home: Path, *, shown: bool = False) -> str:
    """Run tests in a fork, until the first that fails: noticed, survived or nothing to run."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0,) if shown else (0, 1, 2):
            os.dup2(null, number)
        os.chdir(home)
        sys.path[:0] = [str(home)]
        import pytest

        options = ["-x", "-q", "-n0", "-p", "no:cacheprovider"]
        options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # libraries are loaded
        status = 99
        try:
            status = int(pytest.main([*options, *tests]))
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(status)
    try:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                answers = {0: "survived", 5: "nothing"}
                return answers.get(os.waitstatus_to_exitcode(status), "noticed")
            time.sleep(0.05)
        return "too long"
    finally:
        with contextlib.suppress(ProcessLookupError):  # also what the tests started
            os.killpg(pid, signal.SIGKILL)


def verdict(mutant: Mutant, home: Path, mirrored: bool) -> str:
    """How the tests take a mutant."""
    place = home / mutant.path.relative_to(REPO)
    whole = place.read_text("utf-8")
    place.write_text(mutant.made()[0], "utf-8")
    room = mutant.path.relative_to(REPO / "autolabel").parts[0]
    try:
        first = run_tests(near(mutant.path, home), home)
        if mirrored or first not in ("survived", "nothing"):
            return first
        return run_tests(wide(room, home), home)
    finally:
        place.write_text(whole, "utf-8")


def load_libraries() -> None:
    """Load what takes long, and nothing of ours, nor what pytest wants to load itself."""
    import numpy
    import PIL.Image
    import pyarrow.parquet
    import pycocotools.mask
    import pytest
    import scipy.ndimage
    import supervision
    import torch
    import torchvision
    import transformers

    loaded = (numpy, PIL.Image, pyarrow.parquet, pycocotools.mask, pytest)
    assert all((*loaded, scipy.ndimage, supervision, torch, torchvision, transformers))
    assert not any(name.split(".")[0] in ("autolabel", "tests") for name in sys.modules)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rooms", default=",".join(ROOMS))
    parser.add_argument("--sample", type=int, default=40, help="mutants of each room")
    parser.add_argument("--mirrored", action="store_true", help="the tests of the file alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=30, help="after which no other is begun")
    options = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    sys.dont_write_bytecode = True
    load_libraries()
    drawn: list[Mutant] = []
    for room in options.rooms.split(","):
        every = [
            m for path in sorted((REPO / "autolabel" / room).rglob("*.py")) for m in mutants(path)
        ]
        drawn += random.Random(options.seed).sample(every, min(options.sample, len(every)))
        print(f"{room}: {len(every)} mutants", flush=True)
    random.Random(options.seed).shuffle(drawn)
    seen = {room: [0, 0] for room in ROOMS}
    with tempfile.TemporaryDirectory() as folder:
        home = copied(Path(folder))
        for room in options.rooms.split(","):
            tests = [str(home / "tests" / room)] if options.mirrored else wide(room, home)
            if (found := run_tests(tests, home, shown=True)) != "survived":
                sys.exit(f"the tests of {room} fail without a mutant, or hang: {found}")
        end = time.monotonic() + 60 * options.minutes
        with contextlib.suppress(KeyboardInterrupt):  # what was seen is printed
            for mutant in drawn:
                if time.monotonic() > end:
                    break
                found = verdict(mutant, home, options.mirrored)
                room = mutant.path.relative_to(REPO / "autolabel").parts[0]
                seen[room][found == "survived"] += 1
                if found != "noticed":
                    print(f"{found}  {mutant.made()[1]}", flush=True)
    for room, (noticed, survived) in seen.items():
        if total := noticed + survived:
            print(f"{room}: {noticed} of {total} noticed, {noticed / total:.0%}")
    noticed, survived = (sum(count[i] for count in seen.values()) for i in range(2))
    print(f"all: {noticed} of {noticed + survived}, {noticed / max(noticed + survived, 1):.0%}")


if __name__ == "__main__":
    main()
