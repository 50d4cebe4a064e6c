-- The journal's tables. Applied once (journal.migration); later changes are further migrations.

-- One unbroken stretch of one tape. A tape that lost its tail re-uses sequences: what it lost stays here
-- under the old epoch (beyond ends_at_seq), what replaced it goes under a new one.
CREATE TABLE journal.epoch (
    epoch       integer PRIMARY KEY,
    run         integer NOT NULL,     -- the first epoch of the chain of parents: one history of one account
    parent      integer REFERENCES journal.epoch,
    tape        text NOT NULL,        -- the tape's id
    from_seq    bigint NOT NULL,      -- first sequence this epoch speaks for
    ends_at_seq bigint,               -- last sequence of it that still counts; null: all
    position    bigint NOT NULL,      -- everything up to this sequence has been taken in
    genesis     bytea NOT NULL,       -- what the first row's prev_hash is
    reason      text NOT NULL,
    opened_at   timestamptz NOT NULL DEFAULT now()
);

-- The head of the hash chain of each UTC day (of stored_at).
CREATE TABLE journal.day (
    epoch     integer NOT NULL REFERENCES journal.epoch,
    day       date NOT NULL,
    first_seq bigint NOT NULL,
    last_seq  bigint NOT NULL,
    rows      bigint NOT NULL,
    genesis   bytea NOT NULL,
    head      bytea NOT NULL,
    PRIMARY KEY (epoch, day)
);

-- Every message of the tape but quotes, books and clocks.
CREATE TABLE journal.entry (
    epoch      integer NOT NULL,
    seq        bigint NOT NULL,       -- tape sequence
    day        date NOT NULL,
    n          bigint NOT NULL,       -- number of the row within its day, from 1
    stored_at  timestamptz NOT NULL,  -- the broker's clock
    stored_ns  bigint NOT NULL,       -- the same, exact
    at         timestamptz,           -- the message's own time, if it has one (recorded time in playback)
    kind       text NOT NULL,
    subject    text NOT NULL,
    message_id text NOT NULL,
    producer   text NOT NULL,
    cause      bigint,                -- tape sequence of the input that caused it
    root       bigint,                -- tape sequence of the first cause
    build      text NOT NULL,
    signature  text NOT NULL,
    key_id     text NOT NULL,
    order_id   text,
    market     text,
    strategy   text,
    payload    bytea NOT NULL,        -- as received
    body       jsonb,                 -- decoded; null when unreadable
    unreadable text,                  -- why it could not be decoded
    prev_seq   bigint NOT NULL,       -- the row before it in the chain; 0 for the first
    prev_hash  bytea NOT NULL,
    hash       bytea NOT NULL,        -- sha256(prev_hash | content), see services/journal/rows.py
    PRIMARY KEY (epoch, seq)
);
CREATE INDEX entry_order ON journal.entry (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX entry_kind ON journal.entry (kind, seq) WHERE kind <> 'feed.trade';
CREATE INDEX entry_message ON journal.entry (message_id) WHERE kind <> 'feed.trade' AND message_id <> '';

-- Rows found where the journal was about to write: put there by somebody else.
CREATE TABLE journal.quarantine (
    moved_at timestamptz NOT NULL DEFAULT now(),
    LIKE journal.entry
);

-- What happened to the journal itself: gaps, lost tails, foreign rows.
CREATE TABLE journal.incident (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     timestamptz NOT NULL DEFAULT now(),
    kind   text NOT NULL,
    epoch  integer NOT NULL,
    seq    bigint NOT NULL,
    detail text NOT NULL
);
