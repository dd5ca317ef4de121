"""What a line that is no TOML is likely to mean: the first repair that makes it TOML is told."""

import json
import re
import tomllib
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from config.mistakes import SECRETS
from config.model import Settings, key_of

# Typographic quotes and dashes, as text processors and web pages make them of plain ones.
_DOUBLE, _SINGLE = "\u201c\u201d\u201e\u201f\u2033\uff02\u00ab\u00bb", "\u2018\u2019\u201a\u201b\u2032"
_QUOTES = dict.fromkeys(_DOUBLE, '"') | dict.fromkeys(_SINGLE, "'")
_DASHES = dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-")
_TRUE = ("true", "yes", "on", "y", "t", "ja", "oui", "si", "enabled")
_FALSE = ("false", "no", "off", "n", "f", "nein", "non", "disabled")
_SETTING = re.compile(r"(?P<key>\s*[\w.-]+\s*=\s*)(?P<value>[^#]*?)(?P<rest>\s*(#.*)?)\Z")
_KEY_LIKE = re.compile(r"[0-9A-Fa-f]{24,}")
_WORD = re.compile(r"\w+")
# A word of a broken line that is no longer is no secret; an id may be so long.
_SHORTEST, _LONGEST_NAME = 5, 24
# A table or another setting in the value, which may be a secret; a user and a password in a URL.
_SECRETIVE = re.compile(r"[{=]")
_URL = re.compile(r"[@/]")
# Settings whose values have braces or equals signs, and never a secret.
_LISTS = ("steps", "levels", "only_if", "when", "until", "calibration", "map")
_BLANK = "\t\u00a0\u3000"
_PAIR = ("'", '"')
HIDDEN = "…"


@dataclass(frozen=True, slots=True)
class Repair:
    """What is wrong with a line, and what to do."""

    wrong: str
    allowed: str


def _types() -> dict[str, set[str]]:
    """Tell what each setting may be, by its name in any table: `bool`, `number`, `text` or `other`."""
    found: dict[str, set[str]] = {}
    tables: list[Any] = [Settings]
    for table in tables:
        for one in fields(table):
            for kind in _parts(one.type):
                if is_dataclass(kind) and kind not in tables:
                    tables.append(kind)
                word = {bool: "bool", int: "number", float: "number", str: "text"}.get(kind, "other")
                found.setdefault(key_of(one.name), set()).add(word)
    return found


def _parts(hint: Any) -> Iterator[Any]:  # noqa: ANN401 — a type as `typing` takes it apart
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if isinstance(hint, UnionType) or get_origin(hint) is Union:
        for one in get_args(hint):
            yield from _parts(one)
    elif get_origin(hint) is dict:
        yield from _parts(get_args(hint)[1])
        yield dict
    elif hint is not type(None):
        yield str if all(isinstance(word, str) for word in get_args(hint)) and get_args(hint) else hint


_TYPES = _types()


def find(line: str, *, is_open: bool) -> Repair:
    """Say what is wrong with a line, and how it was likely meant; `is_open`: it begins what never ends."""
    if is_open:
        return _unclosed(line)
    for tried in (_one_by_one(line), _all_together(line)):
        for wrong, candidate in tried:
            if _is_good(candidate):
                return Repair(wrong, f"write {_hidden(candidate.strip())}")
    found = _SETTING.match(line)
    if found is not None:
        return _of_value(_name_of(line), found["value"])
    if line.lstrip().startswith("["):
        return Repair("this header is not right", "write [table] or [table.name] alone in the line")
    return Repair(
        "this is neither a table nor a setting", "write [table], or name = value, or # and a comment"
    )


def _of_value(name: str, value: str) -> Repair:
    kinds = _TYPES.get(name, set())
    by_start = {
        "": Repair("there is no value after =", "write a value, or remove the line"),
        "{": Repair("this table is not right", "write { name = value, name = value } in one line"),
        "[": Repair("this list is not right", 'write [1, 2] or ["a", "b"], with a comma between'),
    }
    if value[:1] in by_start:
        return by_start[value[:1]]
    if re.search(r"\s[\w-]+\s*=", value):
        return Repair("there are two settings in this line", "write each in a line of its own")
    if kinds == {"bool"}:
        return Repair("this is neither true nor false", "write true or false, without quotes")
    if kinds == {"number"}:
        return Repair("this is no number", "write a number, such as 5 or 0.5, without quotes")
    return Repair("this is no value", 'write a "text" in one pair of quotes, a number, true or false')


def _unclosed(line: str) -> Repair:
    found = _SETTING.match(line)
    start = found["value"] if found else ""
    closes = next((c for o, c in (('"""', '"""'), ("'''", "'''"), ("{", "}")) if start.startswith(o)), "]")
    opens = "[" if closes == "]" else "{" if closes == "}" else closes
    return Repair(f"the {opens} that begins here is never closed", f"write {closes} where it ends")


