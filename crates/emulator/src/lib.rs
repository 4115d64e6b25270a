//! Virtual meters and virtual receivers.
