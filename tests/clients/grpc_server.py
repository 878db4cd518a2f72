"""A gRPC server by the official Python library: the health service that comes with it, a stream, and reflection.

grpc_server.py [--no-reflection] listens on a free port of loopback, says {"port": N} and serves until it is killed.
"""

import json
import sys
from concurrent import futures

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, wrappers_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
COUNTER = "test.Counter"


def add_counter(server):
    """test.Counter/Up answers n with the numbers up to it. Its types are known to protobuf by this file alone."""
    file = descriptor_pb2.FileDescriptorProto(
        name="test/counter.proto",
        package="test",
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    number = ".google.protobuf.Int32Value"
    up = file.service.add(name="Counter").method.add(name="Up", input_type=number, output_type=number)
    up.server_streaming = True
    descriptor_pool.Default().Add(file)

    def count(request, context):
        for n in range(request.value):
            yield wrappers_pb2.Int32Value(value=n + 1)

    handler = grpc.unary_stream_rpc_method_handler(
        count, wrappers_pb2.Int32Value.FromString, wrappers_pb2.Int32Value.SerializeToString
    )
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(COUNTER, {"Up": handler})])


def main():
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    healthy = health.HealthServicer()
    healthy.set("", health_pb2.HealthCheckResponse.SERVING)
    healthy.set("shop", health_pb2.HealthCheckResponse.NOT_SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    add_counter(server)
    if "--no-reflection" not in sys.argv:
        reflection.enable_server_reflection([HEALTH, COUNTER, reflection.SERVICE_NAME], server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(json.dumps({"port": port}), flush=True)
    server.wait_for_termination()


main()
