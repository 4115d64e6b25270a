//! What the other program's names mean in terms of the standard: quantity, function, storage, tariff, subunit.

use wmbus::What;
use wmbus::meter::InfoCode;
use wmbus::meter::Period::{self, LastDay, LastMonth, Now, Target};
use wmbus::meter::Statistic::{self, Maximum, Minimum};
use wmbus::record::{Function, Quantity};

use crate::rows::Row;
use crate::values::Selector;

/// Finds the selector of a name: first among the maker's own, then among those all share. `#` stands for a number,
/// which is added to the storage number of the entry.
pub(crate) fn find(row: &Row, name: &str) -> Option<Selector> {
    let maker = format!("{}{}", row.manufacturer, row.version);
    let (shape, number) = numbered(name);
    let of = |makers: &str| makers.split(' ').any(|m| !m.is_empty() && maker.starts_with(m));
    let own = NAMES.iter().filter(|(makers, ..)| of(makers));
    let shared = NAMES.iter().filter(|(makers, ..)| makers.is_empty());
    let selector =
        |wanted: &str| own.clone().chain(shared.clone()).find(|entry| entry.1 == wanted).map(|e| e.2);
    selector(name).or_else(|| Some(later(selector(&shape)?, number?)))
}

/// `history_12_date` is `history_#_date` and 12.
fn numbered(name: &str) -> (String, Option<u64>) {
    let mut number = None;
    let parts = name.split('_').map(|part| match part.parse() {
        Ok(found) => {
            number = Some(found);
            "#"
        }
        Err(_) => part,
    });
    (parts.collect::<Vec<_>>().join("_"), number)
}

fn later(selector: Selector, by: u64) -> Selector {
    match selector {
        Selector::Measure { what, statistic, period, tariff, subunit } => {
            let storage = match period {
                Period::Storage(storage) => storage + by,
                _ => by,
            };
            let period = if storage == 1 { Target } else { Period::Storage(storage) };
            Selector::Measure { what, statistic, period, tariff, subunit }
        }
        other => other,
    }
}

const fn measure(what: What, statistic: Statistic, period: Period) -> Selector {
    Selector::Measure { what, statistic, period, tariff: 0, subunit: 0 }
}

const fn now(what: What) -> Selector {
    measure(what, Statistic::Actual, Now)
}

const fn target(what: What) -> Selector {
    measure(what, Statistic::Actual, Target)
}

const fn stored(what: What, storage: u64) -> Selector {
    measure(what, Statistic::Actual, Period::Storage(storage))
}

const fn tariff(what: What, period: Period, tariff: u32) -> Selector {
    Selector::Measure { what, statistic: Statistic::Actual, period, tariff, subunit: 0 }
}

const fn subunit(what: What, period: Period, subunit: u16) -> Selector {
    Selector::Measure { what, statistic: Statistic::Actual, period, tariff: 0, subunit }
}

const fn record(quantity: Quantity, storage: u64, nth: usize) -> Selector {
    Selector::Record { quantity, function: Function::Instantaneous, storage, nth }
}

const fn during_error(quantity: Quantity) -> Selector {
    Selector::Record { quantity, function: Function::DuringError, storage: 0, nth: 0 }
}

