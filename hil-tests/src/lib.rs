//! Hardware-in-the-loop tests: the real binaries against emulated receivers, a real broker and a real mail server.
