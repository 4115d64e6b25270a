//! What an installer sees of the radio, apart from how it is drawn: meters and how well they are heard, surveys,
//! the list that a person signs off.
//!
//! The receiving half tells what it has heard; here that is judged ([`verdict`]), watched over a while ([`watch`]), ordered
//! and filtered ([`table`]), and held against the list of expected meters ([`report`]).

pub mod in_force;
pub mod plan;
pub mod report;
pub mod row;
pub mod table;
pub mod verdict;
pub mod watch;
