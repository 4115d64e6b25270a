//! Swedish, as it is written in Finland.

use messages::reading::Code;

use super::words::{CodeWords, Words, grouped};

pub(super) const WORDS: Words = Words {
    tag: "sv",
    code,
    reminder: "Påminnelse",
    over: "Över",
    goes_on: "Larmet pågår fortfarande.",
    test: (
        "Testmeddelande om vattenlarm",
        "Det här är ett test: inget är fel. Larm från vattenmätaren kommer till den här adressen.",
    ),
    place: "Förbrukningsställe",
    point: "Förbrukningsställets nummer",
    meter: "Vattenmätarens nummer",
    since: "Började",
    until: "Upphörde",
    flow: "Flöde",
    meter_number: |serial| format!("vattenmätare {serial}"),
    at_least: |hour, day| {
        format!("minst {} liter i timmen (minst {} liter i dygnet)", grouped(hour), grouped(day))
    },
    moment: |at| format!("{}.{}.{} kl. {}.{:02}", at.day(), at.month(), at.year(), at.hour(), at.minute()),
    what_to_do: "Vad du kan göra",
    staff: "Kontakta kunden på förbrukningsstället eller fastighetsskötseln.",
    phone: |phone| format!("Läckagejour dygnet runt: {phone}"),
    portal: "Se din vattenförbrukning timme för timme:",
    unsubscribe: "Om du inte vill ha de här meddelandena kan du avbeställa dem här:",
    automatic: "Meddelandet skickades automatiskt av enheten som läser av vattenmätaren.",
};

#[expect(clippy::too_many_lines, reason = "a list of words, one entry for each code")]
fn code(code: &Code) -> CodeWords {
    match code {
        Code::Leak => CodeWords {
            name: "läckagelarm",
            what: "Vattenmätaren meddelar kontinuerligt flöde: vattnet rinner utan uppehåll. Det kan vara ett läckage."
                .to_owned(),
            over: "Vattenmätaren meddelar inte längre kontinuerligt flöde.",
            note: Some(
                "Mätaren meddelar läckage först när vattnet har runnit i 24 timmar utan ens en timmes uppehåll. \
                 Vattnet har alltså runnit redan ett dygn före den angivna starttiden.",
            ),
            advice: &[
                "Stäng alla kranar och apparater som använder vatten och se efter om mätaren ännu går.",
                "Kontrollera toaletterna: en toalett som sakta rinner är den vanligaste orsaken. Lägg ett papper \
                 mot skålens torra bakkant och se om det blir vått.",
                "Kontrollera droppande kranar, utekranar, bevattning och varmvattenberedarens säkerhetsventil.",
                "Om du inte hittar orsaken, stäng huvudkranen och kontakta en rörfirma eller fastighetsskötseln.",
            ],
        },
        Code::Burst => CodeWords {
            name: "rörbrottslarm",
            what: "Vattenmätaren meddelar rörbrott: mycket vatten har runnit utan avbrott i minst en halv timme. Ett \
                   rör eller en slang kan ha gått sönder."
                .to_owned(),
            over: "Vattenmätaren meddelar inte längre rörbrott.",
            note: None,
            advice: &[
                "Om vattnet inte används avsiktligt (till exempel för att fylla en bassäng eller vattna), stäng \
                 huvudkranen genast.",
                "Kontrollera om det finns vatten i källaren, badrummet, köket eller på gården.",
                "Kontakta en rörfirma eller fastighetsskötseln.",
            ],
        },
        Code::Dry => CodeWords {
            name: "vattenmätaren är torr",
            what: "Vattenmätaren meddelar att det inte finns vatten i den.".to_owned(),
            over: "Det finns vatten i vattenmätaren igen.",
            note: None,
            advice: &[
                "Om vattnet är avstängt eller rören är tömda behöver du inte göra något.",
                "Kontakta annars vattenverket.",
            ],
        },
        Code::Reverse => CodeWords {
            name: "omvänt flöde",
            what: "Vattenmätaren meddelar omvänt flöde: vattnet rinner från fastigheten mot vattenledningsnätet."
                .to_owned(),
            over: "Vattenmätaren meddelar inte längre omvänt flöde.",
            note: None,
            advice: &[
                "Vatten som rinner tillbaka kan förorena dricksvattnet. Stäng apparater som kan trycka vatten ut i \
                 nätet, såsom pumpar och påfyllning av värmesystemet.",
                "Kontakta vattenverket.",
            ],
        },
        Code::Tamper => CodeWords {
            name: "åverkan på vattenmätaren",
            what: "Vattenmätaren meddelar att någon har gjort åverkan på den.".to_owned(),
            over: "Vattenmätaren meddelar inte längre åverkan.",
            note: None,
            advice: &["Kontrollera att mätaren är hel och på sin plats, och kontakta vattenverket."],
        },
        Code::LowBattery => CodeWords {
            name: "vattenmätarens batteri håller på att ta slut",
            what: "Vattenmätaren meddelar att dess batteri håller på att ta slut.".to_owned(),
            over: "Vattenmätaren meddelar inte längre svagt batteri.",
            note: None,
            advice: &["Det är ingen brådska. Kom överens med vattenverket om byte av mätaren."],
        },
        Code::AmbientTemperatureLow => CodeWords {
            name: "frysrisk",
            what: "Vattenmätaren meddelar att det är kallt runt den. Mätaren och rören kan frysa.".to_owned(),
            over: "Vattenmätaren meddelar inte längre kyla.",
            note: None,
            advice: &[
                "Kontrollera att uppvärmningen vid mätaren fungerar och att dörrar och fönster är stängda.",
                "Om det inte kommer vatten, tina inte rören med öppen eld utan kontakta en rörfirma.",
            ],
        },
        Code::AmbientTemperatureHigh => CodeWords {
            name: "hett runt vattenmätaren",
            what: "Vattenmätaren meddelar att det är hett runt den.".to_owned(),
            over: "Vattenmätaren meddelar inte längre hetta.",
            note: None,
            advice: &["Kontrollera vad som värmer upp utrymmet där mätaren finns."],
        },
        Code::FlowAboveQ4 => CodeWords {
            name: "för stort flöde",
            what: "Vattenmätaren meddelar att det rinner mer vatten genom den än vad den är avsedd för (Q4)."
                .to_owned(),
            over: "Flödet genom vattenmätaren är inte längre för stort.",
            note: None,
            advice: &[
                "Om så mycket vatten inte används avsiktligt, stäng huvudkranen och sök efter ett läckage.",
                "Om så mycket vatten behövs, fråga vattenverket om en större mätare.",
            ],
        },
        Code::NoConsumption => CodeWords {
            name: "ingen vattenförbrukning",
            what: "Vattenmätaren meddelar att inget vatten har förbrukats på länge.".to_owned(),
            over: "Vatten förbrukas igen.",
            note: None,
            advice: &[
                "Om förbrukningsstället står tomt behöver du inte göra något.",
                "Om någon bor där ensam, kontrollera att allt står rätt till.",
            ],
        },
        other => CodeWords {
            name: "meddelande från vattenmätaren",
            what: format!("Vattenmätaren visar infokoden {other}."),
            over: "Vattenmätaren visar inte längre den här infokoden.",
            note: None,
            advice: &["Kontakta vattenverket vid behov."],
        },
    }
}
