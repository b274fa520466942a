"""A caller for the proxies that ask who calls: a key, its JWKS, and a request that carries a token.

The key is made for the run by `openssl`, and signs one token that outlives it. The request is the one
that the product exists for: a `POST` to the orchestrator with a small JSON body, as a browser would send it.
"""

import base64
import json
import subprocess
import time
from pathlib import Path

ISSUER = "https://issuer.bench.example"
AUDIENCE = "bench"
TENANT = "tenant-1"
KEY_ID = "bench-1"
BODY = {
    "query": "Which of my patients are due for a follow-up this week, and what should I prepare?",
    "mode": "query_automatic",
    "sessionId": "7f3c2a52-0a9e-4b7d-9d7e-0c5d1f1f2a11",
}


def make_caller(directory: Path) -> Path:
    """Writes `jwks.json` and `request` into the directory; returns the request's file."""
    directory.mkdir()
    key = directory / "key.pem"
    openssl("genrsa", "-out", str(key), "2048")
    modulus = openssl("rsa", "-in", str(key), "-noout", "-modulus").decode().strip()
    number = bytes.fromhex(modulus.partition("=")[2])
    jwk = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": KEY_ID, "e": "AQAB", "n": coded(number)}
    (directory / "jwks.json").write_text(json.dumps({"keys": [jwk]}))
    request = directory / "request"
    request.write_bytes(compose(token(key)))
    return request


def token(key: Path) -> str:
    """A token that is good for a day."""
    now = int(time.time())
    header = {"alg": "RS256", "typ": "JWT", "kid": KEY_ID}
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "user-1",
        "tenant_id": TENANT,
        "plan": "premium",
        "iat": now,
        "exp": now + 86_400,
    }
    signed = ".".join(coded(json.dumps(part).encode()) for part in (header, claims))
    signature = openssl("dgst", "-sha256", "-sign", str(key), stdin=signed.encode())
    return f"{signed}.{coded(signature)}"


def compose(bearer: str) -> bytes:
    """The request as it is sent."""
    body = json.dumps(BODY).encode()
    head = [
        "POST /api/orchestrate HTTP/1.1",
        "Host: app.bench.example",
        "User-Agent: load/1",
        "Accept: application/json",
        "Accept-Encoding: gzip, deflate",
        "Content-Type: application/json",
        "Origin: https://app.bench.example",
        "Sec-Fetch-Site: same-origin",
        f"X-Tenant-Id: {TENANT}",
        f"Authorization: Bearer {bearer}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


def openssl(*arguments: str, stdin: bytes | None = None) -> bytes:
    """What the program prints."""
    return subprocess.run(["openssl", *arguments], input=stdin, capture_output=True, check=True).stdout


def coded(data: bytes) -> str:
    """base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
