//! The ratios of one size as bars, in a file.

use std::error::Error;
use std::ops::Range;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::common::{Form, Origin};
use crate::table::Table;

const PIXELS: (u32, u32) = (1080, 480);
const TITLE: i32 = 36;
const LEGEND: i32 = 30;
const LEFT: i32 = 48;

/// Told apart also by those who see few colours (Okabe and Ito); one for each of `Origin::PEERS`.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(213, 94, 0),
];
const LINES: RGBColor = RGBColor(215, 215, 215);

/// A group takes the width of 1, and so much of it are bars.
const BARS: f64 = 0.84;

/// Draws how many times as long as ours the peers take, unordered, each crate by the fastest of its forms. Returns
/// whether there was anything to draw.
pub(crate) fn draw(tables: &[Table], size: usize, file: &Path) -> Result<bool, Box<dyn Error>> {
    let tables = tables.iter().filter(|table| table.size == size && table.ours(Form::Unordered).is_some());
    let groups: Vec<_> = tables.map(|table| (table.workload.name, bars(table))).collect();
    let ratios = || groups.iter().flat_map(|(_, bars)| bars).copied().flatten();
    let Some(highest) = ratios().reduce(f64::max) else { return Ok(false) };
    let lowest = 0.9 * ratios().fold(1.0, f64::min);
    #[expect(clippy::cast_precision_loss, reason = "few groups")]
    let width = groups.len() as f64;

    let root = SVGBackend::new(file, PIXELS).into_drawing_area();
    root.fill(&WHITE)?;
    let (title, rest) = root.split_vertically(TITLE);
    let (legend, plot) = rest.split_vertically(LEGEND);
    let text = |size: u32, x, y| ("sans-serif", size).into_font().color(&BLACK).pos(Pos::new(x, y));

    let about = "Time of the peers, each by the fastest of its forms; unordered pool_map = 1. Log scale, size";
    let middle = text(20, HPos::Left, VPos::Center);
    title.draw(&Text::new(format!("{about} {size}"), (LEFT, TITLE / 2), middle))?;

    let mut left = LEFT;
    for (origin, colour) in Origin::PEERS.into_iter().zip(COLOURS) {
        let y = LEGEND / 2;
        legend.draw(&Rectangle::new([(left, y - 6), (left + 12, y + 6)], colour.filled()))?;
        legend.draw(&Text::new(origin.name(), (left + 18, y), text(17, HPos::Left, VPos::Center)))?;
        left += 54 + 8 * i32::try_from(origin.name().len())?;
    }

    let mut chart = ChartBuilder::on(&plot)
        .margin_right(12)
        .x_label_area_size(34)
        .y_label_area_size(LEFT)
        .build_cartesian_2d(0.0..width, (lowest..highest * 1.1).log_scale())?;
    for ratio in [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0] {
        if (lowest..highest * 1.1).contains(&ratio) {
            chart.draw_series([PathElement::new([(0.0, ratio), (width, ratio)], LINES)])?;
            let (x, y) = chart.backend_coord(&(0.0, ratio));
            root.draw(&Text::new(ratio.to_string(), (x - 6, y), text(17, HPos::Right, VPos::Center)))?;
        }
    }
    for (group, (name, bars)) in groups.iter().enumerate() {
        for (place, (ratio, colour)) in bars.iter().zip(COLOURS).enumerate() {
            let Range { start, end } = across(group, place);
            let bar = ratio.map(|ratio| Rectangle::new([(start, 1.0), (end, ratio)], colour.filled()));
            chart.draw_series(bar)?;
        }
        let middle = f64::midpoint(across(group, 0).start, across(group, COLOURS.len() - 1).end);
        let (x, y) = chart.backend_coord(&(middle, lowest));
        root.draw(&Text::new(*name, (x, y + 8), text(17, HPos::Center, VPos::Top)))?;
    }
    chart.draw_series([PathElement::new([(0.0, 1.0), (width, 1.0)], BLACK)])?;
    root.present()?;
    Ok(true)
}

/// The ratio of each crate's fastest form, as far as it takes part.
fn bars(table: &Table) -> Vec<Option<f64>> {
    let ratio = |origin| {
        let ours = table.ours(Form::Unordered)?;
        let peers = table.peers(Form::Unordered).filter(|peer| peer.contestant.origin == origin);
        peers.map(|peer| peer.over(ours)).reduce(f64::min)
    };
    Origin::PEERS.into_iter().map(ratio).collect()
}

/// From where to where a bar goes.
#[expect(clippy::cast_precision_loss, reason = "few groups, few bars")]
fn across(group: usize, place: usize) -> Range<f64> {
    let bar = BARS / COLOURS.len() as f64;
    let start = group as f64 + (1.0 - BARS) / 2.0 + place as f64 * bar;
    start..start + 0.94 * bar
}
