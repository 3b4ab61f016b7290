CREATE TABLE accounts (
    id        BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    user_id   BIGINT NOT NULL UNIQUE,
    balance   BIGINT NOT NULL DEFAULT 0 CHECK (balance >= 0), -- cents
    reference TEXT
);

CREATE INDEX accounts_by_reference ON accounts (reference) WHERE reference IS NOT NULL;

CREATE TABLE balance_transactions (
    id         BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    type       TEXT   NOT NULL CHECK (type IN ('charge', 'payment', 'payment_refund')),
    amount     BIGINT NOT NULL CHECK (amount > 0), -- cents
    currency   TEXT   NOT NULL,
    reference  TEXT,
    created_at TEXT   NOT NULL -- RFC 3339, UTC
);

CREATE INDEX balance_transactions_by_account ON balance_transactions (account_id);
CREATE INDEX balance_transactions_by_reference ON balance_transactions (reference) WHERE reference IS NOT NULL;
