#!/bin/sh
# Makes sure that what the tests and the demo need is there: uses what answers, installs by apt as root on Debian or
# Ubuntu, and otherwise says in one line what to type. Never restarts, reconfigures or stops anything that runs.
#   tools/provision.sh docker | postgres | redis | busybox | chromium | debootstrap | compose | netfilter | haproxy | shells | vm | python PYTHON ...
set -eu
# An ordinary user of Debian has no sbin on the path, where dockerd is.
PATH=$PATH:/usr/sbin:/sbin

ENGINE_LOG=/var/log/test-coordinator-dockerd.log
ENGINE_PIDFILE=/var/run/docker.pid
ENGINE_WAIT_S=60

say() { printf '%s\n' "provision: $*" >&2; }
fail() { say "$*"; exit 1; }
is_root() { [ "$(id -u)" = 0 ]; }
have() { command -v "$1" >/dev/null 2>&1; }

# Packages that bring a service with them: `quiet` keeps apt from starting it, so that no port is taken.
apt_install() {
    policy=$1
    shift
    if ! have apt-get || ! is_root; then
        fail "missing: $*. Install it with:  sudo apt-get update && sudo apt-get install -y --no-install-recommends $*"
    fi
    say "installing $* (apt)"
    deny=/usr/sbin/policy-rc.d
    if [ "$policy" = quiet ] && [ ! -e "$deny" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$deny"
        chmod 755 "$deny"
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT INT TERM
    else
        deny=
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -q --no-install-recommends "$@" </dev/null >&2 || {
        # A fresh machine has no package lists yet, an old one has stale ones.
        apt-get update -q </dev/null >&2
        apt-get install -y -q --no-install-recommends "$@" </dev/null >&2
    } || fail "apt could not install: $*"
    if [ -n "$deny" ]; then
        rm -f "$deny"
        trap - EXIT INT TERM
    fi
}

engine_answers() { timeout 10 docker version --format '{{.Server.Version}}' </dev/null >/dev/null 2>&1; }

engine_process() {
    [ -r "$ENGINE_PIDFILE" ] || return 1
    [ "$(cat "/proc/$(cat "$ENGINE_PIDFILE")/comm" 2>/dev/null)" = dockerd ]
}

start_engine() {
    if [ -d /run/systemd/system ]; then
        systemctl start docker >&2 || say "systemctl could not start docker"
        return
    fi
    # A pid file that names no dockerd is left from a crash and would keep the engine from starting.
    rm -f "$ENGINE_PIDFILE"
    # `9>&-`: the engine must not keep the lock of this script.
    setsid nohup dockerd >>"$ENGINE_LOG" 2>&1 </dev/null 9>&- &
}

docker_engine() {
    have docker && engine_answers && return
    if [ -n "${DOCKER_HOST:-}" ] && [ "$DOCKER_HOST" != unix:///var/run/docker.sock ]; then
        fail "no engine answers at DOCKER_HOST=$DOCKER_HOST. Start it, or unset DOCKER_HOST to use the local one."
    fi
    have docker && have dockerd || apt_install start docker.io iptables ca-certificates
    engine_answers && return
    is_root || fail "no Docker engine answers. Start it with:  sudo systemctl start docker   (and join the group docker)"

    exec 9>/run/test-coordinator-provision.lock
    flock -w 120 9 || fail "another provision.sh is busy for two minutes; see $ENGINE_LOG"
    deadline=$(($(date +%s) + ENGINE_WAIT_S))
    until engine_answers; do
        [ "$(date +%s)" -lt "$deadline" ] || fail "the Docker engine did not start in $ENGINE_WAIT_S s; see $ENGINE_LOG"
        # After a crash the engine may need a second start, once its containerd has let go of its files.
        engine_process || { say "starting the Docker engine"; start_engine; sleep 1; }
        sleep 0.2
    done
    exec 9>&-
}

# What puts faults into a network namespace, and what measures them there.
netfilter() {
    for tool in nft:nftables tc:iproute2 ip:iproute2 ping:iputils-ping; do
        have "${tool%%:*}" || apt_install start "${tool##*:}"
    done
    is_root || fail "network faults are tried in network namespaces made by the tests, which takes root: sudo make test"
}

# What makes a Debian guest, and runs it.
vm() {
    for tool in qemu-system-x86_64:qemu-system-x86 mmdebstrap:mmdebstrap mkfs.ext4:e2fsprogs ssh:openssh-client; do
        have "${tool%%:*}" || apt_install quiet "${tool##*:}"
    done
}

postgres_bin() { have initdb || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; }

# A Python with the means to make virtual environments.
python_venv() {
    python=$1
    have "$python" || apt_install start python3 python3-venv
    "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' ||
        fail "$python is $("$python" -V 2>&1); 3.11, 3.12 or 3.13 is needed: make PYTHON=/path/to/python3.13"
    "$python" -c 'import venv, ensurepip' 2>/dev/null && return
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    apt_install start "python$version-venv"
}

[ $# -gt 0 ] || fail "usage: tools/provision.sh docker | postgres | redis | busybox | chromium | debootstrap | compose | netfilter | haproxy | shells | vm | python PYTHON ..."
while [ $# -gt 0 ]; do
    case $1 in
        docker) docker_engine ;;
        postgres) postgres_bin || apt_install quiet postgresql ;;
        redis) have redis-server || apt_install quiet redis-server ;;
        busybox) [ -x /bin/busybox ] || apt_install quiet busybox-static ;;
        debootstrap) have debootstrap || apt_install quiet debootstrap ;;
        chromium) have chromium || apt_install quiet chromium ;;
        compose) docker compose version >/dev/null 2>&1 || have docker-compose || apt_install quiet docker-compose ;;
        netfilter) netfilter ;;
        haproxy) have haproxy || apt_install quiet haproxy ;;
        shells) have zsh && have fish || apt_install quiet zsh fish ;;
        vm) vm ;;
        python) python_venv "$2"; shift ;;
        *) fail "unknown: $1" ;;
    esac
    shift
done
