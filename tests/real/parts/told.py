"""A receiver of webhooks: one line of JSON per message, as they come.

usage: told.py PORT FILE
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

PORT, FILE = int(sys.argv[1]), sys.argv[2]


class Told(BaseHTTPRequestHandler):
    timeout = 5

    def do_POST(self):
        length = int(self.headers.get("content-length", 0))
        message = json.loads(self.rfile.read(min(length, 1 << 20)))
        with open(FILE, "a", encoding="utf-8") as file:
            file.write(json.dumps(message) + "\n")
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


HTTPServer(("127.0.0.1", PORT), Told).serve_forever()
