"""A receiver of webhooks, Alertmanager's and the sidecar's: one line of JSON per alert, as they come.

usage: hook.py PORT FILE
"""
import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

PORT, FILE = int(sys.argv[1]), sys.argv[2]


def alerts(message):
    """The alerts of a message; the sidecar sends one at a time."""
    if "alerts" not in message:
        return [message]
    return [
        {"status": alert["status"], **alert["labels"], **alert["annotations"]}
        for alert in message["alerts"]
    ]


class Hook(BaseHTTPRequestHandler):
    timeout = 5

    def do_POST(self):
        length = int(self.headers.get("content-length", 0))
        message = json.loads(self.rfile.read(min(length, 1 << 20)))
        with open(FILE, "a", encoding="utf-8") as file:
            for alert in alerts(message):
                file.write(json.dumps(alert) + "\n")
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


HTTPServer(("127.0.0.1", PORT), Hook).serve_forever()
