CREATE TABLE accounts (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id   INTEGER NOT NULL UNIQUE,
    balance   INTEGER NOT NULL DEFAULT 0 CHECK (balance >= 0), -- cents
    reference TEXT
) STRICT;

CREATE INDEX accounts_by_reference ON accounts (reference) WHERE reference IS NOT NULL;

CREATE TABLE balance_transactions (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id INTEGER NOT NULL REFERENCES accounts (id),
    type       TEXT    NOT NULL CHECK (type IN ('charge', 'payment', 'payment_refund')),
    amount     INTEGER NOT NULL CHECK (amount > 0), -- cents
    currency   TEXT    NOT NULL,
    reference  TEXT,
    created_at TEXT    NOT NULL -- RFC 3339, UTC
) STRICT;

CREATE INDEX balance_transactions_by_account ON balance_transactions (account_id);
CREATE INDEX balance_transactions_by_reference ON balance_transactions (reference) WHERE reference IS NOT NULL;
