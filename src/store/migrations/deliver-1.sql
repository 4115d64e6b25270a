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
-- How far the portal has each stream, in which numbering, and which of the portal's stores said so.
CREATE TABLE cursor(stream TEXT PRIMARY KEY, epoch TEXT NOT NULL, seq INTEGER NOT NULL, generation INTEGER NOT NULL)
    STRICT, WITHOUT ROWID;
-- Blocks that break the connection: not sent until somebody asks for it.
CREATE TABLE parked(stream TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY(stream, epoch, seq)) STRICT, WITHOUT ROWID;
-- The version of the document whose sealed meter key the receiving half has got.
CREATE TABLE handed(meter TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT, WITHOUT ROWID;
-- Erasures that are done, by the request's id.
CREATE TABLE erased(request TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
