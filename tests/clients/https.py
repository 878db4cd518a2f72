"""Asks for / of a host over TLS, wherever it is: https.py ADDRESS PORT HOST CA.

Prints the TLS version, the protocol that was negotiated, and the answer's status line and body.
"""

import http.client
import socket
import ssl
import sys

address, port, host, ca = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.set_alpn_protocols(["http/1.1"])
with socket.create_connection((address, int(port)), timeout=20) as plain:
    with context.wrap_socket(plain, server_hostname=host) as tls:
        connection = http.client.HTTPConnection(host)
        connection.sock = tls
        connection.request("GET", "/")
        answer = connection.getresponse()
        print(tls.version(), tls.selected_alpn_protocol(), answer.status, answer.read().decode())
