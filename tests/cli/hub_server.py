"""A Hub for tests: a local server that speaks the Hub's paths, and can be told to misbehave.

Files in large-file storage are redirected to a second server, as the Hub does, which must never
see the token.
"""

import hashlib
import http.server
import json
import threading
import urllib.parse

COMMIT = "c0ffee" + "0" * 34


def git_blob(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, handler):
        super().__init__(("127.0.0.1", 0), handler)
        self.hub = None
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02},
                         daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # clients that go away are part of the tests

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Hub:
    """`files`: name -> bytes; `large`: names that are in large-file storage.

    What may be changed: `listing` (a function from the right listing to the one sent), `failures`
    (path part -> list of (status, headers), used up one a request), `cuts` (name -> list of byte
    counts after which the connection is cut), `content` (name -> other bytes to send), `ranges`
    (False: Range is ignored), `token` (needed for everything), `details` (False: the listing names
    files only), `delay` (seconds before each piece of a body).
    """

    def __init__(self, files, large=(), model="org/model"):
        self.files, self.large, self.model = files, set(large), model
        self.listing = lambda listing: listing
        self.failures, self.cuts, self.content = {}, {}, {}
        self.ranges, self.details, self.token, self.delay = True, True, None, 0.0
        self.requests = []  # (server, method, path, headers)
        self.moving = threading.Event()  # set when two pieces of a body have been sent
        self.hub = Server(HubHandler)
        self.storage = Server(StorageHandler)
        self.hub.hub = self.storage.hub = self

    def close(self):
        for server in (self.hub, self.storage):
            server.shutdown()
            server.server_close()

    @property
    def url(self):
        return self.hub.url

    def digest(self, name):
        content = self.files[name]
        return hashlib.sha256(content).hexdigest() if name in self.large else git_blob(content)

    def paths(self, server=None):
        return [path for where, _, path, _ in self.requests if server in (None, where)]

    def siblings(self):
        for name, content in self.files.items():
            entry = {"rfilename": name}
            if self.details:
                entry.update(size=len(content), blobId=git_blob(content))
                if name in self.large:
                    entry["lfs"] = {"sha256": self.digest(name), "size": len(content),
                                    "pointerSize": 134}
            yield entry


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    where = ""

    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        hub = self.server.hub
        hub.requests.append((self.where, self.command, self.path, dict(self.headers)))
        for part, answers in hub.failures.items():
            if part in f"{self.where}:{self.path}" and answers:
                status, headers = answers.pop(0)
                return self.reply(status, b"<html>no</html>", headers)
        return self.answer(hub)

    def reply(self, status, body, headers=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_file(self, hub, name, headers):
        body = hub.content.get(name, hub.files[name])
        begin, status = 0, 200
        wanted = self.headers.get("Range")
        if wanted and hub.ranges:
            begin, status = int(wanted.removeprefix("bytes=").rstrip("-")), 206
            headers = dict(headers)
            headers["Content-Range"] = f"bytes {begin}-{len(body) - 1}/{len(body)}"
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body) - begin))
        self.end_headers()
        if self.command == "HEAD":
            return
        cuts = hub.cuts.get(name)
        end = len(body)
        if cuts:
            end = min(end, begin + cuts.pop(0))
        if not hub.delay:
            self.wfile.write(body[begin:end])
        else:
            piece = 4096
            for at in range(begin, end, piece):
                self.wfile.write(body[at:min(end, at + piece)])
                self.wfile.flush()
                if at > begin:
                    hub.moving.set()
                threading.Event().wait(hub.delay)
        if end < len(body):
            self.close_connection = True
            self.connection.close()


class HubHandler(Handler):
    where = "hub"

    def answer(self, hub):
        if hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
            known = self.headers.get("Authorization") is not None
            return self.reply(403 if known else 401, b"{}", {"X-Error-Code": "GatedRepo"})
        path = self.path.split("?")[0]
        if path.startswith(f"/api/models/{hub.model}/revision/"):
            revision = urllib.parse.unquote(path.rsplit("/", 1)[1])
            if revision not in ("main", "refs/pr/1", COMMIT):
                return self.reply(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            listing = hub.listing({"id": hub.model, "sha": COMMIT,
                                   "siblings": list(hub.siblings())})
            body = listing if isinstance(listing, bytes) else json.dumps(listing).encode()
            return self.reply(200, body)
        prefix = f"/{hub.model}/resolve/{COMMIT}/"
        if path.startswith("/moved/"):
            path = path.removeprefix("/moved")
        elif path.startswith(prefix) and "renamed" in path:
            return self.reply(307, b"", {"Location": "/moved" + path})
        name = urllib.parse.unquote(path.removeprefix(prefix))
        if not path.startswith(prefix) or name not in hub.files:
            return self.reply(404, b"{}", {"X-Error-Code": "EntryNotFound"})
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{hub.digest(name)}"'}
        if name in hub.large:
            headers.update({"X-Linked-Size": str(len(hub.files[name])),
                            "X-Linked-Etag": headers["ETag"], "ETag": 'W/"nothing"',
                            "Location": f"{hub.storage.url}/{urllib.parse.quote(name)}?signed=1"})
            return self.reply(302, b"Found", headers)
        return self.send_file(hub, name, headers)


class StorageHandler(Handler):
    where = "storage"

    def answer(self, hub):
        name = urllib.parse.unquote(self.path.split("?")[0][1:])
        return self.send_file(hub, name, {"ETag": '"multipart-7"'})
