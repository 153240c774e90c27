"""What the platform and the program inside say to each other.

One ``SOCK_SEQPACKET`` connection, one packet a request: a letter, and descriptors beside it, the
first of which is a memory file with the request's data (msgpack). A command's own connection, its
*status*, is one of these descriptors: over it the platform is told how the command went, and asks
for a signal; when the platform closes it, the command ends with all that it started.
"""

from __future__ import annotations

VERSION = b"codin supervisor 1"

START, CONNECT, LISTEN = b"s", b"c", b"l"

STDIN, STDOUT, STDERR, CONNECTION = 2, 3, 4, 5
"""Where these stand among the descriptors of ``START``, after the data and the status."""

HERE = b"here"
"""The command's keeper is there; the kernel says beside it which process that is."""
NOTE, EXIT, SIGNAL = b"note ", b"exit ", b"signal "
OK, REFUSED = b"ok", b"refused "

MAX_PACKET = 4096
MAX_FDS = 8
