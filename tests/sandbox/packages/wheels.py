"""Wheels made by hand, whole ones and hostile ones, and an index that serves them."""

import base64
import hashlib
import stat
import threading
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Entry:
    """A file of a wheel, with the mode that its archive gives it."""

    name: str
    data: bytes = b""
    mode: int = stat.S_IFREG | 0o644


@dataclass
class Index:
    """A folder of files as a package index (PEP 503)."""

    folder: Path
    url: str = ""
    asked: list[str] = field(default_factory=list)

    def wheel(self, name, version="1.0", files=None, *, entries=(), needs=(), scripts=None):
        """A wheel with modules ``files`` (name: text) and any other ``entries``."""
        info = f"{name}-{version}.dist-info"
        metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
        metadata += [f"Requires-Dist: {need}" for need in needs]
        kept = [Entry(path, text.encode()) for path, text in (files or {}).items()]
        kept += [
            *entries,
            Entry(f"{info}/METADATA", "\n".join([*metadata, ""]).encode()),
            Entry(
                f"{info}/WHEEL",
                b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            ),
        ]
        if scripts:
            lines = "\n".join(f"{script} = {target}" for script, target in scripts.items())
            text = f"[console_scripts]\n{lines}\n"
            kept.append(Entry(f"{info}/entry_points.txt", text.encode()))
        kept.append(Entry(f"{info}/RECORD", _record(kept, f"{info}/RECORD")))
        return self._write(name, f"{name}-{version}-py3-none-any.whl", kept)

    def sdist(self, name, version, setup):
        """A source distribution that runs ``setup`` when it is built."""
        import io
        import tarfile

        path = self._folder_of(name) / f"{name}-{version}.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for file, text in (
                ("setup.py", setup),
                ("PKG-INFO", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"),
            ):
                member = tarfile.TarInfo(f"{name}-{version}/{file}")
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))
        return path

    def _write(self, name, file, entries):
        path = self._folder_of(name) / file
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for entry in entries:
                member = zipfile.ZipInfo(entry.name)
                member.create_system, member.external_attr = 3, entry.mode << 16
                member.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(member, entry.data)
        return path

    def _folder_of(self, name):
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def _record(entries, own):
    lines = [
        f"{entry.name},sha256={_digest(entry.data)},{len(entry.data)}"
        for entry in entries
        if "\n" not in entry.name
    ]
    return "\n".join([*lines, f"{own},,", ""]).encode()


def _digest(data):
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


class _Handler(SimpleHTTPRequestHandler):
    """Pages that list the files with their hashes."""

    def __init__(self, *args, index, **kwargs):
        self._index = index
        super().__init__(*args, directory=str(index.folder), **kwargs)

    def do_GET(self):
        self._index.asked.append(self.path)
        super().do_GET()

    def list_directory(self, path):
        import io

        links = []
        for file in sorted(Path(path).iterdir()):
            digest = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
            links.append(f'<a href="{file.name}#sha256={digest}">{file.name}</a>')
        body = f"<!DOCTYPE html><html><body>{'<br>'.join(links)}</body></html>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return io.BytesIO(body)

    def log_message(self, *args):
        pass


@contextmanager
def serving(folder):
    """An index over ``folder`` while the block runs."""
    index = Index(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, index=index))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    index.url = f"http://127.0.0.1:{server.server_port}/"
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
