"""A gRPC server (grpcio, which is gRPC's own C core): usage: grpc_server.py PORT

Messages are plain bytes, so that no code has to be generated. Service `real.Echo`:

Unary     the request back, with initial, trailing and binary metadata
Count     N messages for the request `N`, and their number in the trailers
Chat      every message back as soon as it comes
Deny      RESOURCE_EXHAUSTED, with a message and trailing metadata: the caller's fault
Crash     INTERNAL, in the middle of a stream of three: the server's fault
Hold      waits for its caller to leave, and prints that it did
"""

import concurrent.futures
import sys
import threading

import grpc


def unary(request, context):
    context.send_initial_metadata((("x-first", "1"),))
    context.set_trailing_metadata((("x-last", "2"), ("x-raw-bin", b"\x00\xff\x10")))
    return request


def count(request, context):
    number = int(request)
    for index in range(number):
        yield b"%d" % index
    context.set_trailing_metadata((("x-count", str(number)),))


def chat(requests, _context):
    yield from requests


def deny(_request, context):
    context.set_trailing_metadata((("x-why", "quota"),))
    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many: 10 % für heute")


def crash(_request, context):
    for index in range(3):
        yield b"%d" % index
    context.abort(grpc.StatusCode.INTERNAL, "it broke")


def hold(_request, context):
    left = threading.Event()

    def tell():
        sys.stdout.write("left\n")
        sys.stdout.flush()
        left.set()

    # It is told here: whoever leaves at once is gone before this function goes on behind its `yield`.
    context.add_callback(tell)
    yield b"held"
    left.wait(20)


def main(port):
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Count": grpc.unary_stream_rpc_method_handler(count),
        "Chat": grpc.stream_stream_rpc_method_handler(chat),
        "Deny": grpc.unary_unary_rpc_method_handler(deny),
        "Crash": grpc.unary_stream_rpc_method_handler(crash),
        "Hold": grpc.unary_stream_rpc_method_handler(hold),
    }
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(32))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("real.Echo", handlers),))
    if server.add_insecure_port(f"127.0.0.1:{port}") != port:
        sys.exit(f"port {port} is not free")
    server.start()
    server.wait_for_termination()


main(int(sys.argv[1]))
