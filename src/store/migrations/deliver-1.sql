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

-- Episodes as the receiving half told them: what alarms are raised by. Times are seconds since 1970, `standing` 0 goes
-- on, 1 unknown, 2 over; `alarm` is the alarm that was raised for it.
CREATE TABLE episode(
    id TEXT PRIMARY KEY, meter TEXT NOT NULL, code TEXT NOT NULL, started INTEGER, seen INTEGER,
    lasted INTEGER NOT NULL, standing INTEGER NOT NULL, alarm TEXT) STRICT, WITHOUT ROWID;
CREATE INDEX episode_of ON episode(meter, code);
-- Alarms raised. `id` is the first episode's, which all Message-IDs of the alarm are made of.
CREATE TABLE alarm(
    id TEXT PRIMARY KEY, meter TEXT NOT NULL, code TEXT NOT NULL, raised INTEGER NOT NULL) STRICT, WITHOUT ROWID;
-- Mails: what each contact is to be told once. No address and no text is kept: both are made when it is sent. `about` is
-- an alarm or a request, `state` 0 waits, 1 sent, 2 refused, 3 given up, 4 dropped; `server` 1 waits for the mail server
-- as a whole; `at` is when the state came about.
CREATE TABLE mail(
    message TEXT PRIMARY KEY, about TEXT NOT NULL, meter TEXT NOT NULL, code TEXT, kind TEXT NOT NULL,
    repeat INTEGER NOT NULL, contact TEXT NOT NULL, from_time INTEGER, to_time INTEGER, queued INTEGER NOT NULL,
    until INTEGER NOT NULL, due INTEGER NOT NULL, attempts INTEGER NOT NULL, server INTEGER NOT NULL,
    state INTEGER NOT NULL, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX mail_waiting ON mail(due) WHERE state = 0;
CREATE INDEX mail_about ON mail(about);
-- Requests of the portal that are done, or being done: each is done once.
CREATE TABLE request(id TEXT PRIMARY KEY, expires INTEGER NOT NULL) STRICT, WITHOUT ROWID;
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
