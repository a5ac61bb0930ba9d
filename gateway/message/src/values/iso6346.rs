//! Freight container numbers (ISO 6346).

/// What the check digit says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Check {
    /// It fits.
    Valid,
    /// It fits, but stands for a remainder of 10, which the standard advises against.
    ValidTen,
    /// It does not; this one would.
    Expected(u32),
}

/// Checks four letters and seven digits. None where the text has another form.
pub fn check(number: &str) -> Option<Check> {
    let chars: Vec<char> = number.chars().collect();
    let (serial, digit) = match chars.as_slice() {
        [serial @ .., digit] if serial.len() == 10 => (serial, digit.to_digit(10)?),
        _ => return None,
    };
    let mut sum = 0;
    for (place, c) in serial.iter().enumerate() {
        let value = if place < 4 { letter(*c)? } else { c.to_digit(10)? };
        sum += value << place;
    }
    let remainder = sum % 11;
    Some(match remainder % 10 {
        expected if expected != digit => Check::Expected(expected),
        _ if remainder == 10 => Check::ValidTen,
        _ => Check::Valid,
    })
}

/// A is 10, then up, leaving out the multiples of 11.
fn letter(c: char) -> Option<u32> {
    let place = ('A'..='Z').position(|letter| letter == c)?;
    (10..).filter(|value| value % 11 != 0).nth(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of the design catalogue, section 2.
    #[test]
    fn vectors() {
        assert_eq!(check("CSQU3054383"), Some(Check::Valid));
        assert_eq!(check("CSQU3054384"), Some(Check::Expected(3)));
        assert_eq!(check("TASU1170000"), Some(Check::ValidTen));
        for bad in ["", "CSQU305438", "CSQU30543833", "1SQU3054383", "csqu3054383", "CSQU305438X"] {
            assert_eq!(check(bad), None, "{bad}");
        }
    }
}
