-- The outbox: mails that are written, for whoever sends them.
CREATE TABLE notifications (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id   TEXT    NOT NULL,
    kind       TEXT    NOT NULL CHECK (kind IN ('order-completed', 'user-registered')),
    recipient  TEXT, -- an e-mail address; null: the event named none
    subject    TEXT    NOT NULL,
    body       TEXT    NOT NULL,
    created_at TEXT    NOT NULL
) STRICT;

CREATE INDEX notifications_by_event_id ON notifications (event_id);
