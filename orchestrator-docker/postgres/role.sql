-- The coordinator's role: it may connect to this one database and make schemas of its own there, nothing else. Every
-- instance uses it; each makes, owns and uses the one schema that is derived from its name.
-- Run by psql as a superuser, with the password in the environment.
\getenv password TEST_COORDINATOR_DB_PASSWORD
SELECT current_database() AS database \gset

CREATE ROLE test_coordinator LOGIN PASSWORD :'password'
    NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 50;

REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT CONNECT, CREATE ON DATABASE :"database" TO test_coordinator;

-- A session that was forgotten must not hold locks for ever.
ALTER ROLE test_coordinator SET idle_in_transaction_session_timeout = '60s';
ALTER ROLE test_coordinator SET lock_timeout = '10s';
