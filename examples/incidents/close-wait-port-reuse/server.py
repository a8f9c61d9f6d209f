"""A server that answers, and forgets to close. With CLOSE it does not forget."""

import os
import socket

ANSWER = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok\n"


def main():
    listener = socket.create_server(("::", 8080), family=socket.AF_INET6, dualstack_ipv6=True)
    leaked = []
    while True:
        connection, _ = listener.accept()
        connection.recv(4096)
        connection.sendall(ANSWER)
        if os.environ.get("CLOSE"):
            connection.close()
        else:
            leaked.append(connection)


main()
