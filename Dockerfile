# The coordinator as a container. Builds with BuildKit and with the older builder; needs the base's registry, Debian's
# mirror and PyPI, nothing else.
#   make image            picks a base, adds this machine's extra certificate authorities, tags test-coordinator:VERSION
#   docker build -t X .   the same by hand, on the public base
# image/certs/ may hold further certificate authorities (*.crt), image/cli/ a static `docker` to take in place of
# Debian's.
ARG BASE_IMAGE=python:3.13-slim

# Only what is to be installed, so that another change of pyproject.toml does not install it all anew.
FROM ${BASE_IMAGE} AS requirements
LABEL test-coordinator.image=build
COPY pyproject.toml /src/
RUN python3 -c 'import tomllib; p = tomllib.load(open("/src/pyproject.toml", "rb")); \
print(*p["project"]["dependencies"], sep="\n")' >/requirements.txt; \
    python3 -c 'import tomllib; p = tomllib.load(open("/src/pyproject.toml", "rb")); \
print(*p["build-system"]["requires"], sep="\n")' >/tools.txt

# The tools stay behind: what is copied from here has no pip.
FROM ${BASE_IMAGE} AS dependencies
LABEL test-coordinator.image=build
COPY image/certs/ /usr/local/share/ca-certificates/
COPY image/cli/ /cli/
RUN set -eu; \
    rm -f /usr/local/share/ca-certificates/.gitignore /cli/.gitignore; \
    if [ -e /cli/docker ]; then chmod 755 /cli/docker; fi; \
    if ! command -v update-ca-certificates >/dev/null; then \
        apt-get update -q; apt-get install -y -q --no-install-recommends ca-certificates; \
    fi; \
    update-ca-certificates
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY --from=requirements /requirements.txt /tools.txt /src/
RUN set -eu; \
    python3 -m venv /opt/tools; /opt/tools/bin/pip install -q -r /src/tools.txt; \
    python3 -m venv --without-pip /opt/venv; \
    /opt/tools/bin/pip --python /opt/venv/bin/python install -q -r /src/requirements.txt

# Apart from what it depends on, which is large and changes far less often.
FROM dependencies AS program
COPY pyproject.toml README.md /src/
COPY coordinator/ /src/coordinator/
COPY actors/ /src/actors/
RUN set -eu; \
    /opt/tools/bin/pip wheel -q --no-deps --no-build-isolation --wheel-dir /wheel /src; \
    /opt/tools/bin/pip --python /opt/venv/bin/python install -q --no-deps --root /installed /wheel/*.whl

FROM ${BASE_IMAGE}
COPY --from=dependencies /usr/local/share/ca-certificates/ /usr/local/share/ca-certificates/
COPY --from=dependencies /cli/ /usr/local/bin/
# nftables, iproute2, iptables: what a helper runs inside a target's network namespace.
# The docker command line alone: docker-cli where Debian has it (13 and newer), else the one file out of docker.io.
RUN set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update -q; \
    apt-get install -y -q --no-install-recommends ca-certificates iproute2 iptables nftables tini util-linux; \
    if ! command -v docker >/dev/null; then \
        if apt-cache show docker-cli >/dev/null 2>&1; then \
            apt-get install -y -q --no-install-recommends docker-cli; \
        else \
            cd /tmp; apt-get download docker.io; \
            dpkg-deb --fsys-tarfile docker.io_*.deb | tar -x -C / ./usr/bin/docker; \
            rm docker.io_*.deb; \
        fi; \
    fi; \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log; \
    update-ca-certificates; \
    docker --version; \
    groupadd --system --gid 10001 coordinator; \
    useradd --system --uid 10001 --gid coordinator --create-home --shell /usr/sbin/nologin coordinator
COPY --from=dependencies /opt/venv /opt/venv
# Containers inherit an image's labels, and whatever has a role is never a target.
LABEL test-coordinator.role=coordinator \
      org.opencontainers.image.title=test-coordinator \
      org.opencontainers.image.description="Breaks real containers on purpose, watches, heals them, and tells the story."
ENV HOST=0.0.0.0 \
    DATA_DIR=/var/lib/test-coordinator \
    HOME=/home/coordinator \
    PYTHONUNBUFFERED=1
EXPOSE 8080 50051
HEALTHCHECK --interval=5s --timeout=4s --start-period=20s --retries=3 \
    CMD ["/opt/venv/bin/python", "-I", "-S", "/usr/local/lib/test-coordinator/health_check.py"]
# Starts as root and becomes `coordinator` at once; with --user it stays whoever that is.
ENTRYPOINT ["/usr/local/bin/test-coordinator"]
CMD ["serve"]
COPY image/entry_point.sh /usr/local/bin/test-coordinator
COPY image/health_check.py /usr/local/lib/test-coordinator/
# What the coordinator runs in helper containers, which are made of this same image. The folders are the package they
# import each other from.
COPY actors/docker/programs/*.py /usr/local/lib/test-coordinator/actors/docker/programs/
COPY --from=program /installed/ /
