#!/usr/bin/python3
"""Follows apid's log on several connections with one certificate, and tells when each ends; and calls Version again and
again on one more, with a new connection every tenth time.

  open_streams.py --node HOST:PORT --ca FILE --cert FILE --key FILE [--streams N]

Prints "open" once every stream has given its first lines; a line "ended SECONDS CODE DETAILS" for each stream that
ends, by CLOCK_MONOTONIC; and at the end of its input "calls N failed M open K longest MS".
"""

import argparse
import sys
import threading
import time

import grpc

READ_LOG = "/stele.machine.v1.LogService/ReadLog"
VERSION = "/stele.machine.v1.SystemService/Version"
FOLLOW_APID = b"\x0a\x04apid\x30\x01"  # service: "apid", follow: true


def read(path):
    with open(path, "rb") as file:
        return file.read()


class Client:
    def __init__(self, args):
        self.args = args
        self.credentials = grpc.ssl_channel_credentials(read(args.ca), read(args.key), read(args.cert))
        self.lock = threading.Lock()
        self.first = threading.Semaphore(0)
        self.open = self.calls = self.failed = 0
        self.longest = 0.0
        self.stop = False

    def channel(self):
        # One connection each, not one for all.
        return grpc.secure_channel(self.args.node, self.credentials, [("grpc.use_local_subchannel_pool", 1)])

    def tell(self, what, code, details):
        """A line, whole, whoever else has one to tell."""
        with self.lock:
            sys.stdout.write(f"{what} {time.monotonic()} {code} {' '.join(details.split())}\n")
            sys.stdout.flush()

    def follow(self):
        call = self.channel().unary_stream(READ_LOG, request_serializer=bytes, response_deserializer=bytes)
        seen, code, details = False, "OK", ""
        try:
            for _ in call(FOLLOW_APID):
                if not seen:
                    seen = True
                    with self.lock:
                        self.open += 1
                    self.first.release()
        except grpc.RpcError as error:
            code, details = error.code().name, error.details()
        with self.lock:
            self.open -= seen
        self.tell("ended", code, details)
        self.first.release()

    def poll(self):
        channel = self.channel()
        while not self.stop:
            began = time.monotonic()
            try:
                channel.unary_unary(VERSION, request_serializer=bytes, response_deserializer=bytes)(b"", timeout=10)
            except grpc.RpcError as error:
                self.failed += 1
                self.tell("failed", error.code().name, error.details())
                time.sleep(0.05)
            self.longest = max(self.longest, time.monotonic() - began)
            self.calls += 1
            if self.calls % 10 == 0:
                channel.close()
                channel = self.channel()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--node", "--ca", "--cert", "--key"):
        parser.add_argument(name, required=True)
    parser.add_argument("--streams", type=int, default=4)
    client = Client(parser.parse_args())
    for _ in range(client.args.streams):
        threading.Thread(target=client.follow, daemon=True).start()
    for _ in range(client.args.streams):
        client.first.acquire()
    poller = threading.Thread(target=client.poll)
    poller.start()
    print("open", flush=True)
    sys.stdin.read()
    client.stop = True
    poller.join()
    with client.lock:
        print("calls", client.calls, "failed", client.failed, "open", client.open, "longest", round(client.longest * 1000), flush=True)


if __name__ == "__main__":
    main()
