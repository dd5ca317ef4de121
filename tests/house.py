"""What the rules of the house look at: modules with their imports, literals, comments and sizes."""

import ast
import io
import subprocess
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROCESSES = ("collector", "statistician", "controller", "forwarder")
PACKAGES = ("bus", "config", *PROCESSES, "cli")
# Not shipped: they may import the tests and print to people.
WORKSHOPS = ("tests", "bench", "scripts")

Found = Iterator[tuple[int, str]]


@dataclass(frozen=True)
class Module:
    """A source file by its path below the root; `source` may also be a planted one."""

    path: str
    source: str

    @classmethod
    @cache
    def at(cls, path: Path) -> "Module":
        """The file as it stands on disk; each is read and parsed once."""
        return cls(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))

    @property
    def name(self) -> str:
        """As it is imported: `bus.topics`."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def package(self) -> str:
        """The room it stands in: `bus`."""
        return self.path.split("/")[0]

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed file."""
        return ast.parse(self.source, self.path)

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """All nodes of the tree."""
        return tuple(ast.walk(self.tree))

    @cached_property
    def comments(self) -> dict[int, str]:
        """Comments by line."""
        tokens = tokenize.generate_tokens(io.StringIO(self.source).readline)
        return {t.start[0]: t.string for t in tokens if t.type == tokenize.COMMENT}

    @cached_property
    def imports(self) -> list[tuple[int, str]]:
        """Line and full name of everything imported, also inside functions and for types only."""
        found = []
        for node in self.nodes:
            if isinstance(node, ast.Import):
                found += [(node.lineno, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                head = "." * node.level + (node.module or "")
                found += [(node.lineno, _target(head, alias.name)) for alias in node.names]
        return found

    @cached_property
    def literals(self) -> list[tuple[int, str]]:
        """Line and text of every string, also the parts of f-strings, but no docstrings."""
        docstrings = {id(d) for d in map(_docstring, self.nodes) if d is not None}
        return [
            (node.lineno, node.value)
            for node in self.nodes
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
        ]


def path_of(name: str) -> str:
    """The file of a module of ours: `bus.topics` is bus/topics.py."""
    path = name.replace(".", "/")
    return f"{path}/__init__.py" if (ROOT / path).is_dir() else f"{path}.py"


def _target(head: str, name: str) -> str:
    """`from controller import policy` imports controller.policy, `from bus.topics import ID` bus.topics."""
    place = ROOT.joinpath(*head.split("."), name)
    return f"{head}.{name}" if place.is_dir() or place.with_suffix(".py").exists() else head


def _docstring(node: ast.AST) -> ast.expr | None:
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    first = node.body[0] if node.body else None
    return first.value if isinstance(first, ast.Expr) else None


def modules(*packages: str) -> list[Module]:
    """Every Python file of some top-level folders."""
    files = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    return [Module.at(path) for path in files if "__pycache__" not in path.parts]


def project_files() -> list[Path]:
    """What git tracks, and what it would: new files that are not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    # Deleted but not yet committed.
    return [path for path in paths if path.is_file()]
