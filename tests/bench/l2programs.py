"""
What guests run for the bench of C{/l2}: each the text of a Python script that prints seconds.
"""

from __future__ import annotations

#: Arguments: host, port, letter, bytes, streams. Moves the bytes in all, down (D) or up (U).
MOVE = """
import selectors, socket, sys, time
host, port, letter, size, streams = sys.argv[1], int(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:])
block, place = bytes(1 << 18), bytearray(1 << 18)
selector = selectors.DefaultSelector()
begun = time.perf_counter()
left = {}
for _ in range(streams):
    connection = socket.create_connection((host, port), 20)
    connection.sendall(f"{letter}{size // streams}\\n".encode())
    connection.setblocking(False)
    event = selectors.EVENT_READ if letter == "D" else selectors.EVENT_WRITE
    selector.register(connection, event)
    left[connection] = size // streams
while left:
    events = selector.select(30)
    if not events:
        raise SystemExit("stood still")
    for key, _ in events:
        connection = key.fileobj
        if key.events == selectors.EVENT_WRITE:
            left[connection] -= connection.send(block[: left[connection]])
            if not left[connection]:
                selector.modify(connection, selectors.EVENT_READ)
        elif letter == "U":
            if connection.recv(10) != b"taken":
                raise SystemExit("not taken")
            selector.unregister(connection)
            del left[connection]
        else:
            got = connection.recv_into(place)
            left[connection] -= got
            if left[connection] <= 0 or not got:
                if left[connection]:
                    raise SystemExit("cut short")
                selector.unregister(connection)
                del left[connection]
print(time.perf_counter() - begun)
"""

#: Arguments: host, port, seconds, datagrams under way. Prints seconds, answers, and losses.
DATAGRAMS = """
import socket, sys, time
address, seconds, window = (sys.argv[1], int(sys.argv[2])), float(sys.argv[3]), int(sys.argv[4])
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
datagrams.connect(address)
datagrams.settimeout(0.2)
payload = bytes(100)
begun = time.perf_counter()
answered = lost = under = 0
while time.perf_counter() - begun < seconds:
    while under < window:
        datagrams.send(payload)
        under += 1
    try:
        datagrams.recv(2048)
        answered += 1
        under -= 1
    except TimeoutError:
        lost += under
        under = 0
print(time.perf_counter() - begun, answered, lost)
"""

#: Arguments: host, port, count. Connections one after another, each with a few bytes.
CONNECTIONS = """
import socket, sys, time
address = sys.argv[1], int(sys.argv[2])
begun = time.perf_counter()
for _ in range(int(sys.argv[3])):
    with socket.create_connection(address, 20) as connection:
        connection.sendall(b"D4\\n")
        while connection.recv(100):
            pass
print(time.perf_counter() - begun)
"""
