//! Pairs of figures and the table they become.

use std::time::Duration;

/// What a ratio, or a plain figure, should be.
#[derive(Clone, Copy)]
pub enum Want {
    /// As much as this or more.
    AtLeast(f64),
    /// As much as this or less.
    AtMost(f64),
    /// It is only told.
    Nothing,
}

impl Want {
    fn text(self, value: f64) -> String {
        let (sign, bound, met) = match self {
            Self::AtLeast(bound) => ("≥", bound, value >= bound),
            Self::AtMost(bound) => ("≤", bound, value <= bound),
            Self::Nothing => return String::new(),
        };
        format!("{sign} {bound} {}", if met { "met" } else { "MISSED" })
    }
}

struct Row {
    what: String,
    unit: &'static str,
    want: Want,
    /// Limit and contestant of each round; a plain figure has no limit.
    pairs: Vec<(Option<f64>, f64)>,
}

/// The figures of an area.
pub struct Table {
    title: &'static str,
    rows: Vec<Row>,
}

impl Table {
    /// No figures yet.
    pub fn new(title: &'static str) -> Self {
        Self { title, rows: Vec::new() }
    }

    /// One round's figures of a limit and of what is measured against it.
    pub fn pair(&mut self, what: &str, unit: &'static str, want: Want, (limit, figure): (f64, f64)) {
        self.row(what, unit, want).pairs.push((Some(limit), figure));
    }

    /// One round's figure that has no limit.
    pub fn figure(&mut self, what: &str, unit: &'static str, want: Want, figure: f64) {
        self.row(what, unit, want).pairs.push((None, figure));
    }

    fn row(&mut self, what: &str, unit: &'static str, want: Want) -> &mut Row {
        let at = self.rows.iter().position(|row| row.what == what).unwrap_or_else(|| {
            self.rows.push(Row { what: what.to_owned(), unit, want, pairs: Vec::new() });
            self.rows.len() - 1
        });
        &mut self.rows[at]
    }

    /// Prints it as Markdown: medians, and of the ratios also the lowest and the highest.
    pub fn print(&self) {
        println!("\n### {}\n", self.title);
        println!(
            "| | unit | limit | measured | ratio, median [min..max] | target |\n|---|---|---|---|---|---|"
        );
        for row in &self.rows {
            let figures = Spread::of(row.pairs.iter().map(|(_, figure)| *figure).collect());
            let limits = Spread::of(row.pairs.iter().filter_map(|(limit, _)| *limit).collect());
            let ratios =
                Spread::of(row.pairs.iter().filter_map(|(limit, figure)| Some(figure / (*limit)?)).collect());
            let (what, unit) = (&row.what, row.unit);
            if ratios.count == 0 {
                let target = row.want.text(figures.median);
                println!("| {what} | {unit} | | {} | | {target} |", figures.with_ends());
            } else {
                let (limit, figure) = (limits.median, figures.median);
                let target = row.want.text(ratios.median);
                println!(
                    "| {what} | {unit} | {} | {} | {} | {target} |",
                    short(limit),
                    short(figure),
                    ratios.with_ends()
                );
            }
        }
    }
}

/// Three digits that count.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

struct Spread {
    count: usize,
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let count = values.len();
        Self { count, min: at(0), median: at(count / 2), max: at(count.saturating_sub(1)) }
    }

    fn with_ends(&self) -> String {
        if self.count < 2 {
            return short(self.median);
        }
        format!("{} [{}..{}]", short(self.median), short(self.min), short(self.max))
    }
}

/// The value below which `share` (0 to 1) of the times lie, in microseconds.
pub fn quantile(times: &mut [Duration], share: f64) -> f64 {
    times.sort_unstable();
    let place = (times.len().saturating_sub(1) as f64 * share).round();
    // A share of a length is a place in it.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let time = times.get(place as usize).copied().unwrap_or_default();
    time.as_secs_f64() * 1e6
}
