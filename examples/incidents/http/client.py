"""http.client in the matrix of clients; see the README beside."""

import http.client
import os
import sys
import time


def send(connection, method, n):
    """Returns the status, or the error as a text."""
    headers = {"Idempotency-Key": f"{method}{n}"} if os.environ.get("KEY") else {}
    try:
        connection.request(method, "/", "work", headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except (http.client.HTTPException, OSError) as error:
        connection.close()  # the next request opens it again
        return repr(error)


def send_again(connection, method, n):
    """Repeats what has a key, on a new connection. The library never repeats."""
    status = send(connection, method, n)
    if os.environ.get("KEY") and status != 200:
        status = send(connection, method, n)
    return status


def main():
    for method in sys.argv[1:]:
        connection = http.client.HTTPConnection(os.environ["SERVER"], 8080)
        print(f"{method} 1: {send_again(connection, method, 1)}")
        time.sleep(int(os.environ.get("PAUSE", 0)))
        print(f"{method} 2: {send_again(connection, method, 2)}")
    connection = http.client.HTTPConnection(os.environ["SERVER"], 8080)
    connection.request("GET", "/executed")
    print(connection.getresponse().read().decode(), end="")


main()
