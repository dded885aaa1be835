//! One flat JSON object a line, written by hand: no more is needed.

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
            .finish();
        assert!(!line.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["na\"me"], "tab\there \\ \u{1} µ\n");
        assert_eq!(value["big"], u64::MAX);
        assert_eq!(value["rate"], 1.5e300);
        assert!(value["none"].is_null());
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&Object::new().finish()).unwrap().to_string(),
            "{}"
        );
    }
}