def _is_good(line: str) -> bool:
    try:
        tomllib.loads(f"{line}\n")
    except tomllib.TOMLDecodeError:
        return False
    return True


Tried = Iterator[tuple[str, str]]


def _one_by_one(line: str) -> Tried:
    for repair in _REPAIRS:
        wrong, candidate = repair(line)
        if candidate != line:
            yield wrong, candidate


def _all_together(line: str) -> Tried:
    """Each repair on top of those before it; the first one names what is wrong."""
    first = ""
    for repair in _REPAIRS:
        wrong, candidate = repair(line)
        if candidate != line:
            first = first or wrong
            line = candidate
            yield first, line


def _typed(line: str) -> tuple[str, str]:
    """Quotes, spaces, dashes and wide letters that no keyboard of a programmer has."""
    out, strange = "", ""
    for letter in line:
        plain = _QUOTES.get(letter) or _DASHES.get(letter) or letter
        if unicodedata.category(letter) in ("Zs", "Cf", "Cc") and letter not in " \t":
            plain = " " if unicodedata.category(letter) == "Zs" else ""
        elif "\uff01" <= letter <= "\uff5e" and plain == letter:
            plain = unicodedata.normalize("NFKC", letter)
        strange = strange or (letter if plain != letter else "")
        out += plain
    name = unicodedata.name(strange, "control character").lower() if strange else ""
    seen = f"{strange} ({name})" if strange.isprintable() and strange.strip() else f"a {name}"
    return f"there is {seen}, which TOML does not know", out


def _comment(line: str) -> tuple[str, str]:
    marked = re.sub(r"\A(\s*)(//+|;+|--+|/\*|%|REM\b|<!--)\s?", r"\1# ", line)
    if marked == line:
        marked = re.sub(r"(?<=\s)(//|;|--).*\Z", lambda found: f"# {found[0].lstrip('/;- ')}", line)
    return "a comment begins with #", marked


def _tail(line: str) -> tuple[str, str]:
    return "nothing may follow the value", re.sub(r"\s*[;,]+(\s*(#.*)?)\Z", r"\1", line)


def _header(line: str) -> tuple[str, str]:
    wrong = "a table begins with its name in brackets, alone in its line"
    bare, _, comment = line.partition("#")
    bare = bare.strip().removesuffix(":").strip()
    known = {field.name for field in fields(Settings)} | {"import"}
    inner = bare.strip("[](){}<> \t")
    first, *more = re.split(r"\s*[./:\s]\s*", inner, maxsplit=1)
    if (
        "=" in bare
        or ('"' in bare and not bare.startswith("["))
        or not (bare[:1] in "[({<" or bare[-1:] in "])}>" or first.lower() in known)
    ):
        return wrong, line
    rest = [re.sub(r"[^a-z0-9_.]+", "_", part.strip("\"' ").lower()).strip("_") for part in more]
    name = ".".join([first.lower(), *filter(None, rest)])
    if (
        not first
        or not re.fullmatch(r"[\w.\/: -]+", inner.replace('"', "").replace("'", ""))
        or inner.count(":") > 1
    ):
        return wrong, line
    text = f"[[{name}]]" if name == "import" or bare.startswith("[[") else f"[{name}]"
    return wrong, f"{text}  # {comment.strip()}" if comment.strip() else text


def _equals(line: str) -> tuple[str, str]:
    wrong = "there must be one = between the name and the value"
    found = re.match(r"(\s*\"?[\w.-]+\"?)\s*(:=|==|=>|->|=:|:)\s*(.+)\Z", line)
    found = found or re.match(r"(\s*[\w.-]+)(\s+)((?!=)[\"'\d\[{tf/].*)\Z", line)
    return wrong, line if found is None else f"{found[1]} = {found[3]}"


def _name(line: str) -> tuple[str, str]:
    found = re.match(r"(\s*)([A-Za-z][\w]*(?:[ \t]+\w+)+)(\s*=.*)\Z", line)
    if found is None:
        return "", line
    name = re.sub(r"\s+", "_", found[2].lower())
    return "a name has no spaces", f"{found[1]}{name}{found[3]}"


def _value(wrong: str, change: Callable[[str, set[str]], str]) -> Callable[[str], tuple[str, str]]:
    """Make a repair of the value alone; `change` gets what the setting may be, too."""

    def repair(line: str) -> tuple[str, str]:
        found = _SETTING.match(line)
        if found is None or not found["value"]:
            return wrong, line
        key = found["key"].split("=")[0].strip().rpartition(".")[2]
        return wrong, f"{found['key']}{change(found['value'], _TYPES.get(key, set()))}{found['rest']}"

    return repair


