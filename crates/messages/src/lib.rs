//! The MQTT contract between gateway and portal.
