#!/usr/bin/python3
"""Calls methods of a node with an empty message and prints the status of each, as JSON.

  call_each.py --node HOST:PORT --ca FILE [--cert FILE --key FILE] METHOD…

METHOD is "/package.Service/Method". Every call claims, in metadata, to be an administrator.
"""

import argparse
import json

import grpc

FORGED = (("stele-role", "admin"), ("stele-subject", "root"), ("stele-peer", "127.0.0.1:1"))


def read(path):
    if path is None:
        return None
    with open(path, "rb") as file:
        return file.read()


def status(channel, method):
    call = channel.stream_stream(method, request_serializer=bytes, response_deserializer=bytes)
    try:
        for _ in call(iter([b""]), timeout=5, metadata=FORGED):
            return "OK"  # it answers: that is enough to know of a stream that may never end
        return "OK"
    except grpc.RpcError as error:
        return error.code().name


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--node", required=True)
    parser.add_argument("--ca", required=True)
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("method", nargs="+")
    args = parser.parse_args()
    credentials = grpc.ssl_channel_credentials(read(args.ca), read(args.key), read(args.cert))
    with grpc.secure_channel(args.node, credentials) as channel:
        print(json.dumps({method: status(channel, method) for method in args.method}))


if __name__ == "__main__":
    main()
