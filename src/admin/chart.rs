//! Charts as pictures in the page: no script, no style of their own.
//!
//! Holds always: what they show are numbers, and a few words of the program's.

use std::fmt::Write as _;

use super::figures::{number, short};

/// How wide and how high the bars may be, in the picture's own units.
const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 110.0;
/// What is left of them for the scale, below them for the time, and above them.
const LEFT: f64 = 44.0;
const BELOW: f64 = 20.0;
const ABOVE: f64 = 12.0;

/// Bars over time, each of two parts, one upon the other.
pub(super) struct Bars<'a> {
    /// What a screen reader says.
    pub(super) title: &'a str,
    /// What the parts are called.
    pub(super) parts: [&'a str; 2],
    /// The parts of each.
    pub(super) bars: &'a [[u64; 2]],
    /// How many minutes each is for.
    pub(super) minutes: u64,
    /// What stands below them, from the left to the right.
    pub(super) times: [&'a str; 3],
}

#[expect(clippy::cast_precision_loss, reason = "a picture is no exact number")]
fn float(number: u64) -> f64 {
    number as f64
}

/// The least round number that is no smaller: 1, 2 or 5, and zeros.
fn round_up(most: u64) -> u64 {
    let mut unit = 1_u64;
    loop {
        for step in [1, 2, 5] {
            let round = unit.saturating_mul(step);
            if round >= most {
                return round;
            }
        }
        unit = unit.saturating_mul(10);
    }
}

impl Bars<'_> {
    /// The picture.
    pub(super) fn svg(&self) -> String {
        let most = self.bars.iter().map(|[a, b]| a + b).max().unwrap_or(0);
        let top = round_up(most.max(2));
        let scale = HEIGHT / float(top);
        let step = WIDTH / float(self.bars.len().max(1) as u64);
        let mut svg = format!(
            "<svg class=\"chart\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">",
            LEFT + WIDTH,
            ABOVE + HEIGHT + BELOW,
            self.title
        );
        for (part, label) in [(0.0, 0), (0.5, top / 2), (1.0, top)] {
            let y = ABOVE + HEIGHT * (1.0 - part);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\"/>",
                LEFT + WIDTH
            );
            if part != 0.5 || top.is_multiple_of(2) {
                let _ = write!(
                    svg,
                    "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
                    LEFT - 6.0,
                    y + 4.0,
                    short(label)
                );
            }
        }
        let last = self.bars.len();
        for (at, [lower, upper]) in (0..).zip(self.bars) {
            if lower + upper == 0 {
                continue;
            }
            let x = LEFT + step * float(at);
            let (low, high) = (float(*lower) * scale, float(*upper) * scale);
            let ago = (last as u64 - at - 1) * self.minutes;
            let _ = write!(
                svg,
                "<g><title>{} min ago: {} {}, {} {}</title>",
                ago,
                number(*lower),
                self.parts[0],
                number(*upper),
                self.parts[1]
            );
            for (class, bottom, height) in [("a", 0.0, low), ("b", low, high)] {
                if height > 0.0 {
                    let _ = write!(
                        svg,
                        "<rect class=\"{class}\" x=\"{:.2}\" y=\"{:.2}\" width=\"{:.2}\" height=\"{:.2}\"/>",
                        x + step * 0.1,
                        ABOVE + HEIGHT - bottom - height,
                        step * 0.8,
                        height
                    );
                }
            }
            svg.push_str("</g>");
        }
        for (time, (x, anchor)) in self.times.iter().zip([
            (LEFT, "start"),
            (LEFT + WIDTH / 2.0, "middle"),
            (LEFT + WIDTH, "end"),
        ]) {
            let _ = write!(
                svg,
                "<text x=\"{x}\" y=\"{}\" text-anchor=\"{anchor}\">{time}</text>",
                ABOVE + HEIGHT + BELOW - 4.0
            );
        }
        svg.push_str("</svg>");
        svg
    }
}

/// A bar of `class` for one of several numbers, of which `most` is the largest.
pub(super) fn share(count: u64, most: u64, class: &str) -> String {
    let width = 100.0 * float(count) / float(most.max(1));
    format!(
        "<svg class=\"share\" viewBox=\"0 0 100 6\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <rect class=\"rest\" width=\"100\" height=\"6\"/><rect class=\"{class}\" width=\"{width:.1}\" height=\"6\"/></svg>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_ends_with_a_round_number() {
        let rounds = [0, 1, 2, 3, 5, 6, 11, 49, 51, 1_000, 1_001].map(round_up);
        assert_eq!(rounds, [1, 1, 2, 5, 5, 10, 20, 50, 100, 1_000, 2_000]);
        assert_eq!(round_up(u64::MAX), u64::MAX);
    }

    #[test]
    fn a_bar_stands_upon_the_other() {
        let bars = Bars {
            title: "t",
            parts: ["good", "bad"],
            bars: &[[0, 0], [5, 5]],
            minutes: 1,
            times: ["then", "between", "now"],
        };
        let svg = bars.svg();
        assert_eq!(svg.matches("<rect").count(), 2);
        assert!(svg.contains("0 min ago: 5 good, 5 bad"), "{svg}");
        assert_eq!(svg.matches("height=\"55.00\"").count(), 2, "{svg}");
    }
}
