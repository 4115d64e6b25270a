//! The SQLite files: schema, migrations, blocks. The only module that knows SQL.
//!
//! Two files with one writer each, since SQLite's lock is not fair: [`CollectStore`] is written by the half that
//! receives and read by the other through a [`CollectReader`]; [`DeliverStore`] belongs to the half that delivers. Each
//! lies in a directory of its own below its half's directory, so that a damaged store can be set aside by one rename.
//!
//! What goes up to the portal is kept as [`Block`]s: the very bytes that will be published, with a number in their
//! stream, a nonce and a CRC-32C, since SQLite does not notice a flipped bit. A number is given by a durable commit only
//! and never to another content.

mod aside;
mod backup;
mod block;
mod collect;
mod deliver;
mod erase;
mod error;
mod freeing;
mod inspect;
mod look;
mod reader;
mod reserve;
mod salvage;
mod sqlite;
mod stream;
mod trouble;
mod watch;
mod writer;

#[cfg(test)]
mod tests;

pub use backup::{check_copy, forget_documents, renew};
pub use block::{Block, NewBlock};
pub use collect::{Anchor, CollectStore, Commit, Part, SealedFrame, Unplaced};
pub use deliver::{
    AlarmLists, Cursor, DeliverReader, DeliverStore, DeliverView, Desk, DeskCounts, KnownEpisode, MailState,
    QueuedMail, RaisedAlarm,
};
pub use error::StoreError;
pub use inspect::{Gap, GapReason, NewestFirst, Standing};
pub use look::{Space, look_over_collect, look_over_deliver, space};
pub use reader::{CollectReader, Moment};
pub use stream::nonce;
pub use trouble::{Because, Trouble};
pub use writer::{Closed, Dropped, Erasing, Options, Ring, StreamState, Writer, WriterStatus};
