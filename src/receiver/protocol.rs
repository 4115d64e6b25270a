//! What makes one kind of dongle different from another. Everything else (asking again, watching over silence, starting
//! again) is the same for all and stands in `conversation.rs`.

use std::{fmt, time::Duration};

use super::{CommandBytes, Fault, FrameBytes, Info, LinkCrcs, LinkMode, framing::Framing};

/// One kind of dongle: its commands and what its answers mean. Its frames are its [`Framing`].
///
/// It is set up in [steps](Self::Step): each asks or tells something, and what is answered says which one is next.
pub(super) trait Protocol: Framing {
    /// One thing to ask or to tell.
    type Step: Copy + fmt::Debug;

    /// How long to wait for answers of a dongle just opened.
    const PROBING: Patience = Patience { times: 3, wait: Duration::from_millis(500) };
    /// And of one in service, whose telegrams may be in the way.
    const IN_SERVICE: Patience = Patience { times: 2, wait: Duration::from_secs(2) };
    /// How often it is asked even if telegrams come, where they may come from a dongle that has lost its settings.
    const CHECKED_EVERY: Option<Duration> = None;
    /// How long it takes to start after [`reset`](Self::reset).
    const BOOT: Duration = Duration::from_secs(3);

    /// Where setting up begins, after each opening of the port and whenever settings are in doubt.
    fn first(&self) -> Self::Step;

    /// What to send in this step.
    fn question(&mut self, step: Self::Step) -> Question<Self::Step>;

    /// What a message says: a telegram, or something that may be an answer.
    fn hear(&mut self, message: &Self::Message<'_>) -> Heard;

    /// What a message means while `step` is open. One that does not answer it is late, repeated or of no interest:
    /// [`Answer::None`].
    fn answer(&mut self, step: Self::Step, message: Self::Message<'_>) -> Answer<Self::Step>;

    /// Where to begin when a dongle in service has been silent for a while: with a harmless question, best one that shows
    /// whether the settings are still there. `None` if it cannot be asked anything.
    fn inquiry(&self) -> Option<Self::Step>;

    /// Restarts the dongle, where there is such a command. Sent at most once in a silence.
    fn reset(&self) -> Option<CommandBytes> {
        None
    }

    /// What to say before the port is closed, if the dongle would be left in a state in which it hears nothing.
    fn farewell(&self) -> Option<CommandBytes> {
        None
    }

    /// What the dongle said of itself; asked for after [`Answer::Done`] of setting up.
    fn info(&self) -> Info;
}

/// How often a question is asked, and how long each time its answer is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) times: u8,
    pub(super) wait: Duration,
}

/// What one step sends.
#[derive(Clone, Debug)]
pub(super) enum Question<S> {
    /// A command that is answered.
    Ask(CommandBytes),
    /// A command that is not answered, or none (empty): what would follow an answer follows at once.
    Tell(CommandBytes, Answer<S>),
}

/// What a message means to the open step.
#[derive(Clone, Debug)]
pub(super) enum Answer<S> {
    /// Nothing.
    None,
    /// Answered: this step is next.
    Next(S),
    /// Everything is as wanted.
    Done,
    /// The settings are not as wanted. While setting up it may be a late answer to an earlier question, so the right one is
    /// waited for; in service the dongle is set up again.
    Unlike,
    /// The dongle is not fit for what is configured, and asking again would not change that.
    Refused(Fault),
}

/// What a message turned out to be.
#[expect(clippy::large_enum_variant, reason = "telegrams are the common case and stay off the heap")]
pub(super) enum Heard {
    /// A telegram.
    Telegram(Telegram),
    /// Whole and right, but no telegram can be so short.
    Short,
    /// Anything else.
    Other,
}

/// A telegram, and what came with it.
pub(super) struct Telegram {
    pub(super) bytes: FrameBytes,
    pub(super) crcs: LinkCrcs,
    /// How it was sent, if that shows in the telegram itself or only one mode is listened for.
    pub(super) link_mode: Option<LinkMode>,
    pub(super) rssi_dbm: Option<i16>,
    /// Something about it shows that the dongle has lost its settings.
    pub(super) doubtful: bool,
}

/// Signal strength in dBm of a raw one of Texas Instruments' radios, as Amber modules and CULs give it: half of it as a signed
/// number, less 74; halves are rounded up.
pub(super) fn rssi_dbm(raw: u8) -> i16 {
    (i16::from(raw.cast_signed()) + 1).div_euclid(2) - 74
}

/// The shortest telegram without its length byte: C, M and A field.
pub(super) const SHORTEST_TELEGRAM: usize = 9;
