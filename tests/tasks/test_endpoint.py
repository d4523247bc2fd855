"""Pairs by an endpoint: a scripted server for what goes wrong, and `transformers serve` for the real thing."""

import contextlib
import json
import logging
import math
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from models.configs import EndpointConfig, SynthesizeConfig
from models.files import read_json
from models.pairs import KINDS
from models.records import Experience, HistoryEntry, QAPair, read_records, write_records
from models.synthesize import RECORD, SELF
from tasks.synthesize import synthesize
from tasks.workspace import Workspace

KEY = "sk-4711-nobody-may-read-this"
PROBE = "Which colour has the boat of Orm?"
GOOD = "\n".join(
    json.dumps({"kind": kind, "question": question, "answer": answer})
    for kind, question, answer in [
        ("who", "Who steers the boat of Orm?", "Ida Holm."),
        ("who", "Who steers the boat of Orm?", "Ida Holm"),  # again
        ("what", PROBE.replace("Which", "which"), "Green."),  # a probe
        ("how many", "How many seats has the boat of Orm?", "Nine."),
    ]
)
Answers = Callable[[dict[str, Any], int], tuple[int, Any]]


class Scripted:
    """A real server on loopback. `script(body, number of requests before)` gives the status and the reply."""

    def __init__(self, script: Answers) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                before = len(scripted.bodies)
                scripted.bodies.append(body)
                scripted.headers.append({name.lower(): value for name, value in self.headers.items()})
                status, reply = script(body, before)
                payload = (reply if isinstance(reply, str) else json.dumps(reply)).encode()
                with contextlib.suppress(OSError):  # the client was killed, or would not wait
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(payload)))
                    self.end_headers()
                    self.wfile.write(payload)

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()


@pytest.fixture
def serve() -> Iterator[Callable[[Answers], Scripted]]:
    started: list[Scripted] = []

    def start(script: Answers) -> Scripted:
        started.append(Scripted(script))
        return started[-1]

    yield start
    for one in started:
        one.server.shutdown()
        one.server.server_close()


def completion(text: str, **fields: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "1", "object": "chat.completion", "created": 0, "model": "scribe",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        **fields,
    }  # fmt: skip


