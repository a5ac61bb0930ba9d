#!/usr/bin/env python3
"""A back end that is told: takes deliveries of a Silkgate gateway over HTTPS, and believes none that is not signed.

usage: webhook.py PUBLIC-KEY.pem URL FOLDER CERTIFICATE.pem KEY.pem

PUBLIC-KEY.pem  what `silkgate backend push` printed
URL             the address given to it; this program listens on its port, on loopback
FOLDER          where deliveries are kept: one file each, written before it is acknowledged
CERTIFICATE.pem KEY.pem  the server's own

It shows what a receiver has to do: check the signature (RFC 9421) over method, address and digest, check that it is fresh, check the
digest (RFC 9530) against the body, keep the delivery, and only then answer 200. A delivery may come twice: its `key` is the same, and so is its file.
Needs Python 3.9 and the package `cryptography`.
"""

import base64
import hashlib
import http.server
import json
import os
import re
import ssl
import sys
import tempfile
import time
import urllib.parse

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_public_key

COVERED = ["@method", "@target-uri", "content-type", "content-digest"]
FRESH_SECONDS = 300
LONGEST_BYTES = 32 << 20


def refusal(key, url, headers, body, now):
    """Why a request is not the gateway's; None where it is."""
    given = re.fullmatch(r"silkgate=(\(([^)]*)\)(;.*))", headers.get("Signature-Input", ""))
    signature = re.fullmatch(r"silkgate=:([A-Za-z0-9+/=]+):", headers.get("Signature", ""))
    if not given or not signature:
        return "no signature"
    if given[2] != " ".join(f'"{name}"' for name in COVERED):
        return "the signature covers something else"
    if ';alg="ed25519"' not in given[3] or ';tag="silkgate-delivery"' not in given[3]:
        return "the signature is for something else"
    created = re.search(r";created=(\d+)", given[3])
    if not created or abs(now - int(created[1])) > FRESH_SECONDS:
        return "the signature is not fresh"
    digest = "sha-256=:" + base64.b64encode(hashlib.sha256(body).digest()).decode() + ":"
    values = ["POST", url, headers.get("Content-Type", ""), digest]
    lines = [f'"{name}": {value}' for name, value in zip(COVERED, values)]
    base = "\n".join(lines + [f'"@signature-params": {given[1]}'])
    try:
        key.verify(base64.b64decode(signature[1]), base.encode())
    except InvalidSignature:
        return "the signature is not of this request"
    return None if headers.get("Content-Digest") == digest else "the body is another one"


def keep(folder, body):
    """Writes the delivery, and returns only once it is on the disk."""
    # What came in a message never makes a path as it stands.
    name = hashlib.sha256(json.loads(body)["key"].encode()).hexdigest() + ".json"
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    os.replace(file.name, os.path.join(folder, name))
    entry = os.open(folder, os.O_RDONLY)
    os.fsync(entry)
    os.close(entry)


def main():
    public_key, url, folder, certificate, private_key = sys.argv[1:]
    with open(public_key, "rb") as file:
        key = load_pem_public_key(file.read())

    class Receiver(http.server.BaseHTTPRequestHandler):
        timeout = 30

        def do_POST(self):
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal() or int(length) > LONGEST_BYTES:
                return self.send_error(413)
            body = self.rfile.read(int(length))
            why = refusal(key, url, self.headers, body, time.time())
            if why is None:
                keep(folder, body)
            print(why or "taken", flush=True)
            self.send_response(200 if why is None else 403)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", urllib.parse.urlsplit(url).port), Receiver)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private_key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


if __name__ == "__main__":
    main()
