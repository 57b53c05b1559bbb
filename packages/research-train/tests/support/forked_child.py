"""A child process in whose place a fork of fork_server.py works.

Called as `forked_child.py SOCKET COMMAND...`.

It passes on its descriptors, environment and signals, and ends as that fork ends, which is killed
if this process is.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def main() -> None:
    address, *words = sys.argv[1:]
    server = socket.socket(socket.AF_UNIX)
    own = Path("/proc/self/fd")
    opened = [int(each.name) for each in own.iterdir()]  # and the folder, which is closed by now
    descriptors = [n for n in opened if n != server.fileno() and (own / str(n)).exists()]
    server.connect(address)
    for number in PASSED_ON:
        signal.signal(number, lambda number, frame: server.sendall(bytes([number])))
    request = {
        "words": words,
        "cwd": str(Path.cwd()),
        "environment": dict(os.environ),
        "descriptors": descriptors,
    }
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    told = json.dumps(request).encode() + b"\n"
    sent = socket.send_fds(server, [told], descriptors)
    server.sendall(told[sent:])
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    for number in descriptors:  # a pipe is to end with its users
        os.close(number)
    code = int(server.recv(16) or 1)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


main()
