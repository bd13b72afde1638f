import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from tracemill.schemas.errors import UsageError
from tracemill.verifiers.base import Candidate
from tracemill.verifiers.lean import verifier

ERROR = {"severity": "error", "pos": {"line": 5, "column": 2}, "endPos": None, "data": "unsolved goals"}


class Server(BaseHTTPRequestHandler):
    """What a Kimina server says of a snippet, by a word in it."""

    asked: ClassVar[list] = []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append((self.path, self.headers.get("Authorization"), body))
        (snippet,) = body["snippets"]
        result = {"id": snippet["id"], "time": 0.1, "response": {"env": 0}}
        for word, said in {
            "WRONG": {"response": {"messages": [ERROR], "env": 0}},
            "WARN": {"response": {"messages": [{**ERROR, "severity": "warning"}], "env": 0}},
            "HOLE": {"response": {"sorries": [{"pos": {"line": 1, "column": 0}, "goal": "⊢ False"}], "env": 0}},
            "TICK": {"response": {"messages": [{**ERROR, "severity": "warning", "data": "declaration uses `sorry`"}]}},
            "LATE": {"error": "Lean REPL command timed out in 30 seconds", "response": None},
            "BUSY": {"error": "no REPL", "response": None},
            "REPL": {"response": {"message": "unknown environment"}},
        }.items():
            if word in snippet["code"]:
                result |= said
        status = 500 if "CRASH" in snippet["code"] else 200
        reply = b"[]" if "GARBAGE" in snippet["code"] else json.dumps({"results": [result]}).encode()
        self.send_response(status)
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_):
        pass


@pytest.fixture
def address():
    Server.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def judged(response, address, header="", **options):
    built = verifier.verifier({"backend": "kimina", "address": address, "level": "compiles", **options})
    spec = {"statement": "theorem t : True", "header": header}
    return verifier.check(Candidate("s", response, spec=spec), built.config)


def test_it_reaches_the_level_compiles_and_no_other(address):
    judgement = judged("theorem t : True := trivial", address)
    assert (judgement.outcome, judgement.evidence["level"]) == ("correct", "compiles")
    with pytest.raises(UsageError, match="ends at level compiles"):
        verifier.verifier({"backend": "kimina", "address": address})


@pytest.mark.parametrize(
    ("word", "outcome"),
    [
        ("WRONG", "incorrect"), ("WARN", "correct"), ("HOLE", "incorrect"), ("TICK", "incorrect"), ("LATE", "timeout"),
        ("BUSY", "error"), ("REPL", "error"), ("CRASH", "error"), ("GARBAGE", "error"),
    ],
)  # fmt: skip
def test_what_the_server_says_is_what_the_verdict_is(address, word, outcome):
    assert judged(f"theorem t : True := {word}", address).outcome == outcome


def test_the_request_is_the_header_and_the_submission(address, monkeypatch):
    monkeypatch.setenv("KIMINA_API_KEY", "k")
    judgement = judged("WRONG", address, header="import Mathlib\nopen Nat")
    ((path, key, body),) = Server.asked
    assert (path, key) == ("/api/check", "Bearer k")
    assert body["snippets"][0]["code"] == "import Mathlib\nopen Nat\ntheorem t : True :=\nWRONG\n"
    assert body["timeout"] == 30
    assert (
        judgement.evidence["messages"][0]["line"] == 2
    )  # five lines, of which two are the header's and one the statement's


def test_a_server_that_is_not_there_is_an_error(address):
    assert judged("fine", "http://127.0.0.1:9").outcome == "error"
    for wrong in (None, "localhost:8000"):
        with pytest.raises(UsageError, match="no address"):
            judged("fine", wrong)
