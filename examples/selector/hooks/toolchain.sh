#!/bin/sh
# The python of a toolchain directory, if it is new enough. There is none: no opinion.
# $1 is the request, such as ">=3.8"; what stderr says is shown only if this fails.
for python in "${TOOLCHAIN:-/opt/toolchain}"/bin/python3 "${TOOLCHAIN:-/opt/toolchain}"/python/bin/python3; do
    if [ -x "$python" ] && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 8))'; then
        echo "$python"
        exit 0
    fi
done
echo "no python for $1 in the toolchain" >&2
