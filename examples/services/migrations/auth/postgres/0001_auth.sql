-- The newest key signs.
CREATE TABLE signing_keys (
    id               BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    kid              TEXT   NOT NULL UNIQUE,
    private_key      TEXT   NOT NULL, -- PKCS#8, PEM
    public_key       TEXT   NOT NULL, -- JWK
    tokens_expire_at BIGINT NOT NULL DEFAULT 0, -- when the last token that it signed expires: Unix time, in seconds
    created_at       TEXT   NOT NULL
);

CREATE TABLE blacklist (
    jti        TEXT   PRIMARY KEY,
    expires_at BIGINT NOT NULL -- Unix time, in seconds
);

CREATE INDEX blacklist_by_expires_at ON blacklist (expires_at);
