#!/bin/sh
# Runs a command as a user without rights: as_nobody.sh PREFIX COMMAND...
# PREFIX, where Python is, is shown to that user even when it is below a folder closed to others
# (as with a Python that root installed in its home): in a mount namespace of its own.
set -e
prefix=$1; shift
closed=$prefix
while [ "$closed" != / ]; do
    case $(stat -c %A "$closed") in *x|*t) ;; *) break ;; esac
    closed=$(dirname "$closed")
done
while [ "$closed" != / ] && [ "$(dirname "$closed")" != / ]; do closed=$(dirname "$closed"); done
if [ "$closed" != / ]; then
    kept=$(mktemp -d)
    mount --make-rprivate /
    mount --bind "$prefix" "$kept"
    mount -t tmpfs -o mode=755 none "$closed"
    mkdir -p "$prefix"
    mount --move "$kept" "$prefix"
    rmdir "$kept"
fi
exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --bounding-set=-all "$@"
