"""Calls grpc_server.py and says what a caller sees.

grpc_client.py calls TARGET [CA]   one line per call: messages, metadata, status, details
grpc_client.py chat TARGET         every message of a conversation is back before the next is sent
grpc_client.py load TARGET COUNT   COUNT unary calls, 32 at once; every answer compared
grpc_client.py leave TARGET        takes one message of a stream, and leaves

With CA, a file of PEM certificates, the connection is TLS to `localhost`.
Left out of what is said are only the headers that the sidecar adds by promise.
"""

import concurrent.futures
import queue
import sys

import grpc

ADDED = {"x-request-id", "date"}
TIMEOUT = 15


def metadata(pairs):
    return sorted((key, value) for key, value in pairs or () if key not in ADDED)


def service(channel):
    def method(kind, name):
        return getattr(channel, kind)(f"/real.Echo/{name}")

    return {
        "Unary": method("unary_unary", "Unary"),
        "Deny": method("unary_unary", "Deny"),
        "Missing": method("unary_unary", "Missing"),
        "Count": method("unary_stream", "Count"),
        "Crash": method("unary_stream", "Crash"),
        "Hold": method("unary_stream", "Hold"),
        "Chat": method("stream_stream", "Chat"),
    }


def told(name, call, messages):
    """What there is to say of a call that has ended."""
    print(name, messages, call.code().name, repr(call.details()), metadata(call.initial_metadata()),
          metadata(call.trailing_metadata()))


def ended(messages):
    """The messages of a stream up to its end, which may be an error: that is told by the call."""
    got = []
    try:
        for message in messages:
            got.append(message)
    except grpc.RpcError:
        pass
    return got


def calls(methods):
    for body in (b"", b"hello", b"x" * 3_000_000):
        answer, call = methods["Unary"].with_call(body, timeout=TIMEOUT)
        told("unary", call, f"{len(answer)} bytes, alike: {answer == body}")
    for number in (0, 1, 500):
        stream = methods["Count"](b"%d" % number, timeout=TIMEOUT)
        got = ended(stream)
        told("count", stream, f"{len(got)} in order: {got == [b'%d' % i for i in range(number)]}")
    stream = methods["Chat"](iter([b"a", b"", b"c" * 100_000]), timeout=TIMEOUT)
    told("chat", stream, [len(message) for message in ended(stream)])
    for name in ("Deny", "Missing"):
        try:
            methods[name](b"", timeout=TIMEOUT)
            sys.exit(f"{name} did not fail")
        except grpc.RpcError as error:
            told(name.lower(), error, [])
    stream = methods["Crash"](b"", timeout=TIMEOUT)
    told("crash", stream, ended(stream))


def chat(methods):
    outbox = queue.Queue()
    stream = methods["Chat"](iter(outbox.get, None), timeout=TIMEOUT)
    for number in range(20):
        outbox.put(b"%d" % number)
        if next(stream) != b"%d" % number:
            sys.exit("the wrong message came back")
    outbox.put(None)
    if ended(stream) or stream.code() is not grpc.StatusCode.OK:
        sys.exit(f"the conversation ended badly: {stream.code()}")
    print("20 messages, each answered before the next")


def load(methods, count):
    def one(number):
        return methods["Unary"](b"%d" % number, timeout=TIMEOUT) == b"%d" % number

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        alike = sum(pool.map(one, range(count)))
    print(f"{alike} of {count} alike")
    sys.exit(alike != count)


def leave(methods):
    stream = methods["Hold"](b"", timeout=TIMEOUT)
    print(next(stream))
    stream.cancel()


def main(command, target, *arguments):
    if command == "calls" and arguments:
        with open(arguments[0], "rb") as file:
            credentials = grpc.ssl_channel_credentials(file.read())
        channel = grpc.secure_channel(target, credentials)
    else:
        channel = grpc.insecure_channel(target)
    with channel:
        methods = service(channel)
        if command == "load":
            load(methods, int(arguments[0]))
        else:
            {"calls": calls, "chat": chat, "leave": leave}[command](methods)


main(*sys.argv[1:])
