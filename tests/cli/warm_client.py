"""
Runs the command in a process that a warm server forks, as if this process were the command.

    python -I -S warm_client.py SOCKET ARGUMENTS

The command has the open files, the environment and the directory of this process. This process passes signals on, and
ends as the command does. It imports only what Python has built in, since a test may start hundreds of these.
"""

import _signal
import _socket
import marshal
import posix
import sys

# What a sender uses instead of SIGKILL, which nobody can pass on. The command dies by SIGKILL.
KILL = _signal.SIGUSR2
PASSED_ON = _signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGUSR1, KILL


def open_files():
    """Return the file descriptors that are open."""
    found = []
    for number in map(int, posix.listdir("/dev/fd")):
        try:
            posix.fstat(number)
        except OSError:  # that of the directory itself
            continue
        found.append(number)
    return found


def receive_number(server):
    """Return the next number from the server."""
    data = b""
    while len(data) < 8:
        part = server.recv(8 - len(data))
        if not part:
            sys.exit("warm_client.py: the server has gone")
        data += part
    return int.from_bytes(data, "little", signed=True)


def main():
    """Have the server run the command, and end as the command does."""
    _, address, *arguments = sys.argv
    files = open_files()
    server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    server.connect(address)
    if _signal.getsignal(_signal.SIGINT) is _signal.SIG_IGN:
        sys.exit("warm_client.py: a command that ignores Ctrl-C has to be started by Python itself")
    wanted = marshal.dumps((arguments, dict(posix.environ), posix.getcwdb(), files))
    rights = b"".join(number.to_bytes(4, sys.byteorder) for number in files)
    ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)]
    # A signal that comes before there is somebody to pass it on to waits until then: the command may begin first.
    _signal.pthread_sigmask(_signal.SIG_BLOCK, PASSED_ON)
    server.sendmsg([len(wanted).to_bytes(8, "little")], ancillary if files else [])
    server.sendall(wanted)
    child = receive_number(server)

    def pass_on(number, _):
        """Send a signal to the command, unless it has just ended."""
        try:
            posix.kill(child, _signal.SIGKILL if number == KILL else number)
        except ProcessLookupError:
            return

    for number in PASSED_ON:
        _signal.signal(number, pass_on)
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, PASSED_ON)
    for number in files:  # so that a pipe ends when the command closes it
        posix.close(number)
    status = receive_number(server)
    if status < 0:
        if status != -_signal.SIGKILL:
            _signal.signal(-status, _signal.SIG_DFL)
        posix.kill(posix.getpid(), -status)
    posix._exit(status)


main()
