# SPDX-License-Identifier: Apache-2.0
"""Between User-Mode Linux and a vhost-user daemon that takes messages by the letter only: makes them exact.

usage: uml_proxy.py LISTEN CONNECT

User-Mode Linux sends SET_MEM_TABLE with room for two regions, whether there are two or one; the Rust daemon hangs up on
that. Only messages pass through here. Requests do not: rings are in memory that both sides share, and notifications go
over descriptors that are handed on.
"""
import array
import selectors
import socket
import struct
import sys

HEADER = struct.Struct("=III")
SET_MEM_TABLE = 5
REGION = 32


def receive(sock):
    """One message with its descriptors, or None at the end."""
    fds = array.array("i")
    data = b""
    want = HEADER.size
    while len(data) < want:
        got, ancillary, _, _ = sock.recvmsg(want - len(data), socket.CMSG_SPACE(8 * fds.itemsize))
        if not got:
            return None
        for _, _, words in ancillary:
            fds.frombytes(words[:len(words) - len(words) % fds.itemsize])
        data += got
        if len(data) == HEADER.size:
            want = HEADER.size + HEADER.unpack(data)[2]
    return data, list(fds)


def exact(data):
    request, flags, _ = HEADER.unpack_from(data)
    if request != SET_MEM_TABLE:
        return data
    (regions,) = struct.unpack_from("=I", data, HEADER.size)
    body = data[HEADER.size:HEADER.size + 8 + REGION * regions]
    return HEADER.pack(request, flags, len(body)) + body


def main(listen, connect):
    server = socket.socket(socket.AF_UNIX)
    server.bind(listen)
    server.listen(1)
    guest, _ = server.accept()
    daemon = socket.socket(socket.AF_UNIX)
    daemon.connect(connect)
    with selectors.DefaultSelector() as both:
        both.register(guest, selectors.EVENT_READ, (daemon, exact))
        both.register(daemon, selectors.EVENT_READ, (guest, lambda data: data))
        while True:
            for key, _ in both.select():
                message = receive(key.fileobj)
                if not message:
                    return
                to, change = key.data
                data, fds = message
                socket.send_fds(to, [change(data)], fds)
                for fd in fds:
                    socket.close(fd)


if __name__ == "__main__":
    main(*sys.argv[1:])
