"""The page's functions in Node.js: *.test.ts, one after the other; and its types."""

from pathlib import Path

import pytest

from tests.page.built import tools

_HERE = Path(__file__).parent
_FILES = sorted(path.name for path in _HERE.glob("*.test.ts"))


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tests as Node.js can run them."""
    with_what, out = tools(), tmp_path_factory.mktemp("functions")
    with_what.run(_HERE / "units.mjs", with_what.packages, out, *(_HERE / name for name in _FILES))
    return out


@pytest.mark.parametrize("name", _FILES)
def test_functions(bundles: Path, name: str) -> None:
    said = tools().run("--enable-source-maps", bundles / name.replace(".ts", ".mjs"))
    assert "# fail 0" in said


def test_the_page_and_its_tests_are_typed() -> None:
    with_what = tools()
    compiler = with_what.packages / "typescript" / "bin" / "tsc"
    if not compiler.exists():
        pytest.skip(f"needs TypeScript in {with_what.packages}")
    with_what.run(compiler, "--project", _HERE)
