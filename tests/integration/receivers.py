"""Small servers on real sockets that take what alerts send, for tests."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_string
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET_PATH = "/services/T000/B000/s3cr3tpath"


@dataclass
class Hook:
    """A webhook: what was posted to it. It answers `status`, and a redirect leads to itself."""

    port: int = 0
    status: int = 200
    posted: list[dict[str, Any]] = field(default_factory=list)
    asked_count: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{SECRET_PATH}"

    def taken(self) -> list[tuple[str, str]]:
        """Status and key of what was posted, in order."""
        return [(body["status"], body["key"]) for body in self.posted]


@contextmanager
def hook() -> Iterator[Hook]:
    """A webhook that listens until the end."""
    received = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received.asked_count += 1
            if received.status < 300:
                received.posted.append(body)
            self.send_response(received.status)
            self.send_header("Location", received.url)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    with _serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        received.port = port
        yield received


@dataclass
class Post:
    """A mail server without encryption: its letters, and the commands it was given. It may refuse logins and mail."""

    port: int = 0
    is_refusing: bool = False
    letters: list[Message] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)


@contextmanager
def post_office() -> Iterator[Post]:
    """A mail server that listens until the end."""
    office = Post()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.say("220 here")
            while line := self.rfile.readline().decode().strip():
                office.commands.append(line)
                if line.lower() == "data":
                    self.take_letter()
                elif line.lower().startswith("ehlo"):
                    self.say("250-here")
                    self.say("250 AUTH PLAIN LOGIN")
                else:
                    self.say(answer_to(line))

        def take_letter(self) -> None:
            self.say("354 go on")
            lines = list(iter(lambda: self.rfile.readline().decode().rstrip("\r\n"), "."))
            office.letters.append(message_from_string("\n".join(lines)))
            self.say("250 taken")

        def say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    def answer_to(line: str) -> str:
        if line.lower().startswith("auth"):
            return "535 no" if office.is_refusing else "235 welcome"
        if line.lower().startswith("mail"):
            return "550 not you" if office.is_refusing else "250 fine"
        return "221 bye" if line.lower() == "quit" else "250 fine"

    with _serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)) as port:
        office.port = port
        yield office


@contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]  # type: ignore[misc]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
