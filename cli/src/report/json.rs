//! JSON objects, one a line, written by hand: no more is needed.

use std::fmt::Write;

/// A JSON object under construction.
#[derive(Debug)]
pub(crate) struct Object {
    text: String,
}

impl Object {
    /// An object without members.
    pub(crate) fn new() -> Self {
        Object { text: String::from("{") }
    }

    /// Adds a string member.
    pub(crate) fn string(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        quote(&mut self.text, value);
        self
    }

    /// Adds a number. JSON has no word for NaN and infinity: they become `null`.
    pub(crate) fn number(mut self, name: &str, value: f64) -> Self {
        self.name(name);
        if value.is_finite() {
            write!(self.text, "{value}").expect("writing to a string cannot fail");
        } else {
            self.text.push_str("null");
        }
        self
    }

    /// Adds a whole number, exact over all of `u64`.
    pub(crate) fn integer(mut self, name: &str, value: u64) -> Self {
        self.name(name);
        write!(self.text, "{value}").expect("writing to a string cannot fail");
        self
    }

    /// Adds `true` or `false`.
    pub(crate) fn boolean(mut self, name: &str, value: bool) -> Self {
        self.name(name);
        self.text.push_str(if value { "true" } else { "false" });
        self
    }

    /// Adds `null`.
    pub(crate) fn null(mut self, name: &str) -> Self {
        self.name(name);
        self.text.push_str("null");
        self
    }

    /// Adds an object.
    pub(crate) fn object(mut self, name: &str, value: Object) -> Self {
        self.name(name);
        self.text.push_str(&value.finish());
        self
    }

    /// Adds a list of objects.
    pub(crate) fn list(mut self, name: &str, values: impl IntoIterator<Item = Object>) -> Self {
        self.name(name);
        let values: Vec<String> = values.into_iter().map(Object::finish).collect();
        write!(self.text, "[{}]", values.join(",")).expect("writing to a string cannot fail");
        self
    }

    /// The object as one line, without a newline.
    pub(crate) fn finish(mut self) -> String {
        self.text.push('}');
        self.text
    }

    fn name(&mut self, name: &str) {
        if self.text.len() > 1 {
            self.text.push(',');
        }
        quote(&mut self.text, name);
        self.text.push(':');
    }
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => write!(out, "\\u{:04x}", c as u32).expect("writing to a string cannot fail"),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_parser_reads_it_back() {
        let line = Object::new()
            .string("na\"me", "tab\there \\ \u{1} µ\n")
            .integer("big", u64::MAX)
            .number("rate", 1.5e300)
            .number("none", f64::NAN)
            .boolean("yes", true)
            .null("nothing")
            .object("inner", Object::new().integer("a", 1))
            .list("list", [Object::new(), Object::new().string("b", "]")])
            .finish();
        assert!(!line.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["na\"me"], "tab\there \\ \u{1} µ\n");
        assert_eq!(value["big"], u64::MAX);
        assert_eq!(value["rate"], 1.5e300);
        assert!(value["none"].is_null() && value["nothing"].is_null());
        assert_eq!((&value["yes"], &value["inner"]["a"]), (&true.into(), &1.into()));
        assert_eq!(value["list"][1]["b"], "]");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&Object::new().finish()).unwrap().to_string(),
            "{}"
        );
    }
}
