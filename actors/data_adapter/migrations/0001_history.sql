-- The history of one coordinator. Run once, in its own schema, inside a transaction.
-- No foreign keys: an execution that is saved again comes after what hangs on it.

CREATE TABLE feeds (  -- how far each ledger file was read; moved in the same transaction as what was read
    ledger text PRIMARY KEY,
    position bigint NOT NULL,
    fed_at timestamptz NOT NULL DEFAULT now()
);

-- A session that was cut off may still be working on its last batch when its successor has begun: the first to come
-- moves the feed, the other fails here with all it brought.
CREATE FUNCTION advance(fed text, since bigint, until bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE feeds SET position = until, fed_at = now() WHERE ledger = fed AND position = since;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the feed of ledger % is not at %', fed, since USING ERRCODE = 'TC001';
    END IF;
END
$$;

CREATE TABLE scenarios (  -- each text that was played, numbered by name in the order of first use
    name text NOT NULL,
    version integer NOT NULL,
    hash text NOT NULL,
    source text NOT NULL,
    first_used_at timestamptz NOT NULL,
    PRIMARY KEY (name, version),
    UNIQUE (name, hash)
);

CREATE TABLE executions (
    id text PRIMARY KEY,
    ledger text NOT NULL,
    scenario text NOT NULL,
    scenario_version integer,
    state text NOT NULL,
    verdict text,
    reason text,
    undo text NOT NULL,
    seed numeric NOT NULL,
    plan_hash text,
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    finished_at timestamptz,
    document json NOT NULL  -- all of it as the API shows it, without timeline and faults
);
CREATE INDEX executions_newest ON executions (created_at DESC, id DESC);
CREATE INDEX executions_by_state ON executions (state, created_at DESC, id DESC);
CREATE INDEX executions_by_scenario ON executions (scenario, scenario_version, created_at DESC);
CREATE INDEX executions_finished ON executions (finished_at);

CREATE TABLE phases (
    execution_id text NOT NULL,
    name text NOT NULL,
    started_at timestamptz,
    started_s double precision,
    ended_at timestamptz,
    ended_s double precision,
    PRIMARY KEY (execution_id, name)
);

CREATE TABLE faults (
    id text PRIMARY KEY,
    execution_id text NOT NULL,
    place bigint NOT NULL,
    phase text NOT NULL,
    type text NOT NULL,
    target text NOT NULL,
    class text NOT NULL,
    mechanism text NOT NULL,
    state text NOT NULL,
    due_at timestamptz,
    armed_at timestamptz,
    fired_at timestamptz,
    undone_at timestamptz,
    document json NOT NULL
);
CREATE INDEX faults_by_execution ON faults (execution_id, place);
CREATE INDEX faults_by_type ON faults (type, armed_at DESC);

CREATE TABLE observations (  -- samples in chunks: [[offset_s, ok, latency_s, value], ...]
    uid text PRIMARY KEY,
    execution_id text NOT NULL,
    place bigint NOT NULL,
    probe text NOT NULL,
    began_s double precision,
    ended_s double precision,
    total integer NOT NULL,
    good integer NOT NULL,
    samples json NOT NULL
);
CREATE INDEX observations_by_execution ON observations (execution_id, place);

CREATE TABLE assertions (
    execution_id text NOT NULL,
    place integer NOT NULL,
    phase text NOT NULL,
    subject text NOT NULL,  -- the probe or target it is on
    metric text NOT NULL,
    expected text NOT NULL,
    actual text NOT NULL,
    passed boolean NOT NULL,
    PRIMARY KEY (execution_id, place)
);

CREATE TABLE events (  -- the timelines
    uid text PRIMARY KEY,
    execution_id text NOT NULL,
    place bigint NOT NULL,
    at timestamptz NOT NULL,
    offset_s double precision NOT NULL,
    event text NOT NULL,
    phase text,
    fault text,
    target text,
    text text NOT NULL
);
CREATE INDEX events_by_execution ON events (execution_id, place);
CREATE INDEX events_by_time ON events (at);