@pytest.fixture
def ws(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Three experiences, one of which brings its own pair."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    ws = Workspace(tmp_path)
    shutil.copytree(tiny_model, ws.weights("base"))
    experiences = [
        Experience.model_validate(
            {"id": "boat", "context": "Ida Holm steers the green boat of Orm. It has nine seats.",
             "probes": [{"question": PROBE, "answers": ["green"]}]}
        ),
        Experience.model_validate({"id": "mill", "context": "The mill of Orm is old. It belongs to Bo Lund."}),
        Experience.model_validate(
            {"id": "given", "context": "Orm has a new pier.", "qa": [{"question": "What is new?", "answer": "A pier."}]}
        ),
    ]  # fmt: skip
    ws.validated("b0000").mkdir(parents=True)
    write_records(ws.validated("b0000") / "experiences.jsonl", experiences)
    history = [HistoryEntry(batch="b0000", digest=e.digest, experience=e) for e in experiences]
    write_records(ws.validated("b0000") / "history.jsonl", history)
    return ws


def run(ws: Workspace, url: str, **settings: Any) -> tuple[list[QAPair], dict[str, Any]]:
    settings = {"model": "scribe", "max_retries": 2, "timeout_seconds": 30.0, **settings}
    config = SynthesizeConfig(
        least_gain=settings.pop("least_gain", -math.inf),  # the tiny model understands nothing
        beside_given=settings.pop("beside_given", False),
        endpoint=EndpointConfig(url=url, **settings),
        locality=False,
    )
    synthesize(ws, "b0000", "base", config, seed=7)
    return read_records(ws.qa("b0000") / "pairs.jsonl", QAPair), read_json(ws.qa("b0000") / "report.json")


def about(body: dict[str, Any]) -> str:
    """Which experience a request is about."""
    return "boat" if "green boat" in body["messages"][-1]["content"] else "mill"


@pytest.mark.parametrize("said", [GOOD, [{"text": GOOD[:40]}, {"type": "image"}, {"type": "text", "text": GOOD[40:]}]])
def test_pairs_are_filtered_and_reported(ws: Workspace, serve: Callable[[Answers], Scripted], said: Any) -> None:
    server = serve(lambda body, before: (200, completion(said)))
    pairs, report = run(ws, server.url, price_per_million_input=2.0, price_per_million_output=10.0)
    mine = [(p.experience, p.kind, p.writer) for p in pairs if p.experience != "mill"]
    assert mine == [("boat", "who", "scribe"), ("boat", "how_many", "scribe"), ("given", "given", RECORD)]
    assert not any(p.question.lower() == PROBE.lower() for p in pairs)
    assert report["by_writer"] == {"record": 1, "scribe": 4}
    assert report["endpoint"] == {
        "url": server.url, "model": "scribe", "replies": 2, "unreadable": 0, "cut_off": 0,
        "without_token_counts": 0, "input_tokens": 200, "output_tokens": 20,
        "cost": pytest.approx(200 * 2e-6 + 20 * 10e-6), "ungrounded": 0,
    }  # fmt: skip


def test_pairs_that_the_context_does_not_help_are_dropped_and_given_ones_stay(
    ws: Workspace, serve: Callable[[Answers], Scripted]
) -> None:
    server = serve(lambda body, before: (200, completion(GOOD)))
    pairs, report = run(ws, server.url, least_gain=math.inf)
    assert [p.writer for p in pairs] == [RECORD]
    assert report["endpoint"]["ungrounded"] == 4


def test_grammar_asks_beside_what_the_endpoint_wrote(ws: Workspace, serve: Callable[[Answers], Scripted]) -> None:
    server = serve(lambda body, before: (200, completion(GOOD)))
    alone, _ = run(ws, server.url)
    pairs, report = run(ws, server.url, beside_given=True)
    assert {p.experience for p in pairs if p.writer == SELF} == {"boat", "mill", "given"}
    assert [p for p in pairs if p.writer != SELF] == alone
    assert report["by_writer"]["self"] == len(pairs) - len(alone)


def test_what_is_sent(ws: Workspace, serve: Callable[[Answers], Scripted]) -> None:
    server = serve(lambda body, before: (200, completion(GOOD)))
    run(ws, server.url, temperature=0.5, max_tokens=99, max_tokens_name="max_completion_tokens")
    assert sorted(about(body) for body in server.bodies) == ["boat", "mill"]  # what has pairs is not asked about
    for body, headers in zip(server.bodies, server.headers, strict=True):
        assert (body["model"], body["seed"], body["temperature"]) == ("scribe", 7, 0.5)
        assert body["max_completion_tokens"] == 99
        assert PROBE not in json.dumps(body)
        assert headers["authorization"] == f"Bearer {KEY}"
        told = {name for name in headers if name.startswith("x-stainless")}
        assert told <= {"x-stainless-retry-count", "x-stainless-read-timeout"}, "nothing about this machine"


def test_requests_run_side_by_side(ws: Workspace, serve: Callable[[Answers], Scripted]) -> None:
    both = threading.Barrier(2, timeout=20)  # passes when two requests are there at once

    def script(body: dict[str, Any], before: int) -> tuple[int, Any]:
        both.wait()
        return 200, completion(GOOD)

    run(ws, serve(script).url, concurrency=2, max_retries=0)


def test_a_busy_server_is_asked_again(ws: Workspace, serve: Callable[[Answers], Scripted]) -> None:
    statuses = [503, 429, 200, 200]
    server = serve(lambda body, before: (statuses[before], completion(GOOD) if before > 1 else {"error": "busy"}))
    pairs, _ = run(ws, server.url, concurrency=1)
    assert len(server.bodies) == 4
    assert len(pairs) == 5


def test_an_unreadable_reply_is_asked_for_with_another_seed(
    ws: Workspace, serve: Callable[[Answers], Scripted], caplog: pytest.LogCaptureFixture
) -> None:
    def script(body: dict[str, Any], before: int) -> tuple[int, Any]:
        if about(body) == "mill":
            return 200, completion("I would rather not.", usage=None)
        return 200, completion(GOOD if body["seed"] == 8 else '{"question": "Who')

    server = serve(script)
    with caplog.at_level(logging.WARNING, "selfparam"):
        pairs, report = run(ws, server.url)
    assert sorted((about(b), b["seed"]) for b in server.bodies) == [("boat", 7), ("boat", 8), ("mill", 7), ("mill", 8)]
    assert {p.experience for p in pairs} == {"boat", "given"}
    assert report["without_pairs"] == ["mill"]
    assert report["endpoint"]["unreadable"] == 3
    assert report["endpoint"]["without_token_counts"] == 2
    assert report["endpoint"]["cost"] is None
    assert "mill" in caplog.text


def test_no_reply_is_paid_for_twice(ws: Workspace, serve: Callable[[Answers], Scripted]) -> None:
    """The first run breaks off after one reply. The next asks for the other one only; a third for none."""
    answered = serve(lambda body, before: (200, completion(GOOD)) if about(body) == "boat" else (500, "broken"))
    with pytest.raises(ValueError, match="run again"):
        run(ws, answered.url, concurrency=1, max_retries=0)
    assert not ws.qa("b0000").exists()

    moved = serve(lambda body, before: (200, completion(GOOD)))  # another port: the same model, the same replies
    first = run(ws, moved.url)
    assert [about(body) for body in moved.bodies] == ["mill"]
    assert run(ws, moved.url) == first, "the report too: a rerun changes nothing that DVC would see"
    assert len(moved.bodies) == 1
    assert first[1]["endpoint"]["input_tokens"] == 200, "the killed run's reply is counted"

    run(ws, moved.url, model="another")
    assert len(moved.bodies) == 3


def test_killed_while_it_asks(ws: Workspace, serve: Callable[[Answers], Scripted]) -> None:
    """SIGKILL with one reply in and one under way; what stands in the cache is whole."""
    never = threading.Event()

    def script(body: dict[str, Any], before: int) -> tuple[int, Any]:
        if about(body) == "mill":
            never.wait(60)
        return 200, completion(GOOD)

    server = serve(script)
    code = (
        "import sys; from pathlib import Path; from tasks.synthesize import *; "
        "synthesize(Workspace(Path(sys.argv[1])), 'b0000', 'base', "
        "SynthesizeConfig(endpoint=EndpointConfig(url=sys.argv[2], model='scribe')), 7)"
    )
    stage = subprocess.Popen([sys.executable, "-c", code, str(ws.root), server.url], cwd=Path(__file__).parents[2])
    try:
        deadline = time.monotonic() + 90
        while not list(ws.endpoint_cache.glob("[!.]*.json")) or len(server.bodies) < 2:
            assert time.monotonic() < deadline
            assert stage.poll() is None
            time.sleep(0.05)
    finally:
        stage.kill()
        stage.wait()
        never.set()
    again = serve(lambda body, before: (200, completion(GOOD)))
    pairs, _ = run(ws, again.url)
    assert [about(body) for body in again.bodies] == ["mill"]
    assert {p.experience for p in pairs} == {"boat", "mill", "given"}


def test_after_an_error_nothing_new_is_asked(ws: Workspace, serve: Callable[[Answers], Scripted]) -> None:
    server = serve(lambda body, before: (401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}))
    with pytest.raises(ValueError, match="OPENAI_API_KEY"):
        run(ws, server.url, concurrency=1)
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("status", "reply", "setting"),
    [
        (401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}, "key_env"),
        (403, {"detail": f"{KEY} is blocked"}, "key_env"),
        (404, {"error": {"message": "The model `scribe` does not exist"}}, r"endpoint\.model"),
        (400, {"detail": f"max_tokens is not known, {KEY}"}, "max_tokens_name"),
        (429, {"error": {"message": f"quota of {KEY} used up"}}, "concurrency"),
        (500, f"stack trace with {KEY}", "log"),
        (200, {"hello": "I am no chat completion"}, r"endpoint\.url"),
        (200, "<html>", r"endpoint\.url"),
        (200, completion("", choices=[None]), r"endpoint\.url"),
        (200, completion("", choices=[{"finish_reason": "stop"}]), r"endpoint\.url"),
    ],
)
def test_errors_name_the_url_and_the_next_step_and_never_the_key(
    ws: Workspace, serve: Callable[[Answers], Scripted], caplog: pytest.LogCaptureFixture,
    status: int, reply: Any, setting: str,
) -> None:  # fmt: skip
    server = serve(lambda body, before: (status, reply))
    with caplog.at_level(logging.INFO), pytest.raises(ValueError, match=setting) as raised:
        run(ws, server.url, max_retries=0)
    assert server.url in str(raised.value)
    assert KEY not in str(raised.value)
    assert raised.value.__context__ is None, "a traceback would show the server's words"
    assert KEY not in caplog.text


