//! Finnish.

use messages::reading::Code;

use super::words::{CodeWords, Words, grouped};

pub(super) const WORDS: Words = Words {
    tag: "fi",
    code,
    reminder: "Muistutus",
    over: "Ohi",
    goes_on: "Hälytys jatkuu yhä.",
    test: (
        "Vesihälytysten testiviesti",
        "Tämä on testi: mitään ei ole vialla. Vesimittarin hälytykset tulevat tähän osoitteeseen.",
    ),
    place: "Käyttöpaikka",
    point: "Käyttöpaikan numero",
    meter: "Vesimittarin numero",
    since: "Alkanut",
    until: "Päättynyt",
    flow: "Virtaus",
    meter_number: |serial| format!("vesimittari {serial}"),
    at_least: |hour, day| {
        format!("vähintään {} tunnissa (vähintään {} vuorokaudessa)", litres(hour), litres(day))
    },
    moment: |at| format!("{}.{}.{} klo {}.{:02}", at.day(), at.month(), at.year(), at.hour(), at.minute()),
    what_to_do: "Mitä voit tehdä",
    staff: "Ota yhteyttä käyttöpaikan asiakkaaseen tai kiinteistön huoltoon.",
    phone: |phone| format!("Vuotopäivystys ympäri vuorokauden: {phone}"),
    portal: "Katso vedenkulutuksesi tunti tunnilta:",
    unsubscribe: "Jos et halua näitä viestejä, peru ne täällä:",
    automatic: "Viestin lähetti automaattisesti laite, joka lukee vesimittaria.",
};

fn litres(number: u64) -> String {
    format!("{} {}", grouped(number), if number == 1 { "litra" } else { "litraa" })
}

