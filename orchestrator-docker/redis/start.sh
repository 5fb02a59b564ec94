#!/bin/sh
# Starts Redis with the users of users.acl: `health` may PING and nothing else; `test-coordinator` may read and write the
# keys of its namespaces and of its registry. An ACL file knows no variables, hence the copy.
set -eu
hash=$(printf %s "$REDIS_PASSWORD" | sha256sum | cut -d ' ' -f 1)
sed "s/@PASSWORD_SHA256@/$hash/" /etc/redis/users.acl >/tmp/users.acl
# Registry and live events only: nothing here outlives a restart, or has to.
exec redis-server --aclfile /tmp/users.acl --dir /tmp --save "" --appendonly no
