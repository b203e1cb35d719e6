"""A gRPC client that nobody here wrote, against our server: one case per run.

client.py --target HOST:PORT --case NAME [--ca FILE --cert FILE --key FILE]
Exit status 0 means that the case passed; else the reason is on standard error.
"""

import argparse
import concurrent.futures
import os
import sys
import threading
import time

import grpc
from google.protobuf import descriptor_pool
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
messages, services = grpc.protos_and_services("interop.proto")
Request = messages.EchoRequest
MIB = 1 << 20


def equal(actual, expected, what=""):
    if actual != expected:
        raise AssertionError(f"{what}: {str(actual)[:200]} is not {str(expected)[:200]}")


def fails(code, call):
    try:
        call()
    except grpc.RpcError as error:
        equal(error.code(), code, f"status ({error.details()})")
        return error
    raise AssertionError(f"succeeded, expected {code}")


def eventually(condition, what):
    for _ in range(100):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"never: {what}")


class Cases:
    def __init__(self, channel, arguments):
        self.channel = channel
        self.arguments = arguments
        self.stub = services.EchoStub(channel)

    def statistics(self):
        return self.stub.Statistics(messages.StatisticsRequest())

    def unary(self):
        for size in (0, 1, 1000, 65_536, MIB, 4 * MIB - 64):
            payload = os.urandom(size)
            equal(self.stub.Unary(Request(payload=payload)).payload, payload, f"{size} bytes")

    def many_unary(self):
        for number in range(1000):
            payload = b"%d" % number
            equal(self.stub.Unary(Request(payload=payload)).payload, payload)

    def too_large(self):
        fails(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            lambda: self.stub.Unary(Request(payload=bytes(5 * MIB)), timeout=10),
        )
        self.unary()

    def server_streaming(self):
        answers = list(self.stub.Expand(Request(payload=b"x" * 100, count=2000)))
        equal(len(answers), 2000)
        equal([answer.messages for answer in answers], list(range(2000)), "order")
        payload = os.urandom(512 * 1024)
        count = 0
        for answer in self.stub.Expand(Request(payload=payload, count=64)):
            equal(answer.payload, payload)
            count += 1
        equal(count, 64)
        equal(list(self.stub.Expand(Request(count=0))), [], "no answers")

    def client_streaming(self):
        answer = self.stub.Collect(Request(payload=b"x" * 10) for _ in range(2000))
        equal((answer.messages, answer.total), (2000, 20_000))
        answer = self.stub.Collect(Request(payload=bytes(MIB)) for _ in range(48))
        equal((answer.messages, answer.total), (48, 48 * MIB))
        equal(self.stub.Collect(iter(())).messages, 0, "no requests")

    def bidirectional(self):
        # In turns: each request waits for the answer before it.
        answers = threading.Semaphore(1)
        def requests():
            for number in range(200):
                answers.acquire()
                yield Request(payload=b"%d" % number)
        count = 0
        for answer in self.stub.Chat(requests()):
            equal(answer.payload, b"%d" % count)
            count += 1
            answers.release()
        equal(count, 200)
        # Both directions full at once, beyond every window.
        payload = os.urandom(MIB)
        count = 0
        for answer in self.stub.Chat(Request(payload=payload) for _ in range(32)):
            equal(answer.payload, payload)
            count += 1
        equal(count, 32)

    def metadata(self):
        sent = (
            ("x-one", "1"), ("x-two", "a b,c"), ("x-two", "again"), ("x-data-bin", bytes(range(256))),
            ("x-data-bin", b""), ("x-empty", ""),
        )
        answer = self.stub.Unary(Request(), metadata=sent)
        seen = [line for line in answer.metadata if line.startswith("x-") and not line.startswith("x-request-id")]
        equal(
            sorted(seen),
            sorted(
                f"{name}={value.hex() if isinstance(value, bytes) else value}" for name, value in sent),
        )

    def errors(self):
        for number in range(1, 17):
            if number == 11:  # we have no such code
                continue
            error = fails(
                next(code for code in grpc.StatusCode if code.value[0] == number),
                lambda: self.stub.Unary(Request(status=number, message="über 100% \n weg")),
            )
            equal(error.details(), "über 100% \n weg")
        error = fails(
            grpc.StatusCode.ABORTED,
            lambda: list(self.stub.Expand(
                Request(count=3, status=10, message="old view", reason="STALE", facts={"path": "/ü", "revision": "7"}))),
        )
        status = rpc_status.from_call(error)
        equal((status.code, status.message), (10, "old view"))
        info = error_details_pb2.ErrorInfo()
        equal(status.details[0].Unpack(info), True)
        equal((info.domain, info.reason, dict(info.metadata)), ("dfs", "STALE", {"path": "/ü", "revision": "7"}))

    def error_after_answers(self):
        seen = []
        def call():
            for answer in self.stub.Chat(iter([Request(count=5, status=14, message="gone")])):
                seen.append(answer)
        fails(grpc.StatusCode.UNAVAILABLE, call)
        equal(len(seen), 5)

    def unknown_method(self):
        for path in ("/dfs.interop.Echo/Nothing", "/nowhere.Nothing/Nothing", "/", "/x"):
            call = self.channel.unary_unary(path, lambda data: data, lambda data: data)
            fails(grpc.StatusCode.UNIMPLEMENTED, lambda: call(b"", timeout=5))

    def malformed(self):
        for path in ("Unary", "Expand", "Collect", "Chat"):
            call = self.channel.stream_stream(f"/dfs.interop.Echo/{path}", lambda data: data, lambda data: data)
            for garbage in (b"\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x08", os.urandom(2) + b"\xff" * 20):
                fails(grpc.StatusCode.INVALID_ARGUMENT, lambda: list(call(iter([garbage]), timeout=5)))
        call = self.channel.stream_stream("/dfs.interop.Echo/Unary", lambda data: data, lambda data: data)
        error = None
        for requests in ([], [b"", b""]):
            try:
                list(call(iter(requests), timeout=5))
            except grpc.RpcError as caught:
                error = caught
            equal(error is not None and error.code() in (
                grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL), True,
                f"{len(requests)} requests of a unary call")
        self.unary()

    def deadline(self):
        answer = self.stub.Unary(Request(), timeout=30)
        equal(20_000 < answer.deadline_ms <= 30_000, True, f"deadline {answer.deadline_ms}")
        equal(self.stub.Unary(Request()).deadline_ms, 0)
        before = self.statistics().cancelled
        started = time.monotonic()
        fails(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: self.stub.Unary(Request(delay_ms=-1), timeout=0.3))
        fails(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: list(self.stub.Chat(
            iter([Request(delay_ms=-1)]), timeout=0.3)))
        equal(time.monotonic() - started < 5, True, "took too long")
        eventually(lambda: self.statistics().cancelled >= before + 2, "the handlers were cancelled")

    def cancel_by_client(self):
        before = self.statistics().cancelled
        call = self.stub.Expand(Request(payload=b"x", count=1_000_000, delay_ms=1))
        next(call)
        call.cancel()
        future = self.stub.Unary.future(Request(delay_ms=-1))
        time.sleep(0.2)
        future.cancel()
        eventually(lambda: self.statistics().cancelled >= before + 2, "the handlers were cancelled")

    def cancel_by_server(self):
        # The server ends the call while the client still sends.
        stop = threading.Event()
        def requests():
            yield Request(status=1, message="enough")
            while not stop.wait(0.01):
                yield Request(payload=b"x" * 1000)
        def call():
            for _ in self.stub.Chat(requests(), timeout=10):
                pass
        try:
            fails(grpc.StatusCode.CANCELLED, call)
        finally:
            stop.set()
        self.unary()

    def hundred_streams(self):
        gate = threading.Barrier(100)
        def run(number):
            received = 0
            def requests():
                gate.wait(30)
                for _ in range(50):
                    yield Request(payload=bytes([number]) * 2000)
            for answer in self.stub.Chat(requests()):
                equal(answer.payload, bytes([number]) * 2000)
                received += 1
            return received
        with concurrent.futures.ThreadPoolExecutor(100) as pool:
            equal(list(pool.map(run, range(100))), [50] * 100)

    def slow_reader(self):
        # A stream that nobody reads must not stop the others.
        slow = self.stub.Expand(Request(payload=bytes(MIB), count=64))
        next(slow)
        self.unary()
        count = 1
        for _ in slow:
            count += 1
        equal(count, 64)

    def gzip(self):
        payload = b"abc" * 100_000
        for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):
            equal(self.stub.Unary(Request(payload=payload), compression=compression).payload, payload)
            answers = list(self.stub.Chat(
                (Request(payload=payload + b"%d" % number) for number in range(20)), compression=compression))
            equal([answer.payload for answer in answers], [payload + b"%d" % number for number in range(20)])
            # Small enough on the wire, too large when unpacked.
            fails(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                lambda: self.stub.Unary(Request(payload=bytes(16 * MIB)), compression=compression),
            )

    def peer(self):
        equal(self.stub.Unary(Request()).peer, "interop client")

    def not_trusted(self):
        error = fails(grpc.StatusCode.UNAVAILABLE, lambda: self.stub.Unary(Request(), timeout=5))

    def reflection(self):
        database = ProtoReflectionDescriptorDatabase(self.channel)
        names = set(database.get_services())
        for name in ("dfs.interop.Echo", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                     "grpc.reflection.v1alpha.ServerReflection"):
            equal(name in names, True, name)
        pool = descriptor_pool.DescriptorPool(database)
        service = pool.FindServiceByName("dfs.interop.Echo")
        equal(sorted(method.name for method in service.methods), ["Chat", "Collect", "Expand", "Statistics", "Unary"])
        equal(pool.FindMessageTypeByName("dfs.interop.EchoRequest").fields_by_name["count"].number, 2)
        # The same over v1.
        call = self.channel.stream_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            reflection_pb2.ServerReflectionRequest.SerializeToString,
            reflection_pb2.ServerReflectionResponse.FromString)
        requests = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="dfs.interop.Echo"),
            reflection_pb2.ServerReflectionRequest(file_by_filename="no.such"),
        ]
        listing, file, missing = list(call(iter(requests)))
        equal({service.name for service in listing.list_services_response.service}, names)
        equal(len(file.file_descriptor_response.file_descriptor_proto), 1)
        equal(missing.error_response.error_code, 5)

    def health(self):
        stub = health_pb2_grpc.HealthStub(self.channel)
        Check = health_pb2.HealthCheckRequest
        serving = health_pb2.HealthCheckResponse.SERVING
        equal(stub.Check(Check()).status, serving)
        fails(grpc.StatusCode.NOT_FOUND, lambda: stub.Check(Check(service="nobody")))
        unknown = stub.Watch(Check(service="nobody"))
        equal(next(unknown).status, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
        unknown.cancel()
        watch = stub.Watch(Check(service="flipping"))
        seen = [next(watch).status]
        print("watching", flush=True)
        seen.append(next(watch).status)
        equal(seen, [serving, health_pb2.HealthCheckResponse.NOT_SERVING])
        watch.cancel()

    def keepalive(self):
        # The channel pings every 200 ms (see `main`), with and without calls.
        equal(self.stub.Unary(Request(payload=b"a")).payload, b"a")
        equal(self.stub.Unary(Request(payload=b"b", delay_ms=1500)).payload, b"b")
        time.sleep(1.5)
        equal(self.stub.Unary(Request(payload=b"c")).payload, b"c")

    def drain(self):
        # The server is told to drain after "running"; what runs finishes, what is new is refused.
        held = threading.Event()
        def requests():
            yield Request(payload=b"first")
            held.wait(30)
            for number in range(20):
                yield Request(payload=b"%d" % number)
        answers = self.stub.Chat(requests(), timeout=30)
        equal(next(answers).payload, b"first")
        print("running", flush=True)
        sys.stdin.readline()
        def is_refused():
            try:
                self.stub.Unary(Request(), timeout=10)
            except grpc.RpcError as error:
                equal(error.code(), grpc.StatusCode.UNAVAILABLE)
                return True
            return False
        eventually(is_refused, "a new call was refused")
        held.set()
        equal([answer.payload for answer in answers], [b"%d" % number for number in range(20)])


def main():
    parser = argparse.ArgumentParser()
    for name in ("target", "case", "ca", "cert", "key"):
        parser.add_argument(f"--{name}")
    arguments = parser.parse_args()
    options = [
        ("grpc.max_receive_message_length", 64 * MIB), ("grpc.max_send_message_length", 64 * MIB),
        ("grpc.enable_retries", 0),
    ]
    if arguments.case == "keepalive":
        options += [
            ("grpc.keepalive_time_ms", 200), ("grpc.keepalive_timeout_ms", 2000),
            ("grpc.keepalive_permit_without_calls", 1), ("grpc.http2.max_pings_without_data", 0),
        ]
    def read(path):
        if not path:
            return None
        with open(path, "rb") as file:
            return file.read()
    if arguments.ca:
        credentials = grpc.ssl_channel_credentials(read(arguments.ca), read(arguments.key), read(arguments.cert))
        channel = grpc.secure_channel(arguments.target, credentials, options)
    else:
        channel = grpc.insecure_channel(arguments.target, options)
    with channel:
        getattr(Cases(channel, arguments), arguments.case)()


if __name__ == "__main__":
    try:
        main()
    except Exception as error:  # pylint: disable=broad-except
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
