//! A chart as it stands on the page, with its words and legend.

use super::plot::{Look, Panel, mark, svg};
use super::words::escaped;

/// A chart with what is written around it.
pub(super) struct Figure {
    pub(super) title: String,
    /// What it shows, in words.
    pub(super) words: String,
    pub(super) panels: Vec<Panel>,
    /// Looks, and what they stand for.
    pub(super) legend: Vec<(Vec<Look>, String)>,
}

impl Figure {
    pub(super) fn html(&self) -> String {
        let mut html = format!(
            "<figure><figcaption><h3>{}</h3><p>{}</p></figcaption>",
            escaped(&self.title),
            escaped(&self.words)
        );
        html.push_str(&svg(&self.panels, &format!("{}. {}", self.title, self.words)));
        html.push_str("<ul class=\"legend\">");
        for (looks, words) in &self.legend {
            html.push_str(&format!("<li>{}{}</li>", swatch(looks), escaped(words)));
        }
        html.push_str("</ul></figure>");
        html
    }
}

/// How something looks, small.
fn swatch(looks: &[Look]) -> String {
    let mut svg = String::from("<svg viewBox=\"0 0 28 14\" class=\"swatch\" aria-hidden=\"true\">");
    for look in looks {
        let class = look.class();
        svg.push_str(&match look {
            Look::Area(_) => {
                format!("<rect class=\"{class}\" x=\"2\" y=\"1\" width=\"24\" height=\"12\"/>")
            }
            Look::Mark(series) => {
                let corners = mark(*series, 4.5);
                let corners =
                    corners.iter().map(|(x, y)| format!("{:.1},{:.1}", 14.0 + x, 7.0 + y));
                let corners = corners.collect::<Vec<_>>().join(" ");
                format!("<polygon class=\"{class}\" points=\"{corners}\"/>")
            }
            Look::Chosen => {
                format!("<circle class=\"{class}\" cx=\"14\" cy=\"7\" r=\"5.5\" fill=\"none\"/>")
            }
            _ => format!("<line class=\"{class}\" x1=\"1\" y1=\"7\" x2=\"27\" y2=\"7\"/>"),
        });
    }
    svg.push_str("</svg>");
    svg
}
