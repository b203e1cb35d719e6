"""A gRPC server that nobody here wrote, for our client.

server.py [--cert FILE --key FILE [--ca FILE]] [--compression gzip]
Prints its port. Takes commands on standard input: "stop SECONDS" drains it. Ends with its standard input.
"""

import argparse
import os
import sys
import threading
import time
from concurrent import futures

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
messages, services = grpc.protos_and_services("interop.proto")


class Call:
    """Whether a call is over, and whether its handler came to its end before."""

    def __init__(self):
        self.over = threading.Event()
        self.has_finished = False


class Echo(services.EchoServicer):
    def __init__(self):
        self.lock = threading.Lock()
        self.started = 0
        self.cancelled = 0

    def begin(self, context):
        call = Call()
        def ended():
            call.over.set()
            if not call.has_finished:
                with self.lock:
                    self.cancelled += 1
        with self.lock:
            self.started += 1
        context.add_callback(ended)
        return call

    def pause(self, request, context, call):
        if request.delay_ms == 0:
            return
        if call.over.wait(None if request.delay_ms < 0 else request.delay_ms / 1000):
            context.abort(grpc.StatusCode.CANCELLED, "cancelled")

    def answer(self, request, context, number):
        lines = [
            f"{name}={value.hex() if isinstance(value, bytes) else value}"
            for name, value in context.invocation_metadata()
        ]
        left = context.time_remaining()
        return messages.EchoResponse(
            payload=request.payload, messages=number, metadata=lines,
            deadline_ms=int(left * 1000) if left is not None and left < 1e6 else 0, peer=context.peer())

    def end(self, request, context, call):
        if not request.status:
            return
        call.has_finished = True
        code = next(code for code in grpc.StatusCode if code.value[0] == request.status)
        if not request.reason:
            context.abort(code, request.message)
        detail = any_pb2.Any()
        detail.Pack(error_details_pb2.ErrorInfo(
            reason=request.reason, domain="dfs", metadata=dict(request.facts)))
        context.abort_with_status(rpc_status.to_status(
            status_pb2.Status(code=request.status, message=request.message, details=[detail])))

    def Unary(self, request, context):
        call = self.begin(context)
        self.pause(request, context, call)
        self.end(request, context, call)
        call.has_finished = True
        return self.answer(request, context, 0)

    def Expand(self, request, context):
        call = self.begin(context)
        for number in range(request.count):
            self.pause(request, context, call)
            yield self.answer(request, context, number)
        self.end(request, context, call)
        call.has_finished = True

    def Collect(self, requests, context):
        call = self.begin(context)
        total = count = 0
        for request in requests:
            self.pause(request, context, call)
            total += len(request.payload)
            count += 1
            self.end(request, context, call)
        call.has_finished = True
        return messages.EchoResponse(total=total, messages=count)

    def Chat(self, requests, context):
        call = self.begin(context)
        count = 0
        for request in requests:
            for _ in range(max(request.count, 1)):
                self.pause(request, context, call)
                yield self.answer(request, context, count)
                count += 1
            self.end(request, context, call)
        call.has_finished = True

    def Statistics(self, request, context):
        with self.lock:
            return messages.StatisticsResponse(started=self.started, cancelled=self.cancelled)


def main():
    parser = argparse.ArgumentParser()
    for name in ("ca", "cert", "key", "compression"):
        parser.add_argument(f"--{name}")
    arguments = parser.parse_args()
    options = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]
    compression = grpc.Compression.Gzip if arguments.compression == "gzip" else None
    server = grpc.server(futures.ThreadPoolExecutor(150), options=options, compression=compression)
    services.add_EchoServicer_to_server(Echo(), server)
    status = health.HealthServicer()
    status.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    def read(path):
        with open(path, "rb") as file:
            return file.read()
    if arguments.cert:
        credentials = grpc.ssl_server_credentials(
            [(read(arguments.key), read(arguments.cert))],
            read(arguments.ca) if arguments.ca else None, arguments.ca is not None)
        port = server.add_secure_port("127.0.0.1:0", credentials)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    for line in sys.stdin:
        words = line.split()
        if words[:1] == ["stop"]:
            server.stop(float(words[1]))
            print("stopping", flush=True)
    server.stop(0)


if __name__ == "__main__":
    main()
