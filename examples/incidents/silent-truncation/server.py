"""A web server whose answer is "hello". Its body ends with the connection; with LENGTH it says
beforehand how long it is."""

import http.server
import os
import socket


class Answer(http.server.BaseHTTPRequestHandler):
    disable_nagle_algorithm = True  # head and body in segments of their own

    def do_GET(self):
        body = b"hello"
        self.send_response(200)
        if os.environ.get("LENGTH"):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6  # and IPv4


Server(("::", 8080), Answer).serve_forever()
