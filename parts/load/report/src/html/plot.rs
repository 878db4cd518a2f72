//! One chart as inline SVG.
//!
//! The outer SVG has no viewBox: its labels stand at percentages and keep their size on a phone and in print, while the
//! curves lie in an inner SVG of 1000 by 1000 that is stretched. Curves differ by how they are dashed as well as by
//! colour. What is under the pointer is told by `<title>`, for which no script is needed.

use crate::chart::Scale;

use super::Html;

/// The inner drawing is as wide and as high as this.
const SIZE: f64 = 1_000.0;
/// No bar is lower than this, so that what is not zero is seen.
const LOWEST_BAR: f64 = 6.0;

/// An axis: where values stand, and which of them are named.
pub(super) struct Axis {
    pub(super) scale: Scale,
    pub(super) ticks: Vec<(f64, String)>,
}

/// A curve. It has gaps where there was nothing to measure, and so consists of pieces.
pub(super) struct Curve {
    pub(super) name: &'static str,
    /// How it is drawn: a class of the style sheet.
    pub(super) class: &'static str,
    pub(super) pieces: Vec<Vec<(f64, f64)>>,
}

/// From one value of the x axis to another: what a pointer there is told, and how high a bar stands there.
pub(super) struct Zone {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) bar: Option<f64>,
    pub(super) words: String,
}

/// A chart.
pub(super) struct Plot {
    pub(super) title: &'static str,
    /// What one has to know to read it.
    pub(super) note: String,
    /// What it shows, for those who do not see it.
    pub(super) told: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) curves: Vec<Curve>,
    pub(super) zones: Vec<Zone>,
}

impl Curve {
    /// A curve through `points`, with a gap wherever one has no value.
    pub(super) fn new(
        name: &'static str,
        class: &'static str,
        points: impl Iterator<Item = (f64, Option<f64>)>,
    ) -> Curve {
        let mut pieces = vec![Vec::new()];
        for (x, y) in points {
            match (y, pieces.last_mut()) {
                (Some(y), Some(piece)) => piece.push((x, y)),
                (None, Some(piece)) if !piece.is_empty() => pieces.push(Vec::new()),
                _ => {}
            }
        }
        pieces.retain(|piece| !piece.is_empty());
        Curve { name, class, pieces }
    }
}

impl Plot {
    pub(super) fn write(&self, page: &mut Html) {
        page.raw("<figure class=\"card\">\n<figcaption><h3>").raw(self.title).raw("</h3>");
        if !self.note.is_empty() {
            page.raw("<p>").text(&self.note).raw("</p>");
        }
        page.raw("</figcaption>\n");
        self.legend(page);
        page.raw("<svg class=\"chart\" role=\"img\" aria-label=\"").text(&self.told).raw("\">\n");
        self.axes(page);
        page.raw("<svg viewBox=\"0 0 1000 1000\" preserveAspectRatio=\"none\" width=\"100%\" height=\"100%\">\n");
        for zone in &self.zones {
            self.bar(page, zone);
        }
        for curve in &self.curves {
            let (path, dots) = (self.path(curve), self.dots(curve));
            page.raw("<path class=\"curve ").raw(curve.class).raw("\" d=\"").text(path).raw("\"/>\n");
            if !dots.is_empty() {
                page.raw("<path class=\"curve ").raw(curve.class).raw(" dot\" d=\"").text(dots).raw("\"/>\n");
            }
        }
        for zone in &self.zones {
            let (left, right) = (self.x.scale.place(zone.from) * SIZE, self.x.scale.place(zone.to) * SIZE);
            page.raw("<rect class=\"zone\" x=\"").text(short(left)).raw("\" width=\"").text(short(right - left));
            page.raw("\" height=\"1000\"><title>").text(&zone.words).raw("</title></rect>\n");
        }
        page.raw("</svg>\n</svg>\n</figure>\n");
    }

    fn legend(&self, page: &mut Html) {
        if self.curves.len() < 2 {
            return;
        }
        page.raw("<ul class=\"legend\">");
        for curve in &self.curves {
            page.raw("<li><svg width=\"32\" height=\"10\" aria-hidden=\"true\"><path class=\"curve ").raw(curve.class);
            page.raw("\" d=\"M2 5H30\"/></svg>").raw(curve.name).raw("</li>");
        }
        page.raw("</ul>\n");
    }

