//! End-to-end tests of the real binaries over emulated receivers.
