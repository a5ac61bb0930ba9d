"""TLS as OpenSSL speaks it, and nothing of ours: a client and a server that show what they agreed on.

call GROUPS ADDRESS HOST CHAIN KEY ANCHOR   calls a partner plane and asks for /v1/channel; prints the group, then the answer
serve GROUPS CHAIN KEY                      prints its port, takes connections and prints the group of each, or why there is none

GROUPS is a list as OpenSSL writes it, e.g. X25519MLKEM768:x25519, or `default`.
"""

import os
import socket
import sys
import tempfile

# pyOpenSSL has no function for it: OpenSSL reads the list from its configuration, once, when it is loaded.
if len(sys.argv) > 2 and sys.argv[2] != "default":
    with tempfile.NamedTemporaryFile("w", suffix=".cnf", delete=False) as file:
        file.write(f"openssl_conf = i\n[i]\nssl_conf = s\n[s]\nsystem_default = d\n[d]\nGroups = {sys.argv[2]}\n")
    os.environ["OPENSSL_CONF"] = file.name

from OpenSSL import SSL  # noqa: E402


def context(method, chain, key):
    made = SSL.Context(method)
    made.set_min_proto_version(SSL.TLS1_3_VERSION)
    made.use_certificate_chain_file(chain)
    made.use_privatekey_file(key)
    return made


def call(address, host, chain, key, anchor):
    client = context(SSL.TLS_CLIENT_METHOD, chain, key)
    client.load_verify_locations(anchor)
    client.set_verify(SSL.VERIFY_PEER, lambda _connection, _certificate, _error, _depth, fine: bool(fine))
    name, port = address.rsplit(":", 1)
    connection = SSL.Connection(client, socket.create_connection((name, int(port))))
    connection.set_tlsext_host_name(host.encode())
    connection.set_connect_state()
    connection.do_handshake()
    print(connection.get_group_name(), flush=True)
    connection.sendall(f"GET /v1/channel HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    read = b""
    while True:
        try:
            read += connection.recv(65536)
        except (SSL.ZeroReturnError, SSL.SysCallError):
            break
    print(read.decode(errors="replace"))


def serve(chain, key):
    server = context(SSL.TLS_SERVER_METHOD, chain, key)
    # Whoever calls shows a certificate; whose it is does not matter here.
    server.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        stream, _ = listener.accept()
        connection = SSL.Connection(server, stream)
        connection.set_accept_state()
        try:
            connection.do_handshake()
            print(connection.get_group_name(), flush=True)
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            connection.shutdown()
        except SSL.Error as error:
            print(f"refused: {error}", flush=True)
        finally:
            stream.close()


if __name__ == "__main__":
    {"call": call, "serve": serve}[sys.argv[1]](*sys.argv[3:])
