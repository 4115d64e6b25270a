-- What there is once: epoch, and per stream what was acknowledged and what was freed.
CREATE TABLE meta(name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;

-- One table for each stream: a rowid that rises is the cheapest key there is.
CREATE TABLE readings(
    seq INTEGER PRIMARY KEY, nonce INTEGER NOT NULL, records INTEGER NOT NULL, stored INTEGER,
    deflated INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE events(
    seq INTEGER PRIMARY KEY, nonce INTEGER NOT NULL, records INTEGER NOT NULL, stored INTEGER,
    deflated INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
-- Numbers whose blocks are gone before they were acknowledged, or found damaged.
CREATE TABLE lost(stream TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY(stream, first)) STRICT, WITHOUT ROWID;

-- What the collector remembers over a restart, replaced with each block.
CREATE TABLE checkpoint(part TEXT PRIMARY KEY, crc INTEGER NOT NULL, body BLOB NOT NULL) STRICT, WITHOUT ROWID;

-- Which uptime of which start of the machine was which UTC.
CREATE TABLE anchor(boot TEXT PRIMARY KEY, uptime_ms INTEGER NOT NULL, utc_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
-- Readings of a start of the machine that has no anchor yet.
CREATE TABLE unplaced(boot TEXT NOT NULL, uptime INTEGER NOT NULL, meter BLOB NOT NULL, crc INTEGER NOT NULL,
    body BLOB NOT NULL, PRIMARY KEY(boot, uptime, meter)) STRICT, WITHOUT ROWID;
-- When readings of such a start were first seen while the time was known: they do not stay for ever.
CREATE TABLE unplaced_since(boot TEXT PRIMARY KEY, seen INTEGER NOT NULL) STRICT, WITHOUT ROWID;
-- Frames of expected meters that no key opens yet: per boundary the nearest, and the latest full one (boundary 0).
CREATE TABLE sealed(meter BLOB NOT NULL, boundary INTEGER NOT NULL, heard INTEGER NOT NULL, rssi INTEGER,
    crc INTEGER NOT NULL, frame BLOB NOT NULL, PRIMARY KEY(meter, boundary)) STRICT, WITHOUT ROWID;
