"""A receiver of logs, run in a node's network namespace: receiver.py tcp|tls|udp PORT [--cert FILE --key FILE --ca FILE] [--stall]

Writes what it receives to standard output: from a stream the bytes, from UDP a line for each datagram. Connections one after another.
With --stall it takes connections and reads nothing until its standard input is closed.
"""

import argparse
import os
import socket
import ssl
import sys

options = argparse.ArgumentParser()
options.add_argument("protocol")
options.add_argument("port", type=int)
options.add_argument("--cert")
options.add_argument("--key")
options.add_argument("--ca")
options.add_argument("--stall", action="store_true")
options = options.parse_args()


def say(data):
    while data:
        data = data[os.write(1, data):]


if options.protocol == "udp":
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    udp.bind(("127.0.0.1", options.port))
    print("ready", file=sys.stderr, flush=True)
    while True:
        say(udp.recv(65536) + b"\n")

server = socket.create_server(("127.0.0.1", options.port))
context = None
if options.protocol == "tls":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.cert, options.key)
    if options.ca:
        context.load_verify_locations(options.ca)
        context.verify_mode = ssl.CERT_REQUIRED
print("ready", file=sys.stderr, flush=True)
while True:
    connection, _ = server.accept()
    if options.stall:
        sys.stdin.read()
    try:
        if context is not None:
            connection = context.wrap_socket(connection, server_side=True)
        while data := connection.recv(1 << 16):
            say(data)
    except OSError as error:
        print(error, file=sys.stderr, flush=True)
    connection.close()
