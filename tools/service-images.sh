#!/bin/sh
# Builds Postgres, Redis and Prometheus out of Debian packages, to stand in for the public images of
# orchestrator-docker/docker-compose.yml where no image registry can be reached. They take the same settings as far as
# that file uses them. Prints POSTGRES_IMAGE=…, REDIS_IMAGE=… and PROMETHEUS_IMAGE=…; a second call finds them built.
set -eu

HERE=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
say() { printf '%s\n' "service images: $*" >&2; }

base=$("${PYTHON:-python3}" "$HERE/image.py" --base)
recipe=$({ cat "$0"; echo "$base"; } | sha256sum | cut -c 1-12)
docker buildx version >/dev/null 2>&1 || export DOCKER_BUILDKIT=0

# NAME, then the Dockerfile after its base on standard input. No package may start a service while it is installed.
build() {
    image=test-coordinator-$1:$recipe
    if ! docker image inspect "$image" >/dev/null 2>&1; then
        say "building $1"
        {
            printf 'FROM %s\n' "$base"
            printf 'LABEL test-coordinator.image=service\n'
            printf 'ENV DEBIAN_FRONTEND=noninteractive\n'
            printf 'RUN printf "#!/bin/sh\\nexit 101\\n" >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d\n'
            cat
        } | docker build --quiet --tag "$image" - >&2
    fi
    printf '%s=%s\n' "$(printf %s "$1" | tr '[:lower:]' '[:upper:]')_IMAGE" "$image"
}

install='apt-get update -q && apt-get install -y -q --no-install-recommends'
clean='rm -rf /var/lib/apt/lists/* /var/cache/apt/*'

# As the public image: a new cluster for POSTGRES_PASSWORD and POSTGRES_DB, then /docker-entrypoint-initdb.d/*.sql.
build postgres <<RECIPE
RUN mkdir -p /etc/postgresql-common && echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
RUN $install postgresql && $clean && ln -s /usr/lib/postgresql/* /opt/postgresql
ENV PGDATA=/var/lib/postgresql/data PATH=/opt/postgresql/bin:/usr/sbin:/usr/bin:/sbin:/bin
RUN mkdir -p "\$PGDATA" && chown postgres: "\$PGDATA" && install -d -o postgres /var/run/postgresql
RUN printf '%s\n' '#!/bin/sh' 'set -eu' \
    'if [ ! -e "\$PGDATA/PG_VERSION" ]; then' \
    '    printf %s "\$POSTGRES_PASSWORD" >/tmp/password' \
    '    initdb -U postgres --encoding=UTF8 --locale=C.UTF-8 --auth-host=scram-sha-256 --auth-local=trust --pwfile=/tmp/password >/dev/null' \
    '    rm /tmp/password' \
    '    echo "host all all all scram-sha-256" >>"\$PGDATA/pg_hba.conf"' \
    '    pg_ctl -w -o "-c listen_addresses=" start' \
    '    createdb -U postgres "\$POSTGRES_DB"' \
    '    for file in /docker-entrypoint-initdb.d/*.sql; do' \
    '        [ -e "\$file" ] || continue' \
    '        psql -v ON_ERROR_STOP=1 -U postgres -d "\$POSTGRES_DB" -f "\$file"' \
    '    done' \
    '    pg_ctl -w -m fast stop' \
    'fi' \
    'exec postgres -c "listen_addresses=*"' >/usr/local/bin/start && chmod 755 /usr/local/bin/start
USER postgres
STOPSIGNAL SIGINT
CMD ["/usr/local/bin/start"]
RECIPE

build redis <<RECIPE
RUN $install redis-server && $clean
USER redis
CMD ["redis-server"]
RECIPE

build prometheus <<RECIPE
RUN $install prometheus && $clean && install -d -o nobody /prometheus
USER nobody
WORKDIR /prometheus
ENTRYPOINT ["prometheus"]
RECIPE
