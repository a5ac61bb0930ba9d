//! Traffic by day, drawn as SVG; the same numbers stand in a table beside it.

use crate::store::tally;

/// Days that are drawn.
pub(super) const DAYS: i64 = 14;
/// Width of a day and height of the chart, in units of the drawing.
pub(super) const DAY_WIDTH: i64 = 40;
pub(super) const HEIGHT: i64 = 120;

/// A day's messages with one partner in one direction.
#[derive(Default, Clone)]
pub struct Day {
    /// `YYYY-MM-DD`.
    pub date: String,
    /// Accepted.
    pub accepted: i64,
    /// Refused, or ended without a verdict.
    pub refused: i64,
    /// Where its bars stand: from the left, and the tops and heights of both.
    pub left: i64,
    /// Of the accepted ones: top and height.
    pub accepted_bar: (i64, i64),
    /// Of the others, on top of these.
    pub refused_bar: (i64, i64),
}

/// Traffic with one partner in one direction.
pub struct Chart {
    /// The partner's state.
    pub partner: String,
    /// `received` or `sent`.
    pub direction: String,
    /// The days, the oldest first.
    pub days: Vec<Day>,
    /// The most of one day.
    pub most: i64,
    /// Width of the drawing.
    pub width: i64,
    /// Its height.
    pub height: i64,
}

impl Chart {
    /// Width of a bar.
    pub fn bar(&self) -> i64 {
        DAY_WIDTH - 8
    }

    /// All messages of these days.
    pub fn total(&self) -> i64 {
        self.days.iter().map(|day| day.accepted + day.refused).sum()
    }
}

/// The charts of these counts, up to the day `today`; `date` writes a day.
pub(super) fn charts(counts: &[tally::Day], today: i64, date: impl Fn(i64) -> String) -> Vec<Chart> {
    let mut charts: Vec<Chart> = Vec::new();
    for count in counts.iter().filter(|count| count.outcome != "submitted") {
        let Ok(place) = usize::try_from(count.day - (today - DAYS + 1)) else { continue };
        let same = |chart: &Chart| chart.partner == count.partner && chart.direction == count.direction;
        let at = charts.iter().position(same).unwrap_or_else(|| {
            let days = (today - DAYS + 1..=today).map(|day| Day { date: date(day), ..Day::default() });
            charts.push(Chart {
                partner: count.partner.clone(),
                direction: count.direction.clone(),
                days: days.collect(),
                most: 0,
                width: DAYS * DAY_WIDTH,
                height: HEIGHT,
            });
            charts.len() - 1
        });
        let Some(day) = charts[at].days.get_mut(place) else { continue };
        if count.outcome == "accepted" {
            day.accepted += count.messages;
        } else {
            day.refused += count.messages;
        }
    }
    charts.iter_mut().for_each(draw);
    charts.sort_by(|a, b| (&a.partner, &a.direction).cmp(&(&b.partner, &b.direction)));
    charts
}

fn draw(chart: &mut Chart) {
    chart.most = chart.days.iter().map(|day| day.accepted + day.refused).max().unwrap_or(0);
    for (place, day) in (0..).zip(&mut chart.days) {
        let (accepted, refused) = (height(day.accepted, chart.most), height(day.refused, chart.most));
        day.left = place * DAY_WIDTH + 4;
        day.accepted_bar = (HEIGHT - accepted, accepted);
        day.refused_bar = (HEIGHT - accepted - refused, refused);
    }
}

/// Whoever sends one message among millions sees it all the same.
pub(super) fn height(count: i64, most: i64) -> i64 {
    if count > 0 { (count * HEIGHT / most.max(1)).max(1) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_without_messages_are_drawn_and_one_message_is_seen_beside_many() {
        let count = |day, outcome: &str, messages| tally::Day {
            day,
            partner: "IQ".to_owned(),
            direction: "received".to_owned(),
            outcome: outcome.to_owned(),
            messages,
        };
        let counts = [
            count(100, "accepted", 1_000_000),
            count(100, "schema_invalid", 1),
            count(100, "submitted", 5),
            count(80, "accepted", 7),
        ];
        let charts = charts(&counts, 100, |day| day.to_string());
        assert_eq!((charts.len(), charts[0].days.len(), charts[0].most), (1, 14, 1_000_001));
        let last = charts[0].days.last().unwrap();
        assert_eq!((last.accepted, last.refused, last.date.as_str()), (1_000_000, 1, "100"));
        assert_eq!((last.accepted_bar, last.refused_bar), ((1, 119), (0, 1)));
        assert_eq!(charts[0].total(), 1_000_001);
    }
}
