-- The outbox: mails that are written, for whoever sends them.
CREATE TABLE notifications (
    id         BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    event_id   TEXT   NOT NULL,
    kind       TEXT   NOT NULL CHECK (kind IN ('order-completed', 'user-registered')),
    recipient  TEXT, -- an e-mail address; null: the event named none
    subject    TEXT   NOT NULL,
    body       TEXT   NOT NULL,
    created_at TEXT   NOT NULL
);

CREATE INDEX notifications_by_event_id ON notifications (event_id);
