//! Vehicle identification numbers (ISO 3779) and their North American check digit (49 CFR 565.15).

/// Weights by position; the ninth is the check digit itself.
const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];

/// The digit that position 9 would have. None where the text is no VIN: seventeen of A–Z without I, O
/// and Q, and 0–9.
pub fn check_digit(vin: &str) -> Option<char> {
    if vin.chars().count() != WEIGHTS.len() {
        return None;
    }
    let mut sum = 0;
    for (c, weight) in vin.chars().zip(WEIGHTS) {
        sum += value(c)? * weight;
    }
    match sum % 11 {
        10 => Some('X'),
        digit => char::from_digit(digit, 10),
    }
}

/// Whether the digit is used at all: in North America, whose VINs begin with 1 to 5. A European VIN
/// that does not fit is sound.
pub fn check_digit_applies(vin: &str) -> bool {
    vin.starts_with(['1', '2', '3', '4', '5'])
}

fn value(c: char) -> Option<u32> {
    match c {
        '0'..='9' => c.to_digit(10),
        'A'..='H' => Some(c as u32 - 'A' as u32 + 1),
        'J'..='N' => Some(c as u32 - 'J' as u32 + 1),
        'P' => Some(7),
        'R' => Some(9),
        'S'..='Z' => Some(c as u32 - 'S' as u32 + 2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of the design catalogue, section 2, recomputed there.
    #[test]
    fn vectors() {
        for valid in ["1M8GDM9AXKP042788", "11111111111111111", "1HGCM82633A004352", "5GZCZ43D13S812715"] {
            assert_eq!(check_digit(valid), valid.chars().nth(8), "{valid}");
        }
        let german = "WVWZZZ1JZ3W386752";
        assert_ne!(check_digit(german), german.chars().nth(8));
        assert!(!check_digit_applies(german) && check_digit_applies("1HGCM82633A004352"));
        for bad in ["", "1M8GDM9AXKP04278", "IM8GDM9AXKP042788", "1M8GDM9AXKP04278é"] {
            assert_eq!(check_digit(bad), None, "{bad}");
        }
    }
}
