#!/bin/sh
# numba reads compiled kernels only from a directory it may write to, and an image is none: they are copied (about 10 MB) to where one may.
set -eu
[ -e "$NUMBA_CACHE_DIR" ] || cp -R "${NILOMETER_KERNELS:-/opt/kernels}" "$NUMBA_CACHE_DIR"
exec nilometer "$@"
