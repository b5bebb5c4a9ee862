import functools
import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from refusals import refused

from brainalign.cli import main
from brainalign.datasets.checks import fetch_files
from brainalign.study import load_descriptor

CONTENT = {"a.txt": b"one", "deep/b.txt": b"two"}
DIGESTS = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and counts what is asked for."""

    asked: ClassVar[list[str]] = []

    def log_request(self, *_: object) -> None:
        self.asked.append(self.path)


@dataclass
class Site:
    """A folder on a server, and a dataset whose descriptor points there."""

    url: str
    folder: Path
    served: Path

    @property
    def asked(self) -> list[str]:
        return Handler.asked

    def write(self, **sha256: str) -> Path:
        urls = "".join(f"  {name}: {self.url}/{name}\n" for name in CONTENT)
        sums = "".join(f"  {name}: {digest}\n" for name, digest in (sha256 or DIGESTS).items())
        path, text = self.folder / "served.yaml", f"name: served\nlicence: CC0\nurls:\n{urls}stimuli: deep/b.txt\n"
        text += "recordings: {us: {format: triplets, triplets: [a.txt]}}\n"
        path.write_text(text + (f"sha256:\n{sums}" if sums and sha256 != {"none": ""} else ""))
        return path


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    served, folder = tmp_path / "served", tmp_path / "study"
    folder.mkdir()
    for name, content in CONTENT.items():
        (served / name).parent.mkdir(parents=True, exist_ok=True)
        (served / name).write_bytes(content)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(Handler, "asked", [])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(served)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Site(f"http://127.0.0.1:{server.server_port}", folder, served)
    server.shutdown()
    server.server_close()


def test_files_come_once_and_are_then_found_where_a_run_looks_for_them(site: Site, tmp_path: Path) -> None:
    path = site.write().rename(site.folder / "mine.yaml")  # the name of the dataset is not that of the file
    descriptor = load_descriptor(path)
    refused(f"brainalign fetch {path}", descriptor.all_files)
    first = fetch_files(descriptor)
    assert [file.downloaded for file in first] == [True, True]
    assert [file.sha256 for file in first] == list(DIGESTS.values())
    assert all(file.verified for file in first)
    assert descriptor.all_files() == [file.path for file in first]
    assert first[1].path == tmp_path / "cache" / "brainalign" / "served" / "deep" / "b.txt"
    assert ([file.downloaded for file in fetch_files(descriptor)], len(site.asked)) == ([False, False], 2)


def test_other_files_and_what_cannot_be_fetched_are_refused(site: Site, tmp_path: Path) -> None:
    descriptor = load_descriptor(site.write())
    (site.served / "a.txt").write_bytes(b"changed")
    refused(r"cannot fetch a\.txt", fetch_files, descriptor, tmp_path / "data")
    assert not list((tmp_path / "data").rglob("*.txt"))
    (tmp_path / "data" / "served" / "a.txt").write_bytes(b"other")
    refused("delete it", fetch_files, descriptor, tmp_path / "data")
    refused(r"no checksum of deep/b\.txt", fetch_files, load_descriptor(site.write(**{"a.txt": DIGESTS["a.txt"]})))
    path = site.write()
    path.write_text(path.read_text().replace("/a.txt\n", "/missing.txt\n", 1))
    refused(r"cannot fetch a\.txt .*404", fetch_files, load_descriptor(path))
    path.write_text(path.read_text().replace("  a.txt:", "  ../../a.txt:"))
    refused("would lie outside", fetch_files, load_descriptor(path))


def test_what_is_not_encrypted_needs_a_checksum(site: Site, capsys, fails, monkeypatch) -> None:
    path, data = site.write(none=""), site.folder / "data"
    fails("give its checksum in `sha256`, or an address with https", main, ["fetch", str(path), "--to", str(data)])
    assert not site.asked
    path.write_text(path.read_text().replace("http://", "HTTP://"))
    refused(r"a\.txt comes from HTTP://", fetch_files, load_descriptor(path))
    monkeypatch.setattr("brainalign.datasets.checks.fetch.ENCRYPTED", ("http",))  # the server here speaks nothing else
    path = site.write(none="")
    assert main(["fetch", str(path), "--to", str(data)]) == 0
    printed = capsys.readouterr().out
    assert f"a.txt: {DIGESTS['a.txt']}" in printed
    assert "CC0" in printed
    (site.served / "a.txt").write_bytes(b"<!DOCTYPE html><html>log in</html>")
    fails("leads to a web page", main, ["fetch", str(path), "--to", str(site.folder / "again")])
    assert not (site.folder / "again" / "served" / "a.txt").exists()
