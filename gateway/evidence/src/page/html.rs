//! Writing HTML: escaping, isolation, tables in two languages.

use serde_json::Value;

use super::Both;

/// Most rows of one message's data.
const ROWS_MAX: usize = 2_000;

/// Text in which no character means anything to HTML.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Controls have no place in HTML.
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Escaped text whose direction does not touch what stands around it (HTML `bdi`, UAX #9).
pub(super) fn isolated(text: &str) -> String {
    format!("<bdi>{}</bdi>", escaped(text))
}

/// A page as it is written.
#[derive(Default)]
pub(super) struct Html(String);

impl Html {
    pub(super) fn raw(&mut self, html: &str) {
        self.0.push_str(html);
    }

    pub(super) fn open(&mut self, tag: &str, attributes: &str) {
        let space = if attributes.is_empty() { "" } else { " " };
        self.raw(&format!("<{tag}{space}{attributes}>\n"));
    }

    pub(super) fn close(&mut self, tag: &str) {
        self.raw(&format!("</{tag}>\n"));
    }

    /// The same element in English and Arabic, side by side.
    pub(super) fn pair(&mut self, tag: &str, both: &Both) {
        self.raw(&format!(
            "<div class=\"pair\">\n<{tag} lang=\"en\">{}</{tag}>\n<{tag} lang=\"ar\" dir=\"rtl\">{}</{tag}>\n</div>\n",
            both.en, both.ar
        ));
    }

    /// A value between its English and its Arabic name.
    pub(super) fn fact(&mut self, en: &str, value: &str, ar: &str) {
        self.raw(&format!(
            "<tr><th lang=\"en\">{}</th><td>{value}</td><th lang=\"ar\" dir=\"rtl\">{}</th></tr>\n",
            escaped(en),
            escaped(ar)
        ));
    }

    pub(super) fn row(&mut self, cells: &[&str]) {
        self.raw("<tr>");
        cells.iter().for_each(|cell| self.raw(&format!("<td>{cell}</td>")));
        self.raw("</tr>\n");
    }

    /// JSON laid flat: a row for each value, named by its JSON Pointer (RFC 6901).
    pub(super) fn data(&mut self, value: &Value) {
        let mut rows = Vec::new();
        flatten(value, String::new(), &mut rows);
        self.open("table", "class=\"data\"");
        for (pointer, text) in &rows {
            self.row(&[&isolated(pointer), &isolated(text)]);
        }
        self.close("table");
        if rows.len() == ROWS_MAX {
            self.raw("<p lang=\"en\">More stands in the message itself.</p>\n<p lang=\"ar\" dir=\"rtl\">البقيّة في الرسالة نفسها.</p>\n");
        }
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

fn flatten(value: &Value, pointer: String, rows: &mut Vec<(String, String)>) {
    if rows.len() == ROWS_MAX {
        return;
    }
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                let step = name.replace('~', "~0").replace('/', "~1");
                flatten(value, format!("{pointer}/{step}"), rows);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            items.iter().enumerate().for_each(|(at, value)| flatten(value, format!("{pointer}/{at}"), rows));
        }
        Value::String(text) => rows.push((pointer, text.clone())),
        other => rows.push((pointer, other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_value_is_markup() {
        let hostile = "<script>alert('x')</script> & \"\u{202e}txt\u{7}";
        let shown = isolated(hostile);
        assert_eq!(
            shown,
            "<bdi>&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;\u{202e}txt\u{fffd}</bdi>"
        );
        let mut html = Html::default();
        html.data(&serde_json::json!({ "<b>": { "a/b": ["<i>", 1, null, {}] } }));
        let html = html.finish();
        assert!(!html.contains("<b>") && !html.contains("<i>"));
        assert!(html.contains("/&lt;b&gt;/a~1b/0") && html.contains("<bdi>null</bdi>"));
    }

    #[test]
    fn a_long_message_is_cut_and_says_so() {
        let mut html = Html::default();
        html.data(&serde_json::json!(vec![0; ROWS_MAX + 1]));
        assert!(html.finish().contains("More stands in the message itself"));
    }
}