    fn axes(&self, page: &mut Html) {
        for (value, label) in &self.y.ticks {
            let place = percent(1.0 - self.y.scale.place(*value));
            page.raw("<line class=\"grid\" x2=\"100%\" y1=\"").text(&place).raw("\" y2=\"").text(&place).raw("\"/>");
            page.raw("<text class=\"y\" x=\"-8\" dy=\".32em\" y=\"")
                .text(&place)
                .raw("\">")
                .text(label)
                .raw("</text>\n");
        }
        for (index, (value, label)) in self.x.ticks.iter().enumerate() {
            let place = self.x.scale.place(*value);
            // Labels at the ends must not stick out; the odd ones give way where it is narrow.
            let end = match place {
                _ if place < 0.02 => " first",
                _ if place > 0.96 => " last",
                _ => "",
            };
            let odd = if index % 2 == 1 { " odd" } else { "" };
            let place = percent(place);
            page.raw("<line class=\"grid\" y2=\"100%\" x1=\"").text(&place).raw("\" x2=\"").text(&place).raw("\"/>");
            page.raw("<text class=\"x").raw(end).raw(odd).raw("\" dy=\"1.5em\" y=\"100%\" x=\"").text(&place);
            page.raw("\">").text(label).raw("</text>\n");
        }
    }

    fn bar(&self, page: &mut Html, zone: &Zone) {
        let Some(value) = zone.bar.filter(|value| *value > 0.0) else { return };
        let (left, right) = (self.x.scale.place(zone.from) * SIZE, self.x.scale.place(zone.to) * SIZE);
        let height = (self.y.scale.place(value) * SIZE).max(LOWEST_BAR);
        page.raw("<rect class=\"bar\" x=\"").text(short(left)).raw("\" width=\"").text(short((right - left) * 0.88));
        page.raw("\" y=\"").text(short(SIZE - height)).raw("\" height=\"").text(short(height)).raw("\"/>\n");
    }

    /// Through all pieces of several points.
    fn path(&self, curve: &Curve) -> String {
        let mut path = String::new();
        for piece in curve.pieces.iter().filter(|piece| piece.len() > 1) {
            let mut next = 'M';
            for point in piece {
                path.push_str(&format!("{next}{}", self.point(point)));
                next = 'L';
            }
        }
        path
    }

    /// Points without a neighbour, each as a line of no length: it is drawn as a dot by its ends.
    fn dots(&self, curve: &Curve) -> String {
        let alone =
            curve.pieces.iter().filter_map(|piece| if let [point] = piece.as_slice() { Some(point) } else { None });
        alone.map(|point| format!("M{}h0", self.point(point))).collect()
    }

    fn point(&self, (x, y): &(f64, f64)) -> String {
        format!("{} {}", short(self.x.scale.place(*x) * SIZE), short((1.0 - self.y.scale.place(*y)) * SIZE))
    }
}

/// A length to a tenth, as short as it can be written.
fn short(value: f64) -> String {
    format!("{}", (value * 10.0).round() / 10.0)
}

fn percent(place: f64) -> String {
    format!("{}%", (place * 10_000.0).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(curves: Vec<Curve>, zones: Vec<Zone>) -> String {
        let axis = || Axis { scale: Scale::linear(0.0, 10.0), ticks: vec![(5.0, "five".to_owned())] };
        let mut page = Html::default();
        Plot { title: "T", note: String::new(), told: "told".to_owned(), x: axis(), y: axis(), curves, zones }
            .write(&mut page);
        page.out
    }

    #[test]
    fn a_curve_has_gaps_and_dots() {
        let points = [(0.0, Some(0.0)), (1.0, Some(10.0)), (2.0, None), (3.0, None), (4.0, Some(5.0)), (5.0, None)];
        let drawn = plot(vec![Curve::new("c", "p50", points.into_iter())], Vec::new());
        assert!(drawn.contains("<path class=\"curve p50\" d=\"M0 1000L100 0\"/>"), "{drawn}");
        assert!(drawn.contains("<path class=\"curve p50 dot\" d=\"M400 500h0\"/>"), "{drawn}");
    }

    #[test]
    fn what_is_not_zero_has_a_bar_that_is_seen() {
        let zone = |from, bar| Zone { from, to: from + 1.0, bar: Some(bar), words: "<w>".to_owned() };
        let drawn = plot(Vec::new(), vec![zone(0.0, 0.0), zone(1.0, 0.000_1), zone(2.0, 10.0)]);
        assert_eq!(drawn.matches("class=\"bar\"").count(), 2);
        assert!(drawn.contains("y=\"994\" height=\"6\"") && drawn.contains("y=\"0\" height=\"1000\""), "{drawn}");
        assert_eq!(drawn.matches("<title>&lt;w&gt;</title>").count(), 3);
    }

    #[test]
    fn ticks_are_named_at_their_place() {
        let drawn = plot(Vec::new(), Vec::new());
        assert!(drawn.contains("y=\"50%\">five</text>") && drawn.contains("x=\"50%\">five</text>"), "{drawn}");
    }
}
