//! Line charts as SVG: logarithmic upwards, every line named where it begins.

use std::fmt::Write;

use super::units::Unit;

/// How a line is drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stroke {
    pub(crate) colour: &'static str,
    pub(crate) width: f64,
    /// SVG's dash pattern; empty for a whole line.
    pub(crate) dash: &'static str,
    pub(crate) marker: Marker,
    pub(crate) bold: bool,
}

/// What sits on the points, so that lines are told apart without colour.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Marker {
    Disc,
    Circle,
    Square,
    Diamond,
    Up,
    Down,
    Plus,
    Cross,
}

impl Marker {
    pub(crate) const HOLLOW: [Marker; 7] = [
        Marker::Circle,
        Marker::Square,
        Marker::Up,
        Marker::Diamond,
        Marker::Down,
        Marker::Cross,
        Marker::Plus,
    ];
}

/// One value at one step of the horizontal axis, and its range.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub(crate) step: usize,
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// A line with its name.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<Point>,
    pub(crate) stroke: Stroke,
}

/// Some lines under a heading.
#[derive(Debug)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) lines: Vec<Line>,
}

/// Panels side by side that share both scales.
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) subtitle: String,
    /// What the steps are, and what they are called.
    pub(crate) axis: String,
    pub(crate) steps: Vec<String>,
    pub(crate) unit: Unit,
    pub(crate) panels: Vec<Panel>,
}

const TOP: f64 = 118.0;
const BOTTOM: f64 = 74.0;
/// Between a panel's left edge and its plot: the names of the lines.
const NAMES: f64 = 312.0;
/// Between a plot and the panel's right edge: the scale.
const SCALE: f64 = 78.0;
const PLOT: f64 = 400.0;
const MARGIN: f64 = 18.0;
/// Between the names of two lines.
const ROW: f64 = 18.5;
const LEAST_HEIGHT: f64 = 460.0;
const INK: &str = "#1d2733";
const FAINT: &str = "#5f6b7a";
const GRID: &str = "#e4e8ed";

/// Where the plots lie, and the scale upwards.
struct Frame {
    height: f64,
    /// Powers of ten.
    low: f64,
    high: f64,
    steps: usize,
}

impl Frame {
    fn y(&self, value: f64) -> f64 {
        let part = (value.max(f64::MIN_POSITIVE).log10() - self.low) / (self.high - self.low);
        TOP + self.height * (1.0 - part)
    }

    fn x(&self, left: f64, step: usize) -> f64 {
        // Half a step of air on both sides.
        left + NAMES + PLOT * (step as f64 + 0.5) / self.steps as f64
    }
}

