CREATE TABLE orders (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id    INTEGER,
    status     TEXT    NOT NULL CHECK (status IN ('created', 'processing', 'complete', 'cancelled', 'refunded')),
    amount     INTEGER NOT NULL CHECK (amount > 0), -- cents
    reference  TEXT,
    created_at TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) STRICT;

CREATE INDEX orders_by_reference ON orders (reference) WHERE reference IS NOT NULL;

CREATE TABLE order_items (
    order_id   INTEGER NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
    line       INTEGER NOT NULL,
    product_id INTEGER NOT NULL,
    quantity   INTEGER NOT NULL CHECK (quantity > 0),
    unit_price INTEGER NOT NULL CHECK (unit_price >= 0), -- cents
    PRIMARY KEY (order_id, line)
) STRICT, WITHOUT ROWID;

-- An order with its items, as the API shows it.
CREATE VIEW order_details AS
SELECT orders.*,
       (SELECT json_group_array(
                   json_object('product_id', product_id, 'quantity', quantity, 'unit_price', unit_price) ORDER BY line
               )
        FROM order_items
        WHERE order_id = orders.id) AS items
FROM orders;
