//! Masses in kilograms with up to three places, held exactly as whole grams.

/// `12.5` is 12,500 grams. None where the text is no such number.
pub fn grams(text: &str) -> Option<u64> {
    let (whole, places) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 10 || places.len() > 3 || !digits(whole) || !digits(places) {
        return None;
    }
    if text.contains('.') && places.is_empty() {
        return None;
    }
    let places = format!("{places:0<3}");
    Some(whole.parse::<u64>().ok()? * 1000 + places.parse::<u64>().ok()?)
}

/// The shortest text of that mass.
pub fn kilograms(grams: u64) -> String {
    let text = format!("{}.{:03}", grams / 1000, grams % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn exact() {
        assert_eq!(grams("0.1").and_then(|a| Some(a + grams("0.2")?)), grams("0.3"));
        assert_eq!(
            (grams("12.5"), grams("1.0005"), grams("1."), grams(""), grams("-1")),
            (Some(12_500), None, None, None, None)
        );
        assert_eq!(kilograms(100_000), "100");
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(mass in 0u64..1_000_000_000_000) {
            prop_assert_eq!(grams(&kilograms(mass)), Some(mass));
        }
    }
}
