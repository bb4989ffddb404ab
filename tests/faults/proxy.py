# SPDX-License-Identifier: Apache-2.0
"""A network that does harm, by seed: a TCP proxy before a registry on the loopback."""
import random
import socket
import struct
import threading

KINDS = ("drop", "reset", "stall", "cut", "flip", "flip-request", "bytes")


class Proxy:
    """seed decides which connections suffer what, and where; struck counts what happened."""

    def __init__(self, to):
        self.to, self.struck, self.lock = to, dict.fromkeys(KINDS, 0), threading.Lock()
        self.open = set()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.host = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.begin(0)
        threading.Thread(target=self.accept, daemon=True).start()

    def begin(self, seed):
        """A new run: connections that are still there end."""
        with self.lock:
            self.random, self.left, ended = random.Random(seed), 4, list(self.open)
            self.open.clear()
        for s in ended:
            close(s)

    def count(self, kind):
        with self.lock:
            self.struck[kind] += 1

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            with self.lock:
                # the first four connections that draw one suffer it: then the network is well, so that some pulls end well
                kind = self.random.choice(KINDS + (None,)) if self.left else None
                self.left -= kind is not None and self.left > 0
                # headers, the manifest, the configuration, somewhere in a layer
                at = int(2 ** self.random.uniform(0, 17))
                bit = self.random.randrange(8)
                self.open.add(client)
            threading.Thread(target=self.serve, args=(client, kind, at, bit), daemon=True).start()

    def serve(self, client, kind, at, bit):
        try:
            server = socket.create_connection(self.to)
        except OSError:
            close(client)
            return
        for s in (client, server):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.lock:
            self.open.add(server)
        up = threading.Thread(target=self.pump, args=(client, server, kind if kind == "flip-request" else None, at % 600, bit),
                              daemon=True)
        up.start()
        self.pump(server, client, None if kind == "flip-request" else kind, at, bit)

    def pump(self, source, sink, kind, at, bit):
        done = 0
        try:
            while True:
                data = source.recv(65536)
                if not data:
                    break
                here = kind and done <= at < done + len(data)
                if kind in ("flip", "flip-request") and here:
                    data = bytearray(data)
                    data[at - done] ^= 1 << bit
                    self.count(kind)
                elif kind == "bytes" and (here or done < at):
                    if done == 0:
                        self.count(kind)
                    for i in range(min(len(data), 2000)):
                        sink.sendall(data[i:i + 1])
                    data = data[2000:]
                    done += 2000
                elif here:
                    sink.sendall(data[:at - done])
                    self.count(kind)
                    if kind == "stall":
                        source.recv(1 << 20)
                        threading.Event().wait(1.5)
                    elif kind == "reset":
                        sink.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    elif kind == "cut":
                        sink.shutdown(socket.SHUT_WR)
                        threading.Event().wait(0.05)
                    break
                sink.sendall(data)
                done += len(data)
        except OSError:
            pass
        close(sink)
        close(source)
        with self.lock:
            self.open -= {sink, source}

    def close(self):
        close(self.listener)
        self.begin(0)


def close(s):
    try:
        s.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    s.close()
