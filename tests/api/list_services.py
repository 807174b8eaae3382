#!/usr/bin/python3
"""A client of the node's API that knows nothing of Stele: python3-grpcio over mTLS and server reflection.

  list_services.py --node HOST:PORT --ca FILE --cert FILE --key FILE [--server-name NAME] [--type services]

Asks the node which services it has, fetches the descriptors of what it calls by reflection, lists the
resources of a type and checks the health service. Prints JSON: {"services": […], "health": "SERVING",
"resources": [{"id": …, "body": {…}}]}. Runs against any node; nothing here is generated from our protos.
"""

import argparse
import json
import sys

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

REFLECTION = "grpc.reflection.v1alpha"
SECONDS = 20


def standard_file(name, package, messages):
    """A file of gRPC's own protos, as far as this client needs it: servers do not describe these themselves."""
    file = descriptor_pb2.FileDescriptorProto(name=name, package=package, syntax="proto3")
    for message_name, fields in messages.items():
        made = file.message_type.add(name=message_name)
        for field_name, number, kind, *rest in fields:
            field = made.field.add(name=field_name, number=number, label=3 if "repeated" in rest else 1)
            if isinstance(kind, str):
                field.type, field.type_name = 11, f".{package}.{kind}"
            else:
                field.type = kind
    return file


STRING, INT32, BYTES = 9, 5, 12
REFLECTION_FILE = standard_file("reflection.proto", REFLECTION, {
    "ServerReflectionRequest": [("file_containing_symbol", 4, STRING), ("list_services", 7, STRING)],
    "FileDescriptorResponse": [("file_descriptor_proto", 1, BYTES, "repeated")],
    "ServiceResponse": [("name", 1, STRING)],
    "ListServiceResponse": [("service", 1, "ServiceResponse", "repeated")],
    "ErrorResponse": [("error_code", 1, INT32), ("error_message", 2, STRING)],
    "ServerReflectionResponse": [("file_descriptor_response", 4, "FileDescriptorResponse"),
                                 ("list_services_response", 6, "ListServiceResponse"),
                                 ("error_response", 7, "ErrorResponse")],
})
HEALTH_FILE = standard_file("health.proto", "grpc.health.v1", {
    "HealthCheckRequest": [("service", 1, STRING)],
    "HealthCheckResponse": [("status", 1, INT32)],  # an enum on the wire is its number
})
HEALTH = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING"}


class Node:
    """A channel, and the messages its server describes."""

    def __init__(self, channel):
        self.channel = channel
        self.pool = descriptor_pool.DescriptorPool()
        self.pool.Add(REFLECTION_FILE)
        self.pool.Add(HEALTH_FILE)
        self.files = set()

    def message(self, name):
        return message_factory.MessageFactory(self.pool).GetPrototype(self.pool.FindMessageTypeByName(name))

    def reflect(self, **request):
        ask, answer = (self.message(f"{REFLECTION}.ServerReflection{kind}") for kind in ("Request", "Response"))
        call = self.channel.stream_stream(f"/{REFLECTION}.ServerReflection/ServerReflectionInfo",
                                          request_serializer=ask.SerializeToString, response_deserializer=answer.FromString)
        result = next(call(iter([ask(**request)]), timeout=SECONDS))
        if result.HasField("error_response"):
            raise LookupError(f"{request}: {result.error_response.error_message}")
        return result

    def services(self):
        return sorted(service.name for service in self.reflect(list_services="*").list_services_response.service)

    def learn(self, symbol):
        """Takes the files that define `symbol` into the pool, imports first."""
        found = {}
        for data in self.reflect(file_containing_symbol=symbol).file_descriptor_response.file_descriptor_proto:
            file = descriptor_pb2.FileDescriptorProto.FromString(data)
            found[file.name] = file

        def add(name):
            if name in self.files or name not in found:
                return
            self.files.add(name)
            for imported in found[name].dependency:
                add(imported)
            self.pool.Add(found[name])

        for name in found:
            add(name)

    def call(self, path, request_type, answer_type, **fields):
        ask, answer = self.message(request_type), self.message(answer_type)
        method = self.channel.unary_unary(path, request_serializer=ask.SerializeToString, response_deserializer=answer.FromString)
        return method(ask(**fields), timeout=SECONDS)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for flag in ("--node", "--ca", "--cert", "--key"):
        parser.add_argument(flag, required=True)
    parser.add_argument("--server-name", help="the name in the node's certificate, where it is not the one dialled")
    parser.add_argument("--type", default="services")
    args = parser.parse_args()
    options = [("grpc.ssl_target_name_override", args.server_name)] if args.server_name else []
    credentials = grpc.ssl_channel_credentials(read(args.ca), read(args.key), read(args.cert))
    with grpc.secure_channel(args.node, credentials, options=options) as channel:
        node = Node(channel)
        package = "stele.machine.v1"
        node.learn(f"{package}.ResourceService")
        health = node.call("/grpc.health.v1.Health/Check", "grpc.health.v1.HealthCheckRequest", "grpc.health.v1.HealthCheckResponse")
        listed = node.call(f"/{package}.ResourceService/List", f"{package}.ListRequest", f"{package}.ListResponse", type=args.type)
        for resource in listed.resources:
            node.learn(resource.body.type_url.rsplit("/", 1)[-1])
        json.dump({
            "services": node.services(),
            "health": HEALTH.get(health.status, health.status),
            "resources": [json_format.MessageToDict(resource, descriptor_pool=node.pool) for resource in listed.resources],
        }, sys.stdout, indent=1)
        print()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except grpc.RpcError as error:
        sys.exit(f"list_services: {error.code().name}: {error.details()}")
