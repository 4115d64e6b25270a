//! Reading mails, as far as tests need it.

use base64::Engine as _;

/// A mail as a reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    headers: Vec<(String, String)>,
    /// The text for people without HTML.
    pub text: String,
    /// The same in HTML.
    pub html: String,
}

impl Mail {
    /// Reads a mail.
    #[must_use]
    pub fn read(raw: &[u8]) -> Self {
        let raw = String::from_utf8_lossy(raw).replace("\r\n", "\n");
        let mut mail = Self { headers: Vec::new(), text: String::new(), html: String::new() };
        let (headers, body) = split(&raw);
        mail.headers = headers;
        mail.part(&mail.headers.clone(), body);
        mail
    }

    /// A header; an empty text if it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        header(&self.headers, name)
    }

    /// What makes it the same mail.
    #[must_use]
    pub fn message_id(&self) -> &str {
        self.header("Message-ID")
    }

    /// The subject, decoded.
    #[must_use]
    pub fn subject(&self) -> String {
        words(self.header("Subject"))
    }

    /// Its addresses of a header, without names.
    #[must_use]
    pub fn to(&self) -> String {
        let to = self.header("To");
        to.split_once('<').map_or(to, |(_, rest)| rest.trim_end_matches('>')).to_owned()
    }

    fn part(&mut self, headers: &[(String, String)], body: &str) {
        let kind = header(headers, "Content-Type");
        if let Some(boundary) = kind.split("boundary=").nth(1) {
            let boundary = boundary.trim_start_matches('"').split(['"', ';']).next().unwrap();
            for part in body.split(&format!("--{boundary}")).skip(1) {
                if !part.starts_with("--") {
                    let (headers, body) = split(part.trim_start_matches('\n'));
                    self.part(&headers, body);
                }
            }
            return;
        }
        let bytes = match header(headers, "Content-Transfer-Encoding").to_ascii_lowercase().as_str() {
            "base64" => {
                let text: String = body.split_whitespace().collect();
                base64::engine::general_purpose::STANDARD.decode(text).unwrap()
            }
            "quoted-printable" => quoted(&body.replace("=\n", "")),
            _ => body.as_bytes().to_vec(),
        };
        let text = String::from_utf8(bytes).unwrap();
        if kind.starts_with("text/html") { self.html = text } else { self.text = text }
    }
}

/// Headers, unfolded, and what follows them.
fn split(raw: &str) -> (Vec<(String, String)>, &str) {
    let (head, body) = raw.split_once("\n\n").unwrap_or((raw, ""));
    let head = head.replace("\n ", " ").replace("\n\t", " ");
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_owned(), value.trim().to_owned()))
    };
    (head.lines().filter_map(header).collect(), body)
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> &'a str {
    let found = headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
    found.map_or("", |(_, value)| value)
}

/// Bytes written as `=C3=A4`.
fn quoted(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'=', [high, low, after @ ..]) => {
                let digits = [*high, *low];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
                rest = after;
            }
            _ => bytes.push(*first),
        }
    }
    bytes
}

/// Encoded words in a header: `=?utf-8?b?...?=`.
fn words(header: &str) -> String {
    let mut text = String::new();
    for (index, word) in header.split_whitespace().enumerate() {
        let fields: Vec<&str> = word.trim_start_matches("=?").trim_end_matches("?=").split('?').collect();
        match fields.as_slice() {
            [_, kind, content] if word.starts_with("=?") => {
                let bytes = match *kind {
                    "b" | "B" => base64::engine::general_purpose::STANDARD.decode(content).unwrap(),
                    _ => quoted(&content.replace('_', " ")),
                };
                text.push_str(&String::from_utf8_lossy(&bytes));
            }
            _ => {
                if index > 0 && !text.ends_with(' ') {
                    text.push(' ');
                }
                text.push_str(word);
                text.push(' ');
            }
        }
    }
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_parts_and_encoded_headers_are_read() {
        let raw =
            b"Subject: =?utf-8?b?VnVvdG86IE3DpG50eXBvbGt1?=\r\nMessage-ID: <a@b>\r\nTo: Aino <a@x.fi>\r\n\
            Content-Type: multipart/alternative;\r\n boundary=\"xyz\"\r\n\r\n--xyz\r\n\
            Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
            vett=C3=A4 on=\r\ne\r\n--xyz\r\nContent-Type: text/html; charset=utf-8\r\n\
            Content-Transfer-Encoding: base64\r\n\r\nPHA+dmVzaTwv\r\ncD4=\r\n--xyz--\r\n";
        let mail = Mail::read(raw);
        assert_eq!((mail.subject().as_str(), mail.message_id()), ("Vuoto: Mäntypolku", "<a@b>"));
        assert_eq!((mail.text.trim(), mail.html.as_str()), ("vettä one", "<p>vesi</p>"));
        assert_eq!(mail.to(), "a@x.fi");
    }
}
