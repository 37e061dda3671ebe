"""
Small programs that guests run, each as the text of a Python script.
"""

from __future__ import annotations

#: Arguments: host, port. Prints the first line that the server says, and an echo.
BANNER = """
import socket, sys
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)
line = connection.makefile("rb").readline()
connection.sendall(b"and you?")
print(line + connection.recv(100))
"""

#: Arguments: host, port, bytes. Sends them, says that it is done, and prints the answer.
HALF_CLOSE = """
import socket, sys
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), 60)
left, block = int(sys.argv[3]), bytes(range(256)) * 1024
while left:
    connection.sendall(block[:left])
    left -= min(left, len(block))
connection.shutdown(socket.SHUT_WR)
print(connection.makefile("rb").read().decode())
"""

#: Arguments: host, port, bytes. Prints how much it could send before nothing went for a while,
#: sends the rest, and prints the answer.
STALL = """
import socket, sys
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)
connection.settimeout(1)
left, block, sent = int(sys.argv[3]), bytes(range(256)) * 1024, 0
try:
    while left:
        size = connection.send(block[sent % 256 : sent % 256 + left])
        left, sent = left - size, sent + size
except TimeoutError:
    pass
print(sent, flush=True)
sys.stdin.readline()
connection.settimeout(60)
while left:
    size = connection.send(block[sent % 256 : sent % 256 + left])
    left, sent = left - size, sent + size
connection.shutdown(socket.SHUT_WR)
print(connection.makefile("rb").read().decode())
"""

#: Arguments: host, port, count. That many connections one after another out of few ports.
SHORT = """
import socket, sys
address = sys.argv[1], int(sys.argv[2])
ports = set()
for number in range(int(sys.argv[3])):
    text = b"%08d" % number
    with socket.create_connection(address, 20) as connection:
        ports.add(connection.getsockname()[1])
        connection.sendall(text)
        answer = b""
        while data := connection.recv(100):
            answer += data
        assert answer == text[::-1], (number, answer)
print(len(ports))
"""

#: Arguments: host, port. Connects, waits for a line, and prints what becomes of the connection.
RESTORED = """
import socket, sys, time
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)
connection.sendall(b"before")
print(connection.recv(100).decode(), flush=True)
sys.stdin.readline()
begun = time.monotonic()
try:
    connection.sendall(b"after")
    print(connection.recv(100))
except ConnectionResetError:
    print("reset", time.monotonic() - begun < 5)
"""
