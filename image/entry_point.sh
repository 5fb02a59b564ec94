#!/bin/sh
# `test-coordinator` as the image has it. Started as root it makes DATA_DIR the user's, finds the group that may use the
# engine's socket, and becomes the user `coordinator` without any capability, for `docker exec` too. Started as anybody
# else (`user:`, --user) it prepares nothing and stays who it is.
set -eu

PROGRAM=/opt/venv/bin/test-coordinator
OWNER=10001
DATA_DIR=${DATA_DIR:-/var/lib/test-coordinator}
export DATA_DIR

fail() { printf '%s\n' "test-coordinator: $*" >&2; exit 2; }

# Below the first process of a container, whatever breaks things needs its warden as its parent: with the first process or
# its child all others end. PPID: `docker run --init`; `docker exec` has none.
case ${1-} in serve | run) [ $$ != 1 ] && [ $PPID != 1 ] || set -- warden -- "$@" ;; esac
set -- "$PROGRAM" "$@"
# As the first process it needs an init, which passes signals on and reaps orphans.
[ $$ != 1 ] || set -- tini -- "$@"
[ "$(id -u)" = 0 ] || exec "$@"

case $DATA_DIR in
    /?*) ;;
    *) fail "DATA_DIR: $DATA_DIR is not allowed; allowed: an absolute path of a folder" ;;
esac
# The logs may be a mount of their own.
for folder in "$DATA_DIR" "$DATA_DIR/logs"; do
    [ -d "$folder" ] || mkdir -p -m 0700 "$folder" ||
        fail "DATA_DIR: $folder cannot be made; mount a folder there, or allow the capability DAC_OVERRIDE"
    # Links in it are changed themselves, never followed.
    [ "$(stat -c %u "$folder")" = "$OWNER" ] || chown -R -h "$OWNER:$OWNER" "$folder" ||
        fail "DATA_DIR: $folder cannot be given to user $OWNER; allow the capability CHOWN, or name its owner with --user"
done

socket=${DOCKER_HOST:-${DOCKER_SOCKET:-/var/run/docker.sock}}
socket=${socket#unix://}
groups=--clear-groups
[ ! -S "$socket" ] || groups=--groups=$(stat -L -c %g "$socket")

become="setpriv --reuid=$OWNER --regid=$OWNER $groups --inh-caps=-all --no-new-privs"
$become true || fail "cannot become user $OWNER: allow the capabilities SETUID and SETGID, or give --user"
exec $become -- "$@"
