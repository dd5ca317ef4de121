"""docs/health.md is made from the table, and the table has every counter, fact and problem of the code."""

import ast
import re
from collections.abc import Iterator

import pytest

from scripts import health
from scripts.health_table import entries
from tests.house import PROCESSES, Module, modules

KINDS = {"count": "counter", "fact": "fact", "problem": "problem"}
# Methods that are given the subject of a problem.
HELPERS = {("collector/registry.py", "self._problem"), ("controller/supervisor.py", "self._tell_once")}
# Names that come as values: by file, what they may be. `*` stands for any name.
VALUES = {
    ("bus/process.py", "problem"): {"broker"},
    ("forwarder/service.py", "counter"): {"feed_gaps", "lost_cursors", "set_aside_records"},
    ("bus/publisher.py", "problem"): {"outbox", "manifest", "announced"},
}
# What no call of the journal names: the inbox and the journal count it by themselves.
COUNTED = {"dropped_requests", "dropped_commands", "dropped_messages", "dropped_problems"}


def pattern(node: ast.expr) -> str | None:
    """The text of a literal, with `*` for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(p.value) if isinstance(p, ast.Constant) else "*" for p in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return f"{pattern(node.left) or '*'}{pattern(node.right) or '*'}"
    return None


def assigned(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Yield what is assigned to variables there, and what its functions return."""
    for one in ast.walk(node):
        if isinstance(one, ast.FunctionDef):
            yield from (
                (f"{one.name}()", r.value) for r in ast.walk(one) if isinstance(r, ast.Return) and r.value
            )
        for target in one.targets if isinstance(one, ast.Assign) else ():
            value = one.value if isinstance(one, ast.Assign) else target
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                yield from ((ast.unparse(t), v) for t, v in zip(target.elts, value.elts, strict=True))
            else:
                yield ast.unparse(target), value


def constants(node: ast.AST) -> dict[str, set[str]]:
    """By the name of a variable or function, the texts that it may be."""
    found: dict[str, set[str]] = {}
    for name, value in assigned(node):
        if (text := pattern(value)) is not None:
            found.setdefault(name, set()).add(text)
    return found


def names(node: ast.expr, known: dict[str, set[str]]) -> set[str]:
    """What an argument may be; empty if nothing is known of it."""
    if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.FormattedValue):
        heads = names(node.values[0].value, known)
        return {head + (pattern(node) or "")[1:] for head in heads or {"*"}}
    text = pattern(node)
    if text is not None:
        return {text}
    return known.get(
        f"{ast.unparse(node.func)}()" if isinstance(node, ast.Call) else ast.unparse(node), set()
    )


def told(module: Module, elsewhere: dict[str, set[str]]) -> Iterator[tuple[int, str, str]]:
    """Line, kind and name of all that a file counts or tells; `elsewhere` are texts of other files."""
    functions = [node for node in module.nodes if isinstance(node, ast.FunctionDef)]
    scopes: list[ast.FunctionDef | ast.Module] = [*functions] or [module.tree]
    for scope in scopes:
        given = {arg.arg for arg in scope.args.args} if isinstance(scope, ast.FunctionDef) else set()
        known = elsewhere | constants(scope)
        for node in ast.walk(scope):
            if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("journal.counters"):
                kind, argument = "counter", node.slice
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                called, argument = ast.unparse(node.func), node.args[0]
                if called.endswith(tuple(f"journal.{one}" for one in KINDS)):
                    kind = KINDS[node.func.attr]
                elif (module.path, called) in HELPERS:
                    kind = "problem"
                else:
                    continue
                helps = isinstance(scope, ast.FunctionDef) and (module.path, f"self.{scope.name}") in HELPERS
                if helps and ast.unparse(argument) in given:
                    # Whoever calls it names the subject.
                    continue
            else:
                continue
            for name in names(argument, known) or VALUES.get((module.path, kind), {"?"}):
                yield node.lineno, kind, name


def told_anywhere() -> list[tuple[str, str, str]]:
    """Place, kind and name of all that the processes count or tell."""
    files = modules("bus", *PROCESSES, "config")
    # Written in other files than they are used in.
    shared = {"GUARD": {"battery_guard"}, "subject()": {"counter.*"}}
    return [
        (f"{module.path}:{line}", kind, name)
        for module in files
        if module.path != "bus/health.py"
        for line, kind, name in told(module, shared)
    ]


def general(name: str) -> str:
    """The name with one `*` for what is filled in at one place, whatever it has of dots."""
    return re.sub(r"\*(\.\*)+", "*", re.sub(r"<\w+>", "*", name))


def covers(row: str, name: str) -> bool:
    """Whether a row of the table is that of a name from the code."""
    if "*" in name:
        return general(row) == general(name)
    return re.fullmatch(re.escape(general(row)).replace(r"\*", r"[\w.]+"), name) is not None


def test_the_page_is_made_from_the_table() -> None:
    assert health.PAGE.read_text(encoding="utf-8") == health.page(), "run: python -m scripts.health"


def test_every_counter_fact_and_problem_is_in_the_table() -> None:
    rows = {(entry.kind, entry.name) for entry in entries()}
    missing = [
        f"{place}: the {kind} {name}: add it to scripts/health_table.py, then run: python -m scripts.health"
        for place, kind, name in told_anywhere()
        if not any(kind == of and covers(row, name) for of, row in rows)
    ]
    assert not missing, "\n".join(missing)


def test_the_table_has_nothing_that_nobody_tells() -> None:
    code = {(kind, name) for _, kind, name in told_anywhere()} | {("counter", name) for name in COUNTED}
    stale = [
        f"{entry.kind} {entry.name}"
        for entry in entries()
        if not any(kind == entry.kind and covers(entry.name, name) for kind, name in code)
    ]
    assert stale == []


def test_each_row_is_said_once_and_in_words() -> None:
    found = list(entries())
    assert len({(e.who, e.kind, e.name) for e in found}) == len(found)
    assert all(e.means for e in found)
    assert all(e.then for e in found if e.kind == "problem"), "a problem without what to do about it"


@pytest.mark.parametrize(
    ("source", "kind", "name"),
    [
        ('self._journal.count("new_one")', "counter", "new_one"),
        ('self._journal.count(f"new.{device.id}", 2)', "counter", "new.*"),
        ('self.journal.counters["new_one"] = 1', "counter", "new_one"),
        ('journal.fact("new_one", text)', "fact", "new_one"),
        ('subject = f"new.{x}"\njournal.problem(subject, text, 0)', "problem", "new.*"),
        ("journal.problem(who_knows(), text, 0)", "problem", "?"),
    ],
)
def test_a_new_one_is_noticed(source: str, kind: str, name: str) -> None:
    assert [(k, n) for _, k, n in told(Module("bus/x.py", source), {})] == [(kind, name)]
    assert not any(entry.kind == kind and covers(entry.name, name) for entry in entries())
