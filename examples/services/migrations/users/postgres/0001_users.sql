CREATE TABLE users (
    id                  BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    email               TEXT   NOT NULL, -- as it was given
    email_folded        TEXT   NOT NULL UNIQUE, -- without case
    phone               TEXT   UNIQUE, -- E.164
    first_name          TEXT   NOT NULL,
    last_name           TEXT   NOT NULL,
    password_hash       TEXT, -- Argon2id, PHC string format
    reference           TEXT,
    last_login          TEXT,
    previous_last_login TEXT, -- the one before the last
    created_at          TEXT   NOT NULL
);

CREATE INDEX users_by_reference ON users (reference) WHERE reference IS NOT NULL;
