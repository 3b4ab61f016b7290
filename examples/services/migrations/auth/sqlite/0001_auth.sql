-- The newest key signs.
CREATE TABLE signing_keys (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    kid              TEXT    NOT NULL UNIQUE,
    private_key      TEXT    NOT NULL, -- PKCS#8, PEM
    public_key       TEXT    NOT NULL, -- JWK
    tokens_expire_at INTEGER NOT NULL DEFAULT 0, -- when the last token that it signed expires: Unix time, in seconds
    created_at       TEXT    NOT NULL
) STRICT;

CREATE TABLE blacklist (
    jti        TEXT    PRIMARY KEY,
    expires_at INTEGER NOT NULL -- Unix time, in seconds
) STRICT, WITHOUT ROWID;

CREATE INDEX blacklist_by_expires_at ON blacklist (expires_at);
