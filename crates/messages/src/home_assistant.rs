//! Home automation: plain retained values below `meter/<meter>`, and the documents by which Home Assistant finds them.
//! Optional and off by default; written by the gateway, outside the acknowledged streams.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::reading::{Code, Role};
use crate::topic::{Gateway, Leaf};
use crate::{Decimal, MeterId, Quantity, Time, Unit};

/// The retained payload of `meter/<meter>`: the newest values, plain numbers as texts without units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Values {
    /// When the newest was heard.
    pub at: Time,
    /// The registers, each in the unit that its discovery document names.
    #[serde(flatten)]
    pub registers: BTreeMap<Role, Decimal>,
    /// The info codes that are active.
    #[serde(default)]
    pub codes: BTreeSet<Code>,
}

/// A retained message for Home Assistant.
#[derive(Clone, Debug, PartialEq)]
pub struct Discovery {
    /// Where it goes, below the discovery prefix.
    pub topic: String,
    /// The document.
    pub payload: Value,
}

/// The documents that announce a meter: one sensor per register, one problem per code that matters to it.
///
/// `prefix` is the discovery prefix, `homeassistant` unless the user changed it. Publishing the same topic with an empty
/// payload takes a sensor away.
#[must_use]
pub fn discovery(
    prefix: &str,
    gateway: &Gateway,
    meter: MeterId,
    registers: &BTreeMap<Role, Quantity>,
    codes: &[Code],
) -> Vec<Discovery> {
    let about = About { prefix, gateway, meter };
    let sensors = registers.iter().map(|(role, quantity)| about.sensor(role, quantity.unit));
    sensors.chain(codes.iter().map(|code| about.problem(code))).collect()
}

struct About<'a> {
    prefix: &'a str,
    gateway: &'a Gateway,
    meter: MeterId,
}

impl About<'_> {
    fn sensor(&self, role: &Role, unit: Unit) -> Discovery {
        let (class, sign) = match unit {
            Unit::CubicMetre => (Some("water"), "m³"),
            Unit::KilowattHour => (Some("energy"), "kWh"),
            Unit::Gigajoule => (Some("energy"), "GJ"),
            Unit::Bar => (Some("pressure"), "bar"),
            Unit::Celsius => (Some("temperature"), "°C"),
            Unit::LitrePerHour => (Some("volume_flow_rate"), "L/h"),
            Unit::CubicMetreDegree | Unit::Pulses => (None, unit.as_str()),
        };
        let momentary = matches!(unit, Unit::Bar | Unit::Celsius | Unit::LitrePerHour);
        let document = Document {
            value_template: format!("{{{{ value_json.{role} }}}}"),
            unit_of_measurement: Some(sign),
            state_class: Some(if momentary { "measurement" } else { "total_increasing" }),
            device_class: class,
            ..self.document(role.as_str())
        };
        self.announce("sensor", role.as_str(), &document)
    }

    fn problem(&self, code: &Code) -> Discovery {
        let document = Document {
            value_template: format!("{{{{ 'ON' if '{code}' in value_json.codes else 'OFF' }}}}"),
            device_class: Some("problem"),
            ..self.document(code.as_str())
        };
        self.announce("binary_sensor", code.as_str(), &document)
    }

    fn document(&self, what: &str) -> Document {
        let device = format!("vesi_{}", self.device());
        Document {
            name: what.replace('_', " "),
            unique_id: format!("{device}_{what}"),
            state_topic: self.gateway.topic(Leaf::Meter(self.meter)).to_string(),
            availability_topic: self.gateway.topic(Leaf::State).to_string(),
            availability_template: "{{ 'online' if value_json.presence == 'online' else 'offline' }}",
            value_template: String::new(),
            unit_of_measurement: None,
            state_class: None,
            device_class: None,
            device: Device {
                identifiers: [device],
                manufacturer: self.meter.manufacturer().to_owned(),
                serial_number: self.meter.serial().to_owned(),
                name: format!("Meter {}", self.meter.serial()),
            },
        }
    }

    fn announce(&self, component: &str, what: &str, document: &Document) -> Discovery {
        let topic = format!("{}/{component}/vesi_{}/{what}/config", self.prefix, self.device());
        Discovery { topic, payload: json!(document) }
    }

    /// The meter in the characters that discovery topics allow.
    fn device(&self) -> String {
        self.meter.as_str().replace('.', "_")
    }
}

/// The names are those of Home Assistant's MQTT sensor and binary sensor.
#[derive(Serialize)]
struct Document {
    name: String,
    unique_id: String,
    state_topic: String,
    availability_topic: String,
    availability_template: &'static str,
    value_template: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit_of_measurement: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_class: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_class: Option<&'static str>,
    device: Device,
}

#[derive(Serialize)]
struct Device {
    identifiers: [String; 1],
    manufacturer: String,
    serial_number: String,
    name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_water_meter_is_announced_as_a_growing_volume_and_a_leak() {
        let gateway: Gateway = "koti/gw".parse().unwrap();
        let registers = [(Role::Volume, "1.234 m3".parse().unwrap())].into();
        let found = discovery(
            "homeassistant",
            &gateway,
            "KAM.76348799.1B.16".parse().unwrap(),
            &registers,
            &[Code::Leak],
        );
        let [volume, leak] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(volume.topic, "homeassistant/sensor/vesi_KAM_76348799_1B_16/volume/config");
        assert_eq!(volume.payload["state_topic"], "vesi/1/koti/gw/meter/KAM.76348799.1B.16");
        assert_eq!(volume.payload["value_template"], "{{ value_json.volume }}");
        assert_eq!(volume.payload["state_class"], "total_increasing");
        assert_eq!(leak.payload["value_template"], "{{ 'ON' if 'leak' in value_json.codes else 'OFF' }}");
    }

    #[test]
    fn values_are_plain_texts_by_role() {
        let values = Values {
            at: "2026-11-24T01:00:07Z".parse().unwrap(),
            registers: [(Role::Volume, "1.234".parse().unwrap())].into(),
            codes: BTreeSet::default(),
        };
        let json = serde_json::to_string(&values).unwrap();
        assert_eq!(json, r#"{"at":"2026-11-24T01:00:07Z","volume":"1.234","codes":[]}"#);
        assert_eq!(serde_json::from_str::<Values>(&json).unwrap(), values);
    }
}
