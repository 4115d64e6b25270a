//! A mail's words as plain text and as HTML.

use std::fmt::Write as _;

use super::words::{Content, Line};

/// As plain text.
pub(super) fn text(content: &Content) -> String {
    let mut text = format!("{}\n\n", content.heading);
    for paragraph in &content.paragraphs {
        let _ = write!(text, "{paragraph}\n\n");
    }
    for (name, value) in &content.facts {
        let _ = writeln!(text, "{name}: {value}");
    }
    text.push('\n');
    for note in &content.notes {
        let _ = write!(text, "{note}\n\n");
    }
    if let Some((heading, advice)) = &content.advice {
        let _ = write!(text, "{heading}\n\n");
        for step in advice {
            let _ = writeln!(text, "- {step}");
        }
        text.push('\n');
    }
    for line in &content.closing {
        let _ = match line {
            Line::Text(line) => writeln!(text, "{line}"),
            Line::Link { text: about, url } => writeln!(text, "{about}\n{url}"),
        };
    }
    text
}

/// As HTML: a heading, paragraphs, one table of facts with headers for its rows, a list; readable without any style.
pub(super) fn html(content: &Content) -> String {
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{}</title>\n</head>\n\
         <body style=\"font-family:sans-serif;line-height:1.5;max-width:40em\">\n<h1 style=\"font-size:1.4em\">{}</h1>\n",
        content.tag,
        escaped(&content.subject),
        escaped(&content.heading)
    );
    for paragraph in &content.paragraphs {
        let _ = writeln!(html, "<p>{}</p>", escaped(paragraph));
    }
    html.push_str("<table style=\"border-spacing:0\">\n");
    for (name, value) in &content.facts {
        let _ = writeln!(
            html,
            "<tr><th scope=\"row\" style=\"text-align:left;vertical-align:top;padding:2px 16px 2px 0\">{}</th>\
             <td>{}</td></tr>",
            escaped(name),
            escaped(value)
        );
    }
    html.push_str("</table>\n");
    for note in &content.notes {
        let _ = writeln!(html, "<p>{}</p>", escaped(note));
    }
    if let Some((heading, advice)) = &content.advice {
        let _ = writeln!(html, "<h2 style=\"font-size:1.1em\">{}</h2>\n<ul>", escaped(heading));
        for step in advice {
            let _ = writeln!(html, "<li>{}</li>", escaped(step));
        }
        html.push_str("</ul>\n");
    }
    for line in &content.closing {
        let _ = match line {
            Line::Text(line) => writeln!(html, "<p>{}</p>", escaped(line)),
            Line::Link { text, url } => {
                writeln!(html, "<p>{} <a href=\"{1}\">{1}</a></p>", escaped(text), escaped(url))
            }
        };
    }
    html.push_str("</body>\n</html>\n");
    html
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}