impl Chart {
    /// The drawing, or `None` if there is nothing to draw.
    pub(crate) fn render(&self) -> Option<String> {
        let points = || self.panels.iter().flat_map(|panel| &panel.lines).flat_map(|line| &line.points);
        let low = points().map(|point| point.low).fold(f64::INFINITY, f64::min);
        let high = points().map(|point| point.high).fold(0.0, f64::max);
        if !(low > 0.0 && low.is_finite() && high.is_finite()) {
            return None;
        }
        let most = self.panels.iter().map(|panel| panel.lines.len()).max()?;
        let frame = Frame {
            height: (most as f64 * ROW + 20.0).max(LEAST_HEIGHT),
            low: low.log10() - 0.15,
            high: high.log10() + 0.12,
            steps: self.steps.len(),
        };
        let panel_width = NAMES + PLOT + SCALE;
        let width = MARGIN * 2.0 + panel_width * self.panels.len() as f64;
        let height = TOP + frame.height + BOTTOM;
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" width="{width:.0}" height="{height:.0}" font-family="Inter, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif" font-size="13" fill="{INK}">
<rect width="100%" height="100%" fill="white"/>"#
        );
        text(&mut out, (MARGIN, 38.0), "start", r#"font-size="23" font-weight="700""#, &self.title);
        text(&mut out, (MARGIN, 62.0), "start", &format!(r#"fill="{FAINT}""#), &self.subtitle);
        for (at, panel) in self.panels.iter().enumerate() {
            self.panel(&mut out, &frame, MARGIN + panel_width * at as f64, panel);
        }
        out.push_str("</svg>\n");
        Some(out)
    }

    fn panel(&self, out: &mut String, frame: &Frame, left: f64, panel: &Panel) {
        let (plot_left, plot_right) = (left + NAMES, left + NAMES + PLOT);
        let bottom = TOP + frame.height;
        text(out, (plot_left, TOP - 18.0), "start", r#"font-size="15" font-weight="600""#, &panel.title);
        for power in frame.low.ceil() as i32..=frame.high.floor() as i32 {
            let y = frame.y(10f64.powi(power));
            rule(out, (plot_left, y), (plot_right, y), GRID);
            let label = (self.unit)(10f64.powi(power)).replace(".00", "").replace(".0", "");
            text(out, (plot_right + 10.0, y + 4.5), "start", &format!(r#"fill="{FAINT}""#), &label);
        }
        for (step, name) in self.steps.iter().enumerate() {
            let x = frame.x(left, step);
            rule(out, (x, TOP), (x, bottom), GRID);
            text(out, (x, bottom + 22.0), "middle", "", name);
        }
        rule(out, (plot_left, bottom), (plot_right, bottom), FAINT);
        let middle = (plot_left + plot_right) / 2.0;
        text(out, (middle, bottom + 48.0), "middle", &format!(r#"fill="{FAINT}""#), &self.axis);

        let firsts: Vec<f64> =
            panel.lines.iter().map(|line| line.points.first().map_or(bottom, |p| frame.y(p.value))).collect();
        let rows = spread_out(&firsts, TOP + 4.0, bottom - 4.0, ROW);
        // Emphasised lines last, on top of the others.
        let mut order: Vec<usize> = (0..panel.lines.len()).collect();
        order.sort_by_key(|&at| panel.lines[at].stroke.bold);
        // Ranges first, behind everything.
        for &at in &order {
            let Stroke { colour, width, .. } = panel.lines[at].stroke;
            for point in panel.lines[at].points.iter().filter(|point| point.high > point.low) {
                let (x, low, high) = (frame.x(left, point.step), frame.y(point.low), frame.y(point.high));
                let _ = writeln!(
                    out,
                    r#"<path d="M{x:.1} {low:.1}V{high:.1}" stroke="{colour}" stroke-width="{width}" opacity="0.25"/>"#
                );
            }
        }
        for at in order {
            let line = &panel.lines[at];
            let Some(first) = line.points.first() else { continue };
            let Stroke { colour, width, dash, .. } = line.stroke;
            let at_point = |point: &Point| (frame.x(left, point.step), frame.y(point.value));
            let path: Vec<String> = line
                .points
                .iter()
                .map(|point| {
                    let (x, y) = at_point(point);
                    format!("{x:.1} {y:.1}")
                })
                .collect();
            let _ = writeln!(
                out,
                r#"<path d="M{}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-dasharray="{dash}" stroke-linejoin="round"/>"#,
                path.join("L")
            );
            for point in &line.points {
                marker(out, line.stroke, at_point(point));
            }
            // The name, its marker, and the way from there to the line.
            let (x, y) = at_point(first);
            let row = rows[at];
            let weight = if line.stroke.bold { r#"font-weight="700""# } else { "" };
            let name = format!("{}  {}", line.name, (self.unit)(first.value));
            text(out, (plot_left - 22.0, row + 4.5), "end", &format!(r#"{weight} fill="{colour}""#), &name);
            marker(out, line.stroke, (plot_left - 12.0, row));
            let _ = writeln!(
                out,
                r#"<path d="M{:.1} {row:.1}L{:.1} {y:.1}H{:.1}" fill="none" stroke="{colour}" stroke-width="0.8" opacity="0.55"/>"#,
                plot_left - 5.0,
                plot_left + 14.0,
                x - 6.0
            );
        }
    }
}

/// Moves values apart so that none is nearer than `gap` to the next and all lie within the bounds, and none farther
/// from where it was than that takes. (They fit: the chart is as high as its names ask for.)
fn spread_out(wanted: &[f64], low: f64, high: f64, gap: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    // Groups of neighbours that touch, each at the middle of where its members want to be.
    let mut groups: Vec<(Vec<usize>, f64)> = Vec::new();
    let clamped = |middle: f64, len: usize| {
        let half = gap * (len as f64 - 1.0) / 2.0;
        middle.min(high - half).max(low + half)
    };
    for at in order {
        let mut group = (vec![at], clamped(wanted[at], 1));
        while let Some((members, middle)) = groups.last() {
            let touch = (members.len() + group.0.len()) as f64 / 2.0 * gap;
            if group.1 - middle >= touch {
                break;
            }
            let mut all = members.clone();
            all.append(&mut group.0);
            let mean = all.iter().map(|&at| wanted[at]).sum::<f64>() / all.len() as f64;
            group = (all.clone(), clamped(mean, all.len()));
            groups.pop();
        }
        groups.push(group);
    }
    let mut places = vec![0.0; wanted.len()];
    for (members, middle) in groups {
        let first = middle - gap * (members.len() as f64 - 1.0) / 2.0;
        for (row, at) in members.into_iter().enumerate() {
            places[at] = first + gap * row as f64;
        }
    }
    places
}

fn text(out: &mut String, (x, y): (f64, f64), anchor: &str, attributes: &str, content: &str) {
    let content = content.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ =
        writeln!(out, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" {attributes}>{content}</text>"#);
}

fn rule(out: &mut String, (x, y): (f64, f64), (to_x, to_y): (f64, f64), colour: &str) {
    let _ = writeln!(out, r#"<path d="M{x:.1} {y:.1}L{to_x:.1} {to_y:.1}" stroke="{colour}"/>"#);
}

fn marker(out: &mut String, stroke: Stroke, (x, y): (f64, f64)) {
    let r = if stroke.bold { 4.6 } else { 3.6 };
    let shape = match stroke.marker {
        Marker::Square => {
            format!(r#"<rect x="{:.1}" y="{:.1}" width="{w}" height="{w}""#, x - r, y - r, w = 2.0 * r)
        }
        Marker::Diamond => {
            path(&[(x, y - r * 1.3), (x + r * 1.3, y), (x, y + r * 1.3), (x - r * 1.3, y)], true)
        }
        Marker::Up => path(&[(x, y - r * 1.2), (x + r * 1.2, y + r), (x - r * 1.2, y + r)], true),
        Marker::Down => path(&[(x, y + r * 1.2), (x + r * 1.2, y - r), (x - r * 1.2, y - r)], true),
        Marker::Plus => path(&[(x - r, y), (x + r, y), (x, y), (x, y - r), (x, y + r)], false),
        Marker::Cross => {
            path(&[(x - r, y - r), (x + r, y + r), (x, y), (x - r, y + r), (x + r, y - r)], false)
        }
        Marker::Disc | Marker::Circle => format!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="{r}""#),
    };
    let fill = if matches!(stroke.marker, Marker::Disc) { stroke.colour } else { "white" };
    let _ = writeln!(out, r#"{shape} fill="{fill}" stroke="{}" stroke-width="1.5"/>"#, stroke.colour);
}

/// The beginning of a path element through these points.
fn path(points: &[(f64, f64)], closed: bool) -> String {
    let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
    format!(r#"<path d="M{}{}""#, points.join("L"), if closed { "Z" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::units;

    #[test]
    fn names_keep_apart_and_inside() {
        let wanted = [5.0, 5.0, 5.0, 200.0, 201.0, 90.0, 1000.0];
        let places = spread_out(&wanted, 10.0, 300.0, 18.0);
        let mut sorted = places.clone();
        sorted.sort_by(f64::total_cmp);
        assert!(sorted.windows(2).all(|pair| pair[1] - pair[0] >= 18.0 - 1e-9), "{places:?}");
        assert!(sorted[0] >= 10.0 - 1e-9 && sorted[6] <= 300.0 + 1e-9, "{places:?}");
        assert_eq!(places[5], 90.0, "who is alone stays");
    }

    #[test]
    fn nothing_makes_no_drawing_and_something_a_whole_one() {
        let stroke = Stroke { colour: "#000", width: 1.0, dash: "", marker: Marker::Up, bold: false };
        let chart = |points: Vec<Point>| Chart {
            title: "a < b".into(),
            subtitle: String::new(),
            axis: String::new(),
            steps: vec!["8 B".into(), "64 B".into()],
            unit: units::rate,
            panels: vec![Panel {
                title: String::new(),
                lines: vec![Line { name: "x".into(), points, stroke }],
            }],
        };
        assert!(chart(Vec::new()).render().is_none());
        let point = |step, value| Point { step, value, low: value, high: value };
        let drawing = chart(vec![point(0, 10.0), point(1, 1000.0)]).render().unwrap();
        assert!(drawing.contains("a &lt; b") && drawing.ends_with("</svg>\n"));
        assert!(!drawing.contains("NaN") && !drawing.contains("inf"));
    }
}
