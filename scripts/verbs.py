"""Writes what follows from the statistician's table of verbs: python -m scripts.verbs. A test compares.

That is bus/verbs.py, from which the broker's ACL follows, the table of verbs in docs/requests.md, and that of
rights in docs/security.md.
"""

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from msgspec import NODEFAULT, inspect

from bus import verbs as written
from bus.requests import LATEST_MS
from cli.broker import rights
from statistician.api import RequestVerb
from statistician.service import VERBS

ROOT = Path(__file__).parents[1]
MODULE = ROOT / "bus" / "verbs.py"
REQUESTS = ROOT / "docs" / "requests.md"
SECURITY = ROOT / "docs" / "security.md"
_BEGIN, _END = "<!-- made by python -m scripts.verbs -->\n", "<!-- end -->\n"
_ALL = ("viewer", "operator", "admin")


def module() -> str:
    """Write what bus/verbs.py says."""
    rows = "".join(f'    "{name}": "{VERBS[name].asker}",\n' for name in sorted(VERBS))
    told = "Who may ask each verb of the statistician; made by `python -m scripts.verbs`."
    return f'"""{told}"""\n\n# All roles above may ask it too.\nASKERS: dict[str, str] = {{\n{rows}}}\n'


def requests() -> str:
    """Write what docs/requests.md says."""
    return _with_block(REQUESTS.read_text(encoding="utf-8"), _BEGIN + "\n".join(_table()) + "\n" + _END)


def security() -> str:
    """Write what docs/security.md says."""
    page = SECURITY.read_text(encoding="utf-8")
    found = re.search(r"^\| topic \|.*?(?=^$)", page, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"{SECURITY.name} has no table of rights")
    return page.replace(found[0], table_of_rights())


def _with_block(page: str, block: str) -> str:
    head, found, rest = page.partition(_BEGIN)
    if not found:
        raise ValueError(f"no line {_BEGIN!r}")
    return head + block + rest.partition(_END)[2]


def _table() -> Iterator[str]:
    yield "| verb | who may ask | parameters; those with * are needed | pages |"
    yield "|---|---|---|---|"
    for row in sorted(VERBS.values(), key=lambda one: one.name):
        askers = ", ".join(_ALL[_ALL.index(row.asker) :])
        pages = "" if row.pages is None else "yes"
        yield f"| [{row.name}](#{row.name}) | {askers} | {'; '.join(_params(row))} | {pages} |"


def _params(row: RequestVerb) -> Iterator[str]:
    info = inspect.type_info(row.params)
    fields = info.fields if isinstance(info, inspect.StructType) else ()
    for field in sorted(fields, key=lambda one: (not one.required, one.name == "dry_run")):
        given = field.default is not NODEFAULT and field.default not in (None, False)
        default = f", default {field.default}" if given and not _is_unset(field.default) else ""
        yield f"`{field.encode_name}`{'*' if field.required else ''} {_type(field.type)}{default}"


def _is_unset(value: object) -> bool:
    return type(value).__name__ == "UnsetType"


_WORDS: dict[type[inspect.Type], str] = {inspect.StrType: "text", inspect.BoolType: "true or false"}


def _type(kind: inspect.Type) -> str:
    """Say the type in words."""
    words = _WORDS.get(type(kind), "")
    match kind:
        case inspect.UnionType():
            words = _any_of(kind)
        case inspect.IntType() | inspect.FloatType():
            words = f"number{_range(kind)}"
        case inspect.LiteralType():
            words = ", ".join(f"`{value}`" for value in kind.values)
        case inspect.VarTupleType():
            words = f"list of {_type(kind.item_type)}"
        case inspect.StructType():
            words = "{" + ", ".join(f"`{field.encode_name}`" for field in kind.fields) + "}"
        case inspect.DictType():
            words = f"object of {_type(kind.value_type)} by {_type(kind.key_type)}"
    if not words:
        raise ValueError(f"no words for {kind!r}")
    return words


def _any_of(kind: inspect.UnionType) -> str:
    if any(isinstance(one, inspect.IntType) and one.le == LATEST_MS for one in kind.types):
        return "time"
    unset = [one for one in kind.types if _is_unset_type(one)]
    none = [one for one in kind.types if isinstance(one, inspect.NoneType)]
    words = [_type(one) for one in kind.types if one not in unset and one not in none]
    # Without a default that is no value null only says that it was left out.
    return " or ".join([*words, *(["null"] if none and unset else [])])


def _is_unset_type(kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.CustomType) and kind.cls.__name__ == "UnsetType"


def _range(kind: inspect.IntType | inspect.FloatType) -> str:
    least = kind.ge if kind.ge is not None else kind.gt
    most = kind.le
    if least is None and most is None:
        return ""
    shown = [f"{one:g}" if abs(one) < 1e6 else f"{one:.0f}" for one in (least, most) if one is not None]
    above = "above " if kind.gt is not None else ""
    return f" {above}{' to '.join(shown)}" if most != 2**53 else ""


# The examples in the table of rights, and what they stand for.
_MEANT = {
    "example_1": "<device of another>",
    "example_2": "<derived device>",
    "example_3": "<its device>",
    "example_4": "<its command>",
}
_ACCESS = {"read": ("read",), "write": ("write",), "readwrite": ("read", "write"), "deny": ("no",)}


def table_of_rights() -> str:
    """Write who may read and write what: a row a filter, a column a kind of user."""
    columns = rights.by_kind(*_MEANT)
    rows: dict[str, dict[str, set[str]]] = {}
    for column, of_kind in columns.items():
        for right in of_kind:
            cells = rows.setdefault(_as_of_any(right.topic), {})
            cells.setdefault(column, set()).update(_ACCESS[right.access])
    lines = ["| topic | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for topic, cells in rows.items():
        words = (cells.get(column, set()) for column in columns)
        told = ("both" if len(one) > 1 else "".join(one) for one in words)
        lines.append(f"| `{topic}` | " + " | ".join(told) + " |")
    return "\n".join(lines) + "\n"


def _as_of_any(topic: str) -> str:
    """Write a filter of the examples as one of any."""
    collectors = rights.COLLECTORS
    levels = ["collector_<transport>" if level in collectors else level for level in topic.split("/")]
    shown = "/".join(levels)
    for example, meant in _MEANT.items():
        shown = shown.replace(example, meant)
    return shown


def main() -> int:
    """Write the files."""
    MODULE.write_text(module(), encoding="utf-8")
    importlib.reload(written)
    importlib.reload(rights)
    REQUESTS.write_text(requests(), encoding="utf-8")
    SECURITY.write_text(security(), encoding="utf-8")
    sys.stdout.write("wrote bus/verbs.py, docs/requests.md and docs/security.md\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
