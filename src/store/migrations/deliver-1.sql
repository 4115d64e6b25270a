-- What there is once: epoch of the stream `mails`, what was acknowledged, cursors, the portal's last word.
CREATE TABLE meta(name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
-- The stream `mails`.
CREATE TABLE mails(
    seq INTEGER PRIMARY KEY, nonce INTEGER NOT NULL, records INTEGER NOT NULL, stored INTEGER,
    deflated INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE lost(stream TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY(stream, first)) STRICT, WITHOUT ROWID;
-- The portal's documents, as they came; the meters' are sealed.
CREATE TABLE gateway(id INTEGER PRIMARY KEY CHECK(id = 1), version INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
CREATE TABLE document(meter TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
