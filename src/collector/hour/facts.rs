//! What an hour row needs of a reading, in the words and units of the contract with the portal.

use messages::reading::{Checked, Code, DurationClass, Role};
use messages::{Decimal, Quantity, Unit};
use wmbus::meter::{Amount, InfoCode, Period, Statistic};
use wmbus::security::Security;
use wmbus::{Reading, What};

/// A believed reading, translated once.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Registers by role.
    pub registers: Vec<(Role, Quantity)>,
    /// Flow now, litres an hour.
    pub flow: Option<Quantity>,
    /// Temperature of the water.
    pub water: Option<Quantity>,
    /// Temperature around the meter.
    pub ambient: Option<Quantity>,
    /// Codes active now; empty if there are none or the telegram says nothing of them.
    pub codes: Vec<Code>,
    /// Whether the telegram says anything of codes.
    pub tells_codes: bool,
    /// The meter's own duration classes above 0.
    pub classes: Vec<(Code, DurationClass)>,
    /// Read through a layout that nothing confirms.
    pub inferred: bool,
    /// What proves the telegram genuine.
    pub checked: Checked,
}

impl Facts {
    /// Of a reading, and how its telegram was protected.
    #[must_use]
    pub fn of(reading: &Reading, security: &Security) -> Self {
        let electric = reading.profile.electric;
        let now = |what: What, unit: Unit| {
            let mut measures = reading.measures.iter().filter(|measure| measure.what == what);
            let measure = measures.find(|measure| is_now(measure) && measure.tariff == 0)?;
            quantity(&measure.amount, measure.unit).filter(|quantity| quantity.unit == unit)
        };
        let registers = reading.measures.iter().filter(|measure| is_now(measure) && measure.tariff == 0);
        let registers =
            registers.filter_map(|m| Some((role(m.what, electric)?, quantity(&m.amount, m.unit)?))).collect();
        let info = reading.info;
        Self {
            registers,
            flow: now(What::Flow, Unit::LitrePerHour),
            water: now(What::WaterTemperature, Unit::Celsius),
            ambient: now(What::AmbientTemperature, Unit::Celsius),
            codes: info.into_iter().flat_map(|info| info.codes()).filter_map(code).collect(),
            tells_codes: info.is_some(),
            classes: info
                .into_iter()
                .flat_map(|info| info.durations())
                .filter(|(_, class)| class.number() > 0)
                .filter_map(|(name, class)| {
                    Some((code(name)?, DurationClass::try_from(class.number()).ok()?))
                })
                .collect(),
            inferred: reading.layout == Some(wmbus::compact::Source::Inferred),
            checked: match security.scheme {
                wmbus::security::Scheme::None => Checked::Plain,
                scheme if scheme.is_authentic() => Checked::Authenticated,
                _ => Checked::Checksum,
            },
        }
    }
}

impl Facts {
    /// A flow that the meter cannot measure was not measured; `limit` in millilitres an hour.
    pub fn without_flow_beyond(&mut self, limit: i64) {
        let possible = |flow: &Quantity| {
            flow.value.in_units_of(-3).is_some_and(|flow| flow.unsigned_abs() <= limit.unsigned_abs())
        };
        self.flow = self.flow.filter(possible);
    }
}

fn is_now(measure: &wmbus::meter::Measure) -> bool {
    measure.period == Period::Now && measure.statistic == Statistic::Actual
}

fn role(what: What, electric: bool) -> Option<Role> {
    Some(match what {
        What::Volume => Role::Volume,
        What::ReverseVolume => Role::ReverseVolume,
        What::InputA => Role::InputA,
        What::InputB => Role::InputB,
        What::Energy if electric => Role::ElectricityImport,
        What::ReverseEnergy if electric => Role::ElectricityExport,
        What::Energy => Role::HeatEnergy,
        What::ReverseEnergy => Role::CoolingEnergy,
        What::VolumeFlowTemperature => Role::VolumeTimesInlet,
        What::VolumeReturnTemperature => Role::VolumeTimesOutlet,
        What::Pressure => Role::Pressure,
        _ => return None,
    })
}

/// The contract has one unit for each kind, so only the power of ten moves. `None` for units it does not know.
fn quantity(amount: &Amount, unit: &str) -> Option<Quantity> {
    let Amount::Number(number) = amount else { return None };
    let (unit, shift) = match unit {
        "m³" => (Unit::CubicMetre, 0),
        "kWh" => (Unit::KilowattHour, 0),
        "MJ" => (Unit::Gigajoule, -3),
        "m³·°C" => (Unit::CubicMetreDegree, 0),
        "bar" => (Unit::Bar, 0),
        "m³/h" => (Unit::LitrePerHour, 3),
        "°C" => (Unit::Celsius, 0),
        _ => return None,
    };
    let value = Decimal::new(number.mantissa(), number.exponent().checked_add(shift)?)?;
    Some(Quantity { unit, value })
}

/// Both crates use the same words; a test holds them together.
pub(super) fn code(info: InfoCode) -> Option<Code> {
    match info {
        InfoCode::Unknown(bit) => Some(Code::bit(bit)),
        named => named.word().parse().ok(),
    }
}