/// Makers (with version where it matters; none means all), name, selector.
static NAMES: &[(&str, &str, Selector)] = &[
    ("", "id", Selector::Serial),
    ("", "media", Selector::Media),
    ("", "status", Selector::Status),
    ("", "current_status", Selector::Status),
    ("", "error_code", Selector::Status),
    ("", "error_flags", Selector::Status),
    ("", "time_dry", Selector::Duration(InfoCode::Dry)),
    ("", "time_reversed", Selector::Duration(InfoCode::Reverse)),
    ("", "time_leaking", Selector::Duration(InfoCode::Leak)),
    ("", "time_bursting", Selector::Duration(InfoCode::Burst)),
    // Registers now.
    ("", "total_m3", now(What::Volume)),
    ("", "total_volume_m3", now(What::Volume)),
    ("", "total_forward_m3", record(Quantity::Volume, 0, 1)),
    ("", "total_backward_m3", now(What::ReverseVolume)),
    ("", "total_backwards_m3", now(What::ReverseVolume)),
    ("", "total_backward_flow_m3", now(What::ReverseVolume)),
    ("", "total_volume_subunit1_m3", subunit(What::InputA, Now, 1)),
    ("", "total_volume_subunit2_m3", subunit(What::InputB, Now, 2)),
    ("", "total_tariff1_m3", tariff(What::Volume, Now, 1)),
    ("", "total_tariff2_m3", tariff(What::Volume, Now, 2)),
    ("", "total_energy_consumption_kwh", now(What::Energy)),
    ("", "total_energy_production_kwh", now(What::ReverseEnergy)),
    ("", "total_energy_backward_kwh", now(What::ReverseEnergy)),
    ("", "forward_energy_m3c", now(What::VolumeFlowTemperature)),
    ("", "return_energy_m3c", now(What::VolumeReturnTemperature)),
    ("VIP", "volume_b_m3", record(Quantity::Volume, 0, 1)),
    // Registers of the past.
    ("", "target_energy_kwh", target(What::Energy)),
    ("", "target_energy_backward_kwh", target(What::ReverseEnergy)),
    ("", "target_volume_m3", target(What::Volume)),
    ("", "target_volume_subunit1_m3", subunit(What::InputA, Target, 1)),
    ("", "target_volume_subunit2_m3", subunit(What::InputB, Target, 2)),
    ("DME63 ZRI", "target_m3", stored(What::Volume, 8)),
    ("DME70", "target_m3", stored(What::Volume, 3)),
    ("IST", "target_m3", stored(What::Volume, 2)),
    ("QDS", "target_m3", stored(What::Volume, 17)),
    ("", "target_m3", target(What::Volume)),
    ("", "target_year_m3", target(What::Volume)),
    ("", "due_m3", target(What::Volume)),
    ("", "due_date_m3", target(What::Volume)),
    ("", "due_17_date_m3", stored(What::Volume, 17)),
    ("", "total_at_date_m3", target(What::Volume)),
    ("", "total_at_set_date_m3", target(What::Volume)),
    ("", "total_tariff1_at_date_m3", tariff(What::Volume, Target, 1)),
    ("", "total_tariff2_at_date_m3", tariff(What::Volume, Target, 2)),
    ("", "consumption_at_set_date_m3", target(What::Volume)),
    ("", "consumption_at_set_date_#_m3", stored(What::Volume, 0)),
    ("", "consumption_at_reporting_date_m3", target(What::Volume)),
    ("EFE", "consumption_#_months_ago_m3", stored(What::Volume, 1)),
    ("MAD", "consumption_at_history_#_m3", stored(What::Volume, 7)),
    ("DWZ", "consumption_at_history_#_m3", stored(What::Volume, 1)),
    ("", "forward_at_set_date_m3", record(Quantity::Volume, 1, 1)),
    ("", "backward_at_set_date_m3", target(What::ReverseVolume)),
    ("AMT", "volume_year_period_m3", target(What::Volume)),
    ("AMT", "volume_month_period_m3", stored(What::Volume, 3)),
    ("AMT", "reverse_volume_year_period_m3", tariff(What::Volume, Target, 1)),
    // Flow and power.
    ("", "volume_flow_m3h", now(What::Flow)),
    ("", "flow_m3h", now(What::Flow)),
    ("", "current_flow_m3h", now(What::Flow)),
    ("KAW", "max_flow_m3h", measure(What::Flow, Maximum, LastDay)),
    // That meter sends one flow, of now; the name is that program's.
    ("SEN", "max_flow_m3h", now(What::Flow)),
    ("", "max_flow_m3h", measure(What::Flow, Maximum, Now)),
    ("", "min_flow_m3h", measure(What::Flow, Minimum, LastDay)),
    ("MAD", "max_flow_since_datetime_m3h", measure(What::Flow, Maximum, Period::Storage(3))),
    ("", "power_kw", now(What::Power)),
    ("", "max_power_kw", measure(What::Power, Maximum, Now)),
    ("", "current_power_consumption_kw", now(What::Power)),
    ("", "current_power_production_kw", now(What::ReversePower)),
    // Temperatures.
    ("", "t1_temperature_c", now(What::FlowTemperature)),
    ("", "t2_temperature_c", now(What::ReturnTemperature)),
    ("", "flow_return_temperature_difference_c", now(What::TemperatureDifference)),
    ("KAM", "flow_temperature", measure(What::WaterTemperature, Minimum, LastMonth)),
    ("KAM", "flow_temperature_c", measure(What::WaterTemperature, Minimum, LastMonth)),
    ("KAW", "flow_temperature_c", measure(What::WaterTemperature, Minimum, LastDay)),
    ("", "min_flow_temperature_c", measure(What::WaterTemperature, Minimum, LastDay)),
    ("", "max_flow_temperature_c", measure(What::WaterTemperature, Maximum, LastDay)),
    ("KAM", "external_temperature", measure(What::AmbientTemperature, Minimum, LastMonth)),
    ("", "min_external_temperature_last_month_c", measure(What::AmbientTemperature, Minimum, LastMonth)),
    ("", "min_external_temperature_last_day_c", measure(What::AmbientTemperature, Minimum, LastDay)),
    ("", "max_external_temperature_c", measure(What::AmbientTemperature, Maximum, LastMonth)),
    ("", "flow_temperature_c", now(What::FlowTemperature)),
    ("", "temperature_c", now(What::FlowTemperature)),
    ("", "external_temperature_c", now(What::AmbientTemperature)),
    // Days and moments.
    ("", "meter_date", now(What::Clock)),
    ("", "meter_datetime", now(What::Clock)),
    ("", "device_datetime", now(What::Clock)),
    ("IST", "target_date", stored(What::Clock, 2)),
    ("QDS", "target_date", stored(What::Clock, 17)),
    ("ZRI", "target_date", stored(What::Clock, 8)),
    ("", "target_date", target(What::Clock)),
    ("DME63", "target_datetime", stored(What::Clock, 8)),
    ("DME70", "target_datetime", stored(What::Clock, 3)),
    ("", "at_date", target(What::Clock)),
    ("", "due_date", target(What::Clock)),
    ("", "due_17_date", stored(What::Clock, 17)),
    ("", "target_year_date", target(What::Clock)),
    ("", "reporting_date", target(What::Clock)),
    ("", "set_date", target(What::Clock)),
    ("", "set_datetime", target(What::Clock)),
    ("", "set_date_#", stored(What::Clock, 0)),
    ("MAD", "history_reference_date", stored(What::Clock, 8)),
    ("MAD", "max_flow_datetime", stored(What::Clock, 3)),
    ("AMT", "meter_month_period_end_datetime", stored(What::Clock, 3)),
    ("AMT", "meter_year_period_end_date", target(What::Clock)),
    ("", "error_date", during_error(Quantity::Date)),
    ("", "device_error_date", during_error(Quantity::Date)),
    // Times.
    ("", "on_time_h", record(Quantity::OnTime, 0, 0)),
    ("", "on_time_at_error_h", during_error(Quantity::OnTime)),
    ("", "operating_time_h", record(Quantity::OperatingTime, 0, 0)),
    ("", "error_free_time_h", record(Quantity::OperatingTime, 0, 0)),
    ("", "actuality_duration_s", record(Quantity::ActualityDuration, 0, 0)),
    ("VIP", "duration_b_s", record(Quantity::ActualityDuration, 0, 1)),
    // The rest.
    ("", "battery_v", record(Quantity::Voltage, 0, 0)),
    ("", "battery_y", record(Quantity::RemainingBattery, 0, 0)),
    ("", "remaining_battery_life_y", record(Quantity::RemainingBattery, 0, 0)),
    ("", "access_counter", record(Quantity::AccessNumber, 0, 0)),
    ("", "error_code_counter", during_error(Quantity::ErrorFlags)),
    ("", "customer", record(Quantity::Customer, 0, 0)),
    ("", "fabrication_no", Selector::Digits(Quantity::FabricationNumber)),
    ("", "enhanced_id", Selector::Digits(Quantity::EnhancedIdentification)),
    ("", "model_version", Selector::Digits(Quantity::ModelVersion)),
    ("", "meter_version", Selector::Digits(Quantity::ModelVersion)),
    ("", "parameter_set", Selector::Digits(Quantity::ParameterSet)),
];
