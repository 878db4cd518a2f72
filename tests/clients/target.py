"""A server to load, on a free port: target.py http|websocket [CERTIFICATE KEY].

Prints a line of JSON with its port when it is ready. `http` answers with what it was sent, or with the path; `websocket`
sends each message back. With a certificate, either speaks TLS.
"""

import http.server
import json
import ssl
import sys

from websockets.sync.server import serve

what, *files = sys.argv[1:]
tls = None
if files:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*files)


def ready(port):
    print(json.dumps({"port": port}), flush=True)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0))) or self.path.encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    """One whose handshakes are made where requests are answered, so that none holds up the others."""

    daemon_threads = True
    request_queue_size = 128

    def get_request(self):
        connection, address = super().get_request()
        if tls:
            connection = tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, *_):
        pass


def echo(connection):
    for message in connection:
        connection.send(message)


if what == "http":
    server = Server(("127.0.0.1", 0), Handler)
    ready(server.server_address[1])
else:
    server = serve(echo, "127.0.0.1", 0, ssl=tls)
    ready(server.socket.getsockname()[1])
server.serve_forever()
