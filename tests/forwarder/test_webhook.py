"""What a web server gets: the body, its type, its key and its signature."""

import base64
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from forwarder.outputs import RefusedError, SendError
from forwarder.outputs.webhook import WebhookSink
from forwarder.records import Record
from tests.forwarder.rig import REMOVED, SAMPLE, place, row, soc
from tests.forwarder.web import Reply, Request, Web, web

SECRET = "signing-secret"  # noqa: S105 — no secret of anybody's


def sink(site: Web, folder: Path, **settings: object) -> WebhookSink:
    address = f"http://127.0.0.1:{site.port}/in"
    return WebhookSink(place(folder, "webhook", url=address, **settings), now=lambda: 1795243300.9)


def sent(folder: Path, batch: Sequence[Record], **settings: object) -> list[Request]:
    """What arrives of a batch."""
    with web() as site:
        webhook = sink(site, folder, **settings)
        webhook.send(batch)
        webhook.close()
        return site.seen


def test_a_batch_is_one_json_object(tmp_path: Path) -> None:
    (request,) = sent(tmp_path, [soc(), soc(None, 1), row(), REMOVED])
    assert (request.method, request.headers["Content-Type"]) == ("POST", "application/json")
    assert json.loads(request.body) == {
        "output": "van",
        "records": [
            {"entity": "smartshunt.soc", "ts": "2026-11-21T06:40:10.512Z", "value": 97.5, "unit": "%"},
            {"entity": "smartshunt.soc", "ts": "2026-11-21T06:40:10.513Z", "value": None, "unit": "%"},
            {
                "entity": "smartshunt.soc",
                "period": "hour",
                "start": "2026-11-21T06:40:10.512Z",
                "unit": "%",
                "mean": 97.0,
                "max": 98.5,
                "rev": 0,
            },
            {
                "entity": "smartshunt.soc",
                "removed": "reading",
                "start": "2026-11-21T06:40:10.512Z",
                "end": "2026-11-21T06:40:11.512Z",
            },
        ],
    }


@pytest.mark.parametrize(
    ("settings", "media", "begin"),
    [
        ({"format": "csv", "method": "PUT"}, "text/csv", b"timestamp,"),
        ({"format": "jsonl"}, "application/x-ndjson", b'{"entity":'),
        ({"format": "yaml"}, "application/yaml", b"---\n"),
        ({"format": "json", "headers": {"content-type": "text/x"}}, "text/x", b'{"entity"'),
    ],
)
def test_a_format_is_the_whole_body(
    tmp_path: Path, settings: dict[str, object], media: str, begin: bytes
) -> None:
    (request,) = sent(tmp_path, [soc(), soc(98.0, 1)], **settings)
    assert request.method == settings.get("method", "POST")
    assert request.headers.get_all("Content-Type") == [media]
    assert request.body.startswith(begin)
    assert request.body.endswith(b"\n")


def test_a_template_is_one_request_a_record(tmp_path: Path) -> None:
    template = '{"text": "{entity} of {device} is {value} {unit}", "n": {value}, "more": {"a": [{}]}}'
    seen = sent(tmp_path, [soc(), soc('say "hi"\n', 1), REMOVED], template=template)
    assert [json.loads(request.body) for request in seen[:1]] == [
        {"text": "smartshunt.soc of smartshunt is 97.5 %", "n": 97.5, "more": {"a": [{}]}}
    ]
    assert b'is say \\"hi\\"\\n %' in seen[1].body
    assert len(seen) == 2, "what is void has no place in it"
    assert {request.headers["Content-Type"] for request in seen} == {"application/json"}
    (plain,) = sent(tmp_path, [soc()], template="{entity}={value}")
    assert (plain.body, plain.headers["Content-Type"]) == (b"smartshunt.soc=97.5", "text/plain")
    assert len(sent(tmp_path, [REMOVED], template="{entity} {removed} {start}")) == 1


def test_a_log_of_a_smart_meter_is_one_object_a_request(tmp_path: Path) -> None:
    (request,) = sent(tmp_path, [SAMPLE, SAMPLE], template="hems", records=("samples",))
    assert "cumulative_power_kwh" in json.loads(request.body)
    assert request.headers["Content-Type"] == "application/json"
    (lines,) = sent(tmp_path, [SAMPLE, SAMPLE], template="hems", format="jsonl", records=("samples",))
    assert len(lines.body.splitlines()) == 2


def test_a_batch_has_the_same_key_each_time_and_a_correction_another(tmp_path: Path) -> None:
    def key(records: Sequence[Record]) -> str:
        (request,) = sent(tmp_path, records)
        return request.headers["Idempotency-Key"]

    first = key([soc(), row()])
    assert first == key([soc(), row()])
    batches: list[list[Record]] = [[soc(), row(1)], [soc(97.6), row()], [soc()], [row(), soc()]]
    others = {key(batch) for batch in batches}
    assert (len(others), first in others) == (4, False)
    assert len(bytes.fromhex(first)) == 32


def test_what_was_taken_of_a_batch_is_not_sent_again(tmp_path: Path) -> None:
    records = [soc(float(number), number) for number in range(5)]
    with web() as site:
        webhook = sink(site, tmp_path, template="{value}")
        site.says(Reply(), Reply(), Reply(503))
        with pytest.raises(SendError):
            webhook.send(records)
        webhook.send(records)
        webhook.close()
    assert [request.body for request in site.seen] == [b"0", b"1", b"2", b"2", b"3", b"4"]


def test_a_signature_is_checked_with_five_lines_of_python_and_with_openssl(tmp_path: Path) -> None:
    (request,) = sent(tmp_path, [soc()], sign=SECRET)
    said = request.headers["X-Boondock-Signature"]
    page = (Path(__file__).parents[2] / "docs" / "outputs.md").read_text()
    python, shell = (block.partition("```")[0] for block in page.split("<!-- check -->\n```")[1:3])
    names: dict[str, object] = {"header": said, "body": request.body, "secret": SECRET.encode()}
    exec(python.removeprefix("python\n"), names)  # noqa: S102 — it is our own page
    assert names["good"] is True
    names |= {"header": said, "body": request.body + b" "}
    exec(python.removeprefix("python\n"), names)  # noqa: S102 — as above
    assert names["good"] is False
    assert said.startswith("t=1795243300,v1=")
    (tmp_path / "body").write_bytes(request.body)
    done = subprocess.run(
        ["sh", "-c", shell.removeprefix("sh\n")],
        env={"header": said, "secret": SECRET, "PATH": "/usr/bin:/bin"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip().endswith(said.rpartition("v1=")[2]), done


def test_a_login_and_a_refusal_are_those_of_the_engine(tmp_path: Path) -> None:
    with web() as site:
        site.says(Reply(401))
        with pytest.raises(RefusedError, match="check token, or username and password"):
            sink(site, tmp_path, username="van", password="x").send([soc()])  # noqa: S106 — nobody's
    assert base64.b64decode(site.seen[0].headers["Authorization"].split()[1]) == b"van:x"
