"""A subscriber of Redis, and beside it a publisher who counts those whom he reaches.

KEEPALIVE=1 has the subscriber's kernel ask after a second of silence whether Redis is there.
"""

import os
import socket
import threading
import time

import redis

HOST = os.environ["SERVER"]
ASK = {socket.TCP_KEEPIDLE: 1, socket.TCP_KEEPINTVL: 1, socket.TCP_KEEPCNT: 3}


def subscribe():
    """Prints what comes. When the connection is lost, it makes a new one."""
    keepalive = bool(os.environ.get("KEEPALIVE"))
    while True:
        subscriber = redis.Redis(HOST, socket_keepalive=keepalive, socket_keepalive_options=ASK).pubsub()
        subscriber.subscribe("news")
        try:
            for message in subscriber.listen():
                print("the subscriber has", message["type"], message["data"], flush=True)
        except redis.ConnectionError as error:
            print("the subscriber has lost its connection:", error, flush=True)


def main():
    publisher = redis.Redis(HOST)
    publisher.ping() 
    threading.Thread(target=subscribe, daemon=True).start()
