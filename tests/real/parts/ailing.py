"""A service with what an operator is told of: it fails, it is slow, its database has no connection left.

usage: ailing.py PORT

GET /fine  200    GET /fail  500 with the words of an exhausted pool    GET /slow  200 after six seconds
"""

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Ailing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self):
        if self.path == "/slow":
            time.sleep(6)
        is_broken = self.path == "/fail"
        body = b"FATAL: sorry, too many clients already" if is_broken else b"fine"
        self.send_response(500 if is_broken else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128


Server(("127.0.0.1", int(sys.argv[1])), Ailing).serve_forever()