def _boolean(value: str, kinds: set[str]) -> str:
    word = value.strip("\"'").lower()
    if "bool" not in kinds and word not in ("true", "false"):
        return value
    return "true" if word in _TRUE else "false" if word in _FALSE else value


def _decimal(value: str, kinds: set[str]) -> str:
    bare = value.strip("\"'“”")
    fits = "number" in kinds or not kinds
    return bare.replace(",", ".") if fits and re.fullmatch(r"[+-]?\d+,\d+", bare) else value


def _unit(value: str, kinds: set[str]) -> str:
    found = re.fullmatch(r"([+-]?\d+(?:[.,]\d+)?)\s*[^\W\d_%°µΩ]?[A-Za-z%°µΩ/]*", value)
    return found[1].replace(",", ".") if found and "number" in kinds else value


def _digits(value: str, kinds: set[str]) -> str:
    if "number" not in kinds or not re.fullmatch(r"[+-]?[\d.]+", value):
        return value
    return re.sub(
        r"\A([+-]?)0+(?=\d)", r"\1", re.sub(r"\.\Z", ".0", re.sub(r"\A([+-]?)\.", r"\g<1>0.", value))
    )


def _quoted(value: str, kinds: set[str]) -> str:
    bare = value.strip().strip("\"'")
    strange = not bare or set(bare) & set("\"'\\[]{}=")
    return value if strange or (kinds and "text" not in kinds) else json.dumps(bare, ensure_ascii=False)


def _slashes(value: str, _: set[str]) -> str:
    inner = value[1:-1]
    return f"'{inner}'" if f'"{inner}"' == value and "\\" in inner and not set(inner) & set("\"'") else value


_REPAIRS: tuple[Callable[[str], tuple[str, str]], ...] = (
    _typed,
    _comment,
    _header,
    _tail,
    _equals,
    _name,
    _value("true and false are written in small letters without quotes", _boolean),
    _value("a decimal number is written with a point, not with a comma", _decimal),
    _value("a number is written without its unit", _unit),
    _value("a number is not written like this", _digits),
    _value("a text needs a quote on both sides", _quoted),
    _value("a text with \\ needs single quotes", _slashes),
)


def _name_of(line: str) -> str:
    """Find the last part of the name of a setting, as a line has it."""
    before = (
        re.split(r"[=:]", line, maxsplit=1)[0] if re.search(r"[=:]", line) else line.strip().split(" ")[0]
    )
    return before.strip().strip("\"'").rpartition(".")[2].lower()


def _hidden(line: str) -> str:
    """Cover what may be a secret: only values of settings that we know, and that hold none, are shown."""
    bare = line.lstrip()
    if bare.startswith("#"):
        return f"#{_hidden(bare[1:])}"
    if bare.startswith("[") and "=" not in bare and '"' not in bare:
        return _WORD.sub(lambda found: HIDDEN if len(found[0]) >= _LONGEST_NAME else found[0], line)
    found = re.match(r"[^=:]*[=:]+\s*[\"']?", line) or re.match(r"\s*[\w.-]+\s+[\"']?", line)
    name = _name_of(line)
    if found is None or (name not in _TYPES and not set(found[0]) & set("=:")):
        # Of words without a value, only ours: the rest of a broken secret may be among them.
        return _shown_words(line)
    start, rest = found[0], line[found.end() :]
    if name not in _TYPES:
        alone = re.fullmatch(r"\s*[\w.-]{1,24}\s*[=:]+\s*[\"']?", start)
        return f"{start if alone else _shown_words(start)}{_covered(rest)}"
    secretive = _SECRETIVE.search(rest) and name not in _LISTS
    if name in SECRETS or secretive or (name == "host" and _URL.search(rest)):
        return f"{start}{_covered(rest)}"
    return _KEY_LIKE.sub(HIDDEN, line)


def _shown_words(text: str) -> str:
    return _WORD.sub(lambda word: word[0] if _is_ours(word[0]) else HIDDEN, text)


def _is_ours(word: str) -> bool:
    return len(word) < _SHORTEST or word.lower() in _TYPES or word.lower() in _TRUE or word.lower() in _FALSE


def _covered(rest: str) -> str:
    """Cover a value but for the quote at its end."""
    rest = rest.rstrip()
    return f"{HIDDEN}{rest[-1] if rest[-1:] in _PAIR else ''}" if rest else ""


def masked(line: str, column: int) -> tuple[str, int]:
    """Return the line without what may be a secret, and the column of the mistake in it."""
    shown = _hidden(line)
    if shown != line:
        same = next((n for n, pair in enumerate(zip(shown, line, strict=False)) if pair[0] != pair[1]), 0)
        column = min(column, same + 1, len(shown) + 1)
    # A tab would put the mark elsewhere.
    plain = (letter if letter.isprintable() else " " if letter in _BLANK else "?" for letter in shown)
    return "".join(plain), column
