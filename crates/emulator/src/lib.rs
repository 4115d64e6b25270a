//! Virtual meters and virtual receivers.
//!
//! A [`Meter`](meter::Meter) sends what a real one would, fed by a [household] or a
//! [building](heating) that behaves; a [`Town`](town::Town) is many of them; a [`Player`](player::Player) lets a
//! [dongle](plugged::Plugged) hear a town, at any speed. [`attack`] forges what anybody can forge without a key.

pub mod amber;
pub mod attack;
mod calendar;
mod chance;
mod climate;
pub mod cul;
pub mod dongle;
pub mod event;
pub mod fault;
pub mod heating;
pub mod household;
pub mod im871a;
pub mod iu891a;
pub mod meter;
pub mod player;
pub mod plugged;
pub mod pty;
pub mod rc1180;
pub mod replay;
pub mod town;
pub mod tty;
