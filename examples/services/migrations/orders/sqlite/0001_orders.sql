CREATE TABLE orders (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id    INTEGER NOT NULL,
    items      TEXT    NOT NULL, -- JSON: what was bought at which price, which nothing changes any more
    status     TEXT    NOT NULL CHECK (status IN ('created', 'processing', 'complete', 'cancelled', 'refunded')),
    amount     INTEGER NOT NULL CHECK (amount > 0), -- cents
    currency   TEXT    NOT NULL,
    reference  TEXT,
    created_at TEXT    NOT NULL -- RFC 3339, UTC
) STRICT;

CREATE INDEX orders_by_user ON orders (user_id);
CREATE INDEX orders_by_reference ON orders (reference) WHERE reference IS NOT NULL;
