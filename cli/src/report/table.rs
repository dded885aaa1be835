//! Aligned tables with a bar column that takes the room the terminal leaves.

use super::style::Style;

/// The least room a bar column is worth having.
const LEAST_BAR: usize = 8;
/// The most room a bar takes; longer ones compare no better.
const MOST_BAR: usize = 40;
const GAP: &str = "  ";

/// A table: the first column to the left, the others to the right, then a bar.
#[derive(Debug)]
pub(crate) struct Table {
    headers: Vec<String>,
    rows: Vec<Row>,
    /// Columns that are set to the left.
    left: Vec<usize>,
}

#[derive(Debug)]
struct Row {
    cells: Vec<String>,
    bar: Option<f64>,
    ours: bool,
}

impl Table {
    /// An empty table with these column heads.
    pub(crate) fn new(headers: &[&str]) -> Self {
        let headers = headers.iter().map(|&head| head.to_owned()).collect();
        Table { headers, rows: Vec::new(), left: vec![0] }
    }

    /// Sets columns of words to the left, as the first one always is.
    pub(crate) fn left(mut self, columns: &[usize]) -> Self {
        self.left.extend(columns);
        self
    }

    /// Adds a row. `bar` is what its bar stands for, in any unit, the same for all rows; `ours` makes it bold.
    pub(crate) fn row(&mut self, cells: Vec<String>, bar: Option<f64>, ours: bool) {
        assert_eq!(cells.len(), self.headers.len(), "a row has a cell for every column");
        self.rows.push(Row { cells, bar, ours });
    }

    /// The table as text, no line longer than `width` unless the cells alone are. Bars are linear and relative
    /// to the largest.
    pub(crate) fn render(&self, width: usize, style: Style) -> String {
        let wide = |text: &String| text.chars().count();
        let column = |at: usize| self.rows.iter().map(|row| wide(&row.cells[at])).max().unwrap_or(0);
        let widths: Vec<usize> =
            self.headers.iter().enumerate().map(|(at, head)| wide(head).max(column(at))).collect();
        let used = widths.iter().sum::<usize>() + GAP.len() * widths.len();
        let most = self.rows.iter().filter_map(|row| row.bar).fold(0.0, f64::max);
        let bar_room = width.saturating_sub(used + 1).min(MOST_BAR);

        let mut out = String::new();
        let mut line = |cells: &[String], bar: String, paint: &dyn Fn(String) -> String| {
            let mut text = String::new();
            for (at, (cell, width)) in cells.iter().zip(&widths).enumerate() {
                let pad = " ".repeat(width - wide(cell));
                if at > 0 {
                    text.push_str(GAP);
                }
                text.extend(if self.left.contains(&at) {
                    [cell.as_str(), &pad]
                } else {
                    [&pad, cell.as_str()]
                });
            }
            if !bar.is_empty() {
                text.extend([GAP, &bar]);
            }
            out.push_str(&paint(text.trim_end().to_owned()));
            out.push('\n');
        };
        line(&self.headers, String::new(), &|text| style.dim(text));
        for row in &self.rows {
            let bar = match row.bar {
                Some(value) if bar_room >= LEAST_BAR && most > 0.0 => bar(value / most, bar_room),
                _ => String::new(),
            };
            line(&row.cells, bar, &|text| if row.ours { style.bold(text) } else { text });
        }
        out
    }
}

/// A bar of `fraction` of `room` columns, to an eighth of a column. What is not zero is seen.
pub(crate) fn bar(fraction: f64, room: usize) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let fraction = if fraction.is_finite() { fraction.clamp(0.0, 1.0) } else { 0.0 };
    let mut eighths = (fraction * room as f64 * 8.0).round() as usize;
    if eighths == 0 && fraction > 0.0 {
        eighths = 1;
    }
    "█".repeat(eighths / 8) + PARTS[eighths % 8]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new(&["transport", "rate"]);
        table.row(vec!["ring".into(), "250 M/s".into()], Some(250.0), true);
        table.row(vec!["tcp".into(), "0.15 µ/s".into()], Some(0.15), false);
        table
    }

    #[test]
    fn columns_line_up_and_bars_are_relative_to_the_longest() {
        let text = sample().render(32, Style::plain());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "transport      rate");
        assert_eq!(lines[1], "ring        250 M/s  ██████████");
        assert_eq!(lines[2], "tcp        0.15 µ/s  ▏");
    }

    #[test]
    fn a_narrow_terminal_has_no_bars_and_a_wide_one_no_endless_ones() {
        assert!(!sample().render(25, Style::plain()).contains('█'));
        assert!(sample().render(500, Style::plain()).lines().all(|line| line.chars().count() < 70));
        for width in 30..100 {
            let text = sample().render(width, Style::plain());
            assert!(text.lines().all(|line| line.chars().count() < width), "{width}:\n{text}");
        }
    }

    #[test]
    fn bars_have_eighths() {
        assert_eq!(bar(0.0, 10), "");
        assert_eq!(bar(1e-9, 10), "▏");
        assert_eq!(bar(0.5, 3), "█▌");
        assert_eq!(bar(1.0, 3), "███");
        assert_eq!(bar(f64::NAN, 3), "");
        assert_eq!(bar(7.0, 2), "██");
    }

    #[test]
    fn colour_is_only_there_when_asked_for() {
        assert!(!sample().render(60, Style::plain()).contains('\x1b'));
        assert!(sample().render(60, Style::coloured()).contains('\x1b'));
    }
}
