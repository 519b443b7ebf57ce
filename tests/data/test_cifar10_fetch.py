"""The download of CIFAR-10, from a server on the loopback interface that behaves well and badly."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pooch
import pytest
from cifar10_made import write_archive, write_folder

from tinygrad_fc.data import cifar10, download, fetch_cifar10, load_cifar10

NAME = "cifar-10-python.tar.gz"


class Server(ThreadingHTTPServer):
    """Answers the requests in turn as `answers` says, and the last of these for good."""

    daemon_threads = True

    def __init__(self, body: bytes) -> None:
        self.body, self.answers, self.requests = body, ["whole"], 0
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{NAME}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        answer = self.server.answers[min(self.server.requests, len(self.server.answers) - 1)]
        self.server.requests += 1
        body = self.server.body
        if answer == "missing":
            self.send_error(404)
            return
        if answer == "wrong":
            body = bytes(reversed(body))
        self.send_response(200)
        if answer != "ends early":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if answer in ("breaks", "ends early") else body)

    def log_message(self, *arguments: object) -> None:
        """Keep quiet."""


@pytest.fixture
def server(tmp_path, rng) -> Iterator[Server]:
    folder = tmp_path / "source"
    write_folder(folder, rng)
    server = Server(write_archive(tmp_path / "published.tar.gz", folder).read_bytes())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def quiet_and_direct(monkeypatch):
    """The loopback interface is reached directly, whatever the machine's settings are, and pooch's log is off."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(pooch.get_logger(), "disabled", True)  # its handler keeps the first test's standard error


def fetch(server: Server, root, **arguments):
    known = "sha256:" + hashlib.sha256(server.body).hexdigest()
    return fetch_cifar10(root, **{"url": server.url, "known_hash": known, "progress": False, **arguments})


def test_the_archive_arrives_whole_and_loads(server, tmp_path, capsys):
    root = tmp_path / "new" / "folder"
    path = fetch(server, root)
    assert path == root / NAME
    assert path.read_bytes() == server.body
    assert os.listdir(root) == [NAME]
    data = load_cifar10(path, num_training=15, num_validation=5, num_test=6)
    assert data["X_train"].shape == (15, 3, 32, 32)
    assert load_cifar10(root, num_training=1, num_validation=0, num_test=0)["y_train"] == data["y_train"][:1]
    assert capsys.readouterr().err == ""


def test_progress_is_shown(server, tmp_path, capsys):
    fetch(server, tmp_path / "a", progress=True)
    assert f"{NAME}: 100%" in capsys.readouterr().err


def test_the_variable_names_the_folder(server, tmp_path, monkeypatch):
    monkeypatch.setenv("TINYGRAD_FC_DATA", str(tmp_path / "data"))
    assert fetch(server, None) == tmp_path / "data" / NAME
    assert len(load_cifar10(num_training=20, num_validation=0, num_test=6)["X_test"]) == 6


def test_what_is_there_and_sound_is_kept(server, tmp_path):
    path = fetch(server, tmp_path / "a")
    before = path.stat()
    assert fetch(server, tmp_path / "a", known_hash="md5:" + hashlib.md5(server.body).hexdigest()) == path
    assert server.requests == 1
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    path.write_bytes(b"damaged")
    fetch(server, tmp_path / "a")
    assert server.requests == 2
    assert path.read_bytes() == server.body


FAILURES = {
    "missing": (ConnectionError, "could not fetch {url}: 404 .*Nothing was kept. Try again, or download {url} by"),
    "breaks": (ConnectionError, "could not fetch {url}: .*IncompleteRead.*Nothing was kept. Try again, or"),
    "ends early": (ValueError, "what came from {url} is not the published file: .*Nothing was kept. Try again, or"),
    "wrong": (ValueError, "what came from {url} is not the published file: .*Nothing was kept. Try again, or"),
}


@pytest.mark.parametrize("answer", FAILURES)
@pytest.mark.parametrize("progress", [False, True])
def test_a_failure_leaves_nothing_behind_and_the_next_call_starts_over(server, tmp_path, answer, progress):
    server.answers = [answer, "whole"]
    error, message = FAILURES[answer]
    root = tmp_path / "new" / "folder"
    with pytest.raises(error, match=message.format(url=server.url)) as caught:
        fetch(server, root, progress=progress)
    assert str(root / NAME) in str(caught.value)  # where a file that came by other means would go
    assert not (tmp_path / "new").exists()
    assert fetch(server, root).read_bytes() == server.body
    assert os.listdir(root) == [NAME]


@pytest.mark.parametrize("answer", FAILURES)
def test_a_failure_leaves_other_files_alone(server, tmp_path, answer):
    server.answers = [answer]
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mine").write_text("kept")
    with pytest.raises(FAILURES[answer][0]):
        fetch(server, tmp_path / "a" / "b")
    assert os.listdir(tmp_path / "a") == ["mine"]
    with pytest.raises(FAILURES[answer][0]):
        fetch(server, tmp_path / "a")
    assert os.listdir(tmp_path / "a") == ["mine"]


def test_an_interrupted_download_leaves_nothing(server, tmp_path, monkeypatch):
    def interrupted(url, partial, title):
        with open(partial, "wb") as file:
            file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(download, "_transfer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(server, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_without_a_server_the_error_names_url_and_cure(server, tmp_path):
    server.shutdown()
    server.server_close()
    with pytest.raises(ConnectionError, match=f"could not fetch {server.url}: .*Nothing was kept. Try again, or"):
        fetch(server, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_without_pooch_the_error_says_how_to_have_it(server, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    message = rf"pip install 'tinygrad_fc\[data\]', or download {server.url} by other means and put the file there as"
    with pytest.raises(ImportError, match=message):
        fetch(server, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_folder_that_cannot_be_made_is_named(server, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match="the folder for .* must be one to write to: name another") as caught:
        fetch(server, tmp_path / "file" / "below")
    assert str(tmp_path / "file") in str(caught.value)
    assert server.requests == 0
    assert (tmp_path / "file").read_text() == "no folder"


def test_a_folder_that_cannot_be_written_to_is_named(server, tmp_path, monkeypatch):
    def refused(*arguments, **named):
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", refused)  # an administrator may write anywhere
    with pytest.raises(PermissionError, match="(?i)permission denied.*name another") as caught:
        fetch(server, tmp_path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"url": "ftp://127.0.0.1/x"}, "url must begin with http:// or https:// and a host, got 'ftp://127.0.0.1/x'"),
        ({"url": "file:///etc/passwd"}, "url must begin with http:// or https://"),
        ({"known_hash": "sha256:123"}, "known_hash must be one of md5, sha1, sha256, sha512, a .*'sha256:123'"),
        ({"known_hash": "crc:" + "0" * 32}, "known_hash must be one of"),
        ({"known_hash": "0" * 64}, "known_hash must be one of"),
    ],
)
def test_bad_arguments_are_named(server, tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        fetch(server, tmp_path / "a", **arguments)
    assert server.requests == 0
    assert not (tmp_path / "a").exists()


def test_the_published_archive_is_the_default():
    assert fetch_cifar10.__defaults__ == (None, True, cifar10.URL, cifar10.SHA256)
    assert cifar10.URL == "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    algorithm, digest = cifar10.SHA256.split(":")
    assert len(bytes.fromhex(digest)) * 2 == download.DIGITS_OF_HASH[algorithm]