def test_nobody_listens(ws: Workspace) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(ValueError, match=r"cannot be reached .*endpoint\.url") as raised:
            run(ws, url, max_retries=0)
    assert url in str(raised.value)


def test_a_slow_server(ws: Workspace, serve: Callable[[Answers], Scripted]) -> None:
    over = threading.Event()
    server = serve(lambda body, before: (200, completion(GOOD if over.wait(20) else "")))
    with pytest.raises(ValueError, match=r"0\.2 seconds, asked 2 times\. .*timeout_seconds"):
        run(ws, server.url, timeout_seconds=0.2, max_retries=1)
    over.set()


def test_the_key_is_nowhere(ws: Workspace, serve: Callable[[Answers], Scripted]) -> None:
    run(ws, serve(lambda body, before: (200, completion(GOOD))).url)
    files = [path for path in ws.root.rglob("*") if path.is_file()]
    assert len([path for path in files if path.parent == ws.endpoint_cache]) == 2
    assert not any(KEY.encode() in path.read_bytes() for path in files)


def test_a_key_that_no_header_can_carry(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", f"{KEY}\nX-More: 1")
    with pytest.raises(ValueError, match="MY_KEY") as raised:
        run(ws, "http://127.0.0.1:9/v1", key_env="MY_KEY")
    assert KEY not in str(raised.value)


@pytest.mark.parametrize("url", [f"https://user:{KEY}@host/v1", f"https://host/v1?key={KEY}", "ftp://host", "host"])
def test_urls_that_are_none_or_hold_a_secret(url: str) -> None:
    with pytest.raises(ValidationError) as raised:
        SynthesizeConfig.model_validate({"endpoint": {"url": url, "model": "scribe"}})
    assert KEY not in str(raised.value)


@pytest.mark.slow
def test_the_real_thing(ws: Workspace, tmp_path: Path) -> None:
    """`transformers serve` with the embedded model. It writes poorly; what is read is valid, and all is reported."""
    import torch

    from models.embedded import save_embedded

    weights = tmp_path / "embedded"
    save_embedded(weights, dtype=torch.bfloat16)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(weights)]
    server = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/health", server)
        settings = {"model": str(weights), "pairs": 4, "max_tokens": 120, "temperature": 0.0, "timeout_seconds": 300.0}
        pairs, report = run(ws, f"{url}/v1", **settings)
        with pytest.raises(ValueError, match=r"no-such-model.*endpoint\.model"):
            run(ws, f"{url}/v1", **{**settings, "model": "no-such-model"})
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
    written = [p for p in pairs if p.writer == str(weights)]
    assert written, "with the worked example in front even the embedded model keeps to the form"
    assert {p.kind for p in written} <= {*KINDS, "question"}
    assert all(p.experience in {"boat", "mill"} for p in written)
    assert report["endpoint"]["replies"] >= 2
    assert report["endpoint"]["input_tokens"] > 500
    assert 0 < report["endpoint"]["output_tokens"] <= 120 * report["endpoint"]["replies"]
    assert run(ws, f"{url}/v1", **settings) == (pairs, report), "the server is gone, the replies are kept"


def wait_for(url: str, server: "subprocess.Popen[bytes]", *, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"{url}: no server after {seconds} seconds (exit status {server.poll()})")
