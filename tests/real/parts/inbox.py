"""Takes Sentry envelopes and writes their events down. usage: inbox.py PORT EVENTS

One JSON event per line goes to EVENTS; every envelope is answered 200, as Sentry does.
"""

import gzip
import http.server
import json
import sys
import zlib


def events_in(envelope):
    """The payloads of the items of type `event`."""
    _, _, rest = envelope.partition(b"\n")
    while rest:
        head, _, rest = rest.partition(b"\n")
        if not head.strip():
            continue
        item = json.loads(head)
        size = item.get("length")
        if size is None:
            payload, _, rest = rest.partition(b"\n")
        else:
            payload, rest = rest[:size], rest[size:].removeprefix(b"\n")
        if item.get("type") == "event":
            yield json.loads(payload)


class Inbox(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.read_body()
        encoding = self.headers.get("content-encoding", "")
        if encoding == "gzip":
            body = gzip.decompress(body)
        elif encoding == "deflate":
            body = zlib.decompress(body)
        with open(sys.argv[2], "a", encoding="utf-8") as file:
            for event in events_in(body):
                file.write(json.dumps(event) + "\n")
        answer = b'{"id":"00000000000000000000000000000000"}'
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def read_body(self):
        if self.headers.get("transfer-encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Inbox).serve_forever()
