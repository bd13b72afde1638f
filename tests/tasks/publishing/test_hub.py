"""Publishing against a stand-in of the Hub on a loopback port, through the real client."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tracemill.schemas.errors import UsageError
from tracemill.tasks.publishing import push
from tracemill.tasks.publishing.hub import ATTEMPTS, PublishError


@dataclass
class Hub:
    """What the stand-in holds and heard. ``failures`` are statuses that the next commits are answered with."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[dict[str, Any]] = field(default_factory=list)
    created: list[dict[str, Any]] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)


def handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

        def answer(self, value: Any, status: int = 200) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            hub.asked.append(f"GET {self.path}")
            if "/tree/" in self.path:
                entries = [{"type": "file", "path": p, "size": len(d), "oid": "0"} for p, d in hub.files.items()]
                return self.answer(entries)
            return self.answer({"id": "org/name", "sha": "0" * 40, "siblings": [{"rfilename": p} for p in hub.files]})

        def do_POST(self) -> None:
            hub.asked.append(f"POST {self.path}")
            hub.tokens.add(self.headers.get("Authorization"))
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if not body and self.headers.get("Transfer-Encoding") == "chunked":
                body = self.chunks()
            if self.path == "/api/repos/create":
                hub.created.append(json.loads(body))
                return self.answer({"url": f"{hub.address}/datasets/org/name", "id": "org/name"})
            if "/preupload/" in self.path:
                files = json.loads(body)["files"]
                return self.answer(
                    {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]}
                )
            if "/commit/" in self.path:
                if hub.failures:
                    return self.answer({"error": "busy"}, hub.failures.pop(0))
                return self.commit(body)
            return self.answer({"errors": [], "warnings": []})

        def chunks(self) -> bytes:
            parts = []
            while size := int(self.rfile.readline().strip(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def commit(self, body: bytes) -> None:
            lines = [json.loads(line) for line in body.splitlines() if line]
            hub.commits.append({"lines": lines})
            for line in lines:
                if line["key"] == "file":
                    hub.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                if line["key"] == "deletedFile":
                    del hub.files[line["value"]["path"]]
            self.answer(
                {"success": True, "commitOid": "1" * 40, "commitUrl": f"{hub.address}/datasets/org/name/commit/1"}
            )

    return Handler


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    held = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(held))
    held.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", held.address)
    monkeypatch.setenv("HF_TOKEN", "hf_test_token_1")
    yield held
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_run_goes_out_in_one_commit_and_stale_files_leave_with_it(run, hub) -> None:
    hub.files = {
        "views/gone/train-00000.parquet": b"old",
        "tables/pairs/part-00000.parquet": b"old",
        "mine.txt": b"keep",
    }
    address = push(run, "org/name", True)
    assert address == f"{hub.address}/datasets/org/name"
    assert len(hub.commits) == 1
    assert hub.created[0]["type"] == "dataset"
    assert hub.created[0].get("private") is True or hub.created[0].get("visibility") == "private"
    assert {"README.md", "mine.txt", "views/sft/train-00000.parquet", "tables/traces/part-00000.parquet"} <= set(
        hub.files
    )
    assert "views/gone/train-00000.parquet" not in hub.files
    assert "tables/pairs/part-00000.parquet" not in hub.files
    assert hub.files["views/sft/train-00000.parquet"][:4] == b"PAR1"
    assert b"hf_test_token_1" not in b"".join(hub.files.values())


def test_a_busy_hub_is_asked_again(run, hub) -> None:
    hub.failures = [503, 429]
    waits: list[float] = []
    push(run, "org/name", wait=waits.append)
    assert len(hub.commits) == 1
    assert len(waits) == 2 or not hub.failures


def test_a_hub_that_stays_down_is_given_up_with_a_word(run, hub) -> None:
    hub.failures = [500] * 100
    with pytest.raises(PublishError, match="HTTP 500"):
        push(run, "org/name", wait=lambda seconds: None)
    assert not hub.commits
    assert 100 - len(hub.failures) >= ATTEMPTS


def test_a_token_without_the_right_to_write_is_refused_at_once(run, hub) -> None:
    hub.failures = [403]
    with pytest.raises(UsageError, match="refuses the token") as refusal:
        push(run, "org/name", wait=lambda seconds: None)
    assert "hf_test_token_1" not in str(refusal.value)


def test_without_a_token_nothing_is_asked(run, hub, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(UsageError, match="no Hugging Face token"):
        push(run, "org/name")
    assert hub.asked == []
