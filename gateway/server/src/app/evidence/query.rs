//! `--query`: filters that narrow one another.

use silkgate_message::event;
use silkgate_message::instant::Instant;
use silkgate_message::party::Country;

use crate::store::search::{Filter, Verdict};

/// Reads `name=value,…`; each name at most once.
pub(super) fn parse(text: &str) -> Result<Filter, String> {
    let mut filter = Filter::default();
    for part in text.split(',') {
        let (name, value) = part.split_once('=').ok_or_else(|| format!("`{part}` is not name=value"))?;
        let twice = || format!("{name} stands twice");
        let instant = || {
            Instant::parse(value).ok_or_else(|| format!("{name}: an instant such as 2026-11-24T09:30:00Z"))
        };
        let text = || Some(value.to_owned());
        let free = match name {
            "id" => {
                let id = event::uuid_v7(value).ok_or("id: a UUIDv7 in lower case")?;
                filter.id.replace(id).is_none()
            }
            "partner" => {
                let country: Country = value.parse().map_err(|error| format!("partner: {error}"))?;
                filter.partner.replace(country.to_string()).is_none()
            }
            "type" => std::mem::replace(&mut filter.kind, text()).is_none(),
            "record" => std::mem::replace(&mut filter.record, text()).is_none(),
            "since" => filter.since.replace(instant()?).is_none(),
            "until" => filter.until.replace(instant()?).is_none(),
            "verdict" => {
                let verdict = match value {
                    "accepted" => Verdict::Accepted,
                    "rejected" => Verdict::Rejected,
                    _ => return Err("verdict: accepted or rejected".to_owned()),
                };
                filter.verdict.replace(verdict).is_none()
            }
            _ => return Err(format!("`{name}` is none of id, partner, type, record, since, until, verdict")),
        };
        if !free {
            return Err(twice());
        }
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_once_each() {
        let filter =
            parse("partner=JO,type=alert.vehicle,since=2026-11-24T00:00:00Z,verdict=rejected").unwrap();
        assert_eq!((filter.partner.as_deref(), filter.kind.as_deref()), (Some("JO"), Some("alert.vehicle")));
        assert_eq!((filter.verdict, filter.until), (Some(Verdict::Rejected), None));
        let of_one = parse("id=0192f1a0-7b3c-7def-8123-456789abcdef,partner=JO").unwrap();
        assert!(of_one.id.is_some() && of_one.partner.is_some());
        for bad in
            ["", "id=1", "partner", "partner=Jordan", "since=today", "verdict=good", "x=1", "type=a,type=b"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
