"""A subscriber of Redis, and a publisher who counts those whom he reaches.

With KEEPALIVE the subscriber's kernel asks after a second of silence if Redis is there.
"""

import os
import queue
import socket
import threading
import time

import redis

HOST = os.environ["SERVER"]
KEEPALIVE = bool(os.environ.get("KEEPALIVE"))
ASKING = {socket.TCP_KEEPIDLE: 1, socket.TCP_KEEPINTVL: 1, socket.TCP_KEEPCNT: 3}


def say(text):
    print(text + "\n", end="", flush=True)  # in one piece: there are two threads


def subscribe(heard):
    """Passes on what comes, None at the start. A connection that is lost it replaces."""
    while True:
        client = redis.Redis(HOST, socket_keepalive=KEEPALIVE, socket_keepalive_options=ASKING)
        subscriber = client.pubsub(ignore_subscribe_messages=True)
        subscriber.subscribe("news")
        heard.put(None)
        try:
            for message in subscriber.listen():
                if message:
                    heard.put(message["data"].decode())
        except redis.ConnectionError as error:
            say(f"subscriber: the connection is lost: {error}")


def publish(publisher, text, patience):
    """Publishes a text until somebody gets it, or patience ends. Tells how many got it."""
    end = time.monotonic() + patience
    receivers = 0
    while receivers == 0 and time.monotonic() < end:
        time.sleep(0.1)
        receivers = publisher.publish("news", text)
    say(f"publisher: {text} has reached {receivers}")
    return receivers


def hear(heard):
    while (text := heard.get()) is None:
        pass
    say(f"subscriber: heard {text}")


def main():
    heard = queue.SimpleQueue()
    threading.Thread(target=subscribe, args=[heard], daemon=True).start()
    heard.get()  # its connection is the first one
    publisher = redis.Redis(HOST)
    publish(publisher, "one", patience=20)
    hear(heard)
    publisher.client_kill_filter(_type="pubsub")
    if publish(publisher, "two", patience=6):
        hear(heard)


main()
