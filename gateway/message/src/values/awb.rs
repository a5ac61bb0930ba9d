//! Air waybill numbers (IATA Resolution 600a): three digits of the airline, a hyphen, a serial of
//! seven digits and its remainder by seven.

/// The check digit that the serial would have. None where the text has another form.
pub fn check_digit(number: &str) -> Option<u32> {
    let (airline, serial) = number.split_once('-')?;
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if airline.len() != 3 || serial.len() != 8 || !digits(airline) || !digits(serial) {
        return None;
    }
    serial.get(..7)?.parse::<u32>().ok().map(|serial| serial % 7)
}

/// Whether form and check digit are right.
pub fn is_valid(number: &str) -> bool {
    let last = number.chars().next_back().and_then(|c| c.to_digit(10));
    check_digit(number).is_some() && check_digit(number) == last
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The design catalogue, section 2.
    #[test]
    fn published_numbers() {
        assert!(is_valid("020-12345675") && !is_valid("020-55508160"));
        for bad in ["", "02012345675", "020-1234567", "020-1234567x", "02-12345675", "٠٢٠-12345675"] {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}
