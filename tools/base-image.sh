#!/bin/sh
# Builds a base image out of Debian packages, for machines that reach a Debian mirror and no image registry: a minimal
# Debian of the release that python:3.13-slim is made of, with its Python. Prints the image's name; a second call finds
# it built. Needs root, debootstrap (tools/provision.sh debootstrap) and a Docker engine.
#   DEBIAN_MIRROR (http://deb.debian.org/debian), DEBIAN_SUITE (trixie)
set -eu

MIRROR=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
SUITE=${DEBIAN_SUITE:-trixie}
PACKAGES=ca-certificates,python3,python3-venv

say() { printf '%s\n' "base image: $*" >&2; }
fail() { say "$*"; exit 1; }

recipe=$({ cat "$0"; printf '%s\n' "$MIRROR" "$SUITE"; } | sha256sum | cut -c 1-12)
image=test-coordinator-base:$SUITE-$recipe
if docker image inspect "$image" >/dev/null 2>&1; then
    printf '%s\n' "$image"
    exit
fi

[ "$(id -u)" = 0 ] || fail "debootstrap needs root. Or name a base:  make image BASE_IMAGE=python:3.13-slim"
command -v debootstrap >/dev/null || fail "debootstrap is missing: tools/provision.sh debootstrap"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' INT TERM HUP
say "debootstrap $SUITE from $MIRROR (under a minute)"
debootstrap --variant=minbase --include="$PACKAGES" "$SUITE" "$folder/root" "$MIRROR" >"$folder/log" 2>&1 ||
    fail "debootstrap failed: $(tail -n 3 "$folder/log")"

# What Debian's own slim images leave out too: packages already fetched, package lists, manuals.
rm -rf "$folder"/root/var/cache/apt/* "$folder"/root/var/lib/apt/lists/* "$folder"/root/var/log/*.log \
    "$folder"/root/usr/share/doc/* "$folder"/root/usr/share/man/* "$folder"/root/usr/share/locale/* \
    "$folder"/root/usr/share/info/*
printf 'path-exclude %s\n' '/usr/share/doc/*' '/usr/share/man/*' '/usr/share/locale/*' '/usr/share/info/*' \
    >"$folder/root/etc/dpkg/dpkg.cfg.d/slim"

# `make clean` finds it by the label.
tar -C "$folder/root" --numeric-owner -c . | docker import \
    --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    --change 'LABEL test-coordinator.image=base' --change 'CMD ["python3"]' - "$image" >/dev/null
printf '%s\n' "$image"