#[expect(clippy::too_many_lines, reason = "a list of words, one entry for each code")]
fn code(code: &Code) -> CodeWords {
    match code {
        Code::Leak => CodeWords {
            name: "vuotohälytys",
            what: "Vesimittari ilmoittaa jatkuvasta virtauksesta: vettä kuluu taukoamatta. Kyseessä voi olla vuoto."
                .to_owned(),
            over: "Vesimittari ei enää ilmoita jatkuvasta virtauksesta.",
            note: Some(
                "Mittari ilmoittaa vuodosta vasta, kun vettä on virrannut 24 tuntia ilman tunninkaan taukoa. Vettä \
                 on siis kulunut jo vuorokausi ennen ilmoitettua alkamisaikaa.",
            ),
            advice: &[
                "Sulje kaikki hanat ja vettä käyttävät laitteet ja katso, kulkeeko mittari yhä.",
                "Tarkista WC-istuimet: hiljaa valuva WC on tavallisin syy. Pane paperi kuivaan altaan takareunaan \
                 ja katso, kastuuko se.",
                "Tarkista tippuvat hanat, ulkohanat, kastelu ja lämminvesivaraajan varoventtiili.",
                "Jos et löydä syytä, sulje pääsulku ja ota yhteys putkiliikkeeseen tai kiinteistön huoltoon.",
            ],
        },
        Code::Burst => CodeWords {
            name: "purkaushälytys",
            what: "Vesimittari ilmoittaa purkauksesta: vettä on virrannut hyvin paljon yhtäjaksoisesti vähintään \
                   puoli tuntia. Putki tai letku voi olla rikki."
                .to_owned(),
            over: "Vesimittari ei enää ilmoita purkauksesta.",
            note: None,
            advice: &[
                "Jos vettä ei käytetä tarkoituksella (esimerkiksi uima-altaan täyttö tai kastelu), sulje pääsulku \
                 heti.",
                "Tarkista, onko kellarissa, kylpyhuoneessa, keittiössä tai pihalla vettä.",
                "Ota yhteys putkiliikkeeseen tai kiinteistön huoltoon.",
            ],
        },
        Code::Dry => CodeWords {
            name: "vesimittari on kuiva",
            what: "Vesimittari ilmoittaa, ettei siinä ole vettä.".to_owned(),
            over: "Vesimittarissa on taas vettä.",
            note: None,
            advice: &[
                "Jos vesi on katkaistu tai putkisto tyhjennetty, sinun ei tarvitse tehdä mitään.",
                "Muuten ota yhteys vesilaitokseen.",
            ],
        },
        Code::Reverse => CodeWords {
            name: "käänteisvirtaus",
            what: "Vesimittari ilmoittaa käänteisvirtauksesta: vesi virtaa kiinteistöstä verkostoon päin.".to_owned(),
            over: "Vesimittari ei enää ilmoita käänteisvirtauksesta.",
            note: None,
            advice: &[
                "Takaisin virtaava vesi voi liata juomavettä. Sulje laitteet, jotka voivat painaa vettä verkostoon, \
                 kuten pumput ja lämmitysjärjestelmän täyttö.",
                "Ota yhteys vesilaitokseen.",
            ],
        },
        Code::Tamper => CodeWords {
            name: "vesimittariin on kajottu",
            what: "Vesimittari ilmoittaa, että siihen on kajottu.".to_owned(),
            over: "Vesimittari ei enää ilmoita, että siihen olisi kajottu.",
            note: None,
            advice: &["Tarkista, onko mittari ehjä ja paikallaan, ja ota yhteys vesilaitokseen."],
        },
        Code::LowBattery => CodeWords {
            name: "vesimittarin paristo on loppumassa",
            what: "Vesimittari ilmoittaa, että sen paristo on loppumassa.".to_owned(),
            over: "Vesimittari ei enää ilmoita heikosta paristosta.",
            note: None,
            advice: &["Kiirettä ei ole. Sovi mittarin vaihdosta vesilaitoksen kanssa."],
        },
        Code::AmbientTemperatureLow => CodeWords {
            name: "jäätymisvaara",
            what: "Vesimittari ilmoittaa, että sen ympärillä on kylmää. Mittari ja putket voivat jäätyä.".to_owned(),
            over: "Vesimittari ei enää ilmoita kylmästä.",
            note: None,
            advice: &[
                "Tarkista, että mittaritilan lämmitys toimii ja että ovet ja ikkunat ovat kiinni.",
                "Jos vettä ei tule, älä sulata putkia avotulella vaan ota yhteys putkiliikkeeseen.",
            ],
        },
        Code::AmbientTemperatureHigh => CodeWords {
            name: "vesimittarin ympärillä on kuuma",
            what: "Vesimittari ilmoittaa, että sen ympärillä on kuuma.".to_owned(),
            over: "Vesimittari ei enää ilmoita kuumuudesta.",
            note: None,
            advice: &["Tarkista, mikä mittaritilaa lämmittää."],
        },
        Code::FlowAboveQ4 => CodeWords {
            name: "liian suuri virtaus",
            what: "Vesimittari ilmoittaa, että sen läpi virtaa enemmän vettä kuin sille on sallittu (Q4).".to_owned(),
            over: "Vesimittarin läpi ei enää virtaa liikaa vettä.",
            note: None,
            advice: &[
                "Jos vettä ei käytetä tarkoituksella näin paljon, sulje pääsulku ja etsi vuotoa.",
                "Jos näin paljon vettä tarvitaan, kysy vesilaitokselta suurempaa mittaria.",
            ],
        },
        Code::NoConsumption => CodeWords {
            name: "vettä ei ole kulunut",
            what: "Vesimittari ilmoittaa, ettei vettä ole kulunut pitkään aikaan.".to_owned(),
            over: "Vettä on taas kulunut.",
            note: None,
            advice: &[
                "Jos käyttöpaikka on tyhjillään, sinun ei tarvitse tehdä mitään.",
                "Jos siellä asuu joku yksin, varmista, että hänellä on kaikki hyvin.",
            ],
        },
        other => CodeWords {
            name: "vesimittarin ilmoitus",
            what: format!("Vesimittari ilmoittaa infokoodin {other}."),
            over: "Vesimittari ei enää näytä tätä infokoodia.",
            note: None,
            advice: &["Ota tarvittaessa yhteys vesilaitokseen."],
        },
    }
}
