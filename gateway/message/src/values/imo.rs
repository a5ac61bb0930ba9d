//! IMO ship identification numbers (IMO Resolution A.1117(30)).

/// The digit that a number's seventh place would have: the first six weighted 7 to 2, modulo 10. None
/// where the text is not seven digits.
pub fn check_digit(number: &str) -> Option<u32> {
    let digits: Vec<u32> = number.chars().map(|c| c.to_digit(10)).collect::<Option<_>>()?;
    match digits.as_slice() {
        [first @ .., _] if first.len() == 6 => {
            let sum: u32 = first.iter().zip((2..=7).rev()).map(|(digit, weight)| digit * weight).sum();
            Some(sum % 10)
        }
        _ => None,
    }
}

/// Whether seven digits end in their check digit.
pub fn is_valid(number: &str) -> bool {
    check_digit(number).is_some_and(|digit| number.chars().last() == char::from_digit(digit, 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of the design catalogue, section 2.
    #[test]
    fn vectors() {
        for valid in ["9074729", "8814275", "9176187", "9319466"] {
            assert!(is_valid(valid), "{valid}");
        }
        assert_eq!((check_digit("9074720"), is_valid("9074720")), (Some(9), false));
        for bad in ["907472", "90747290", "", "907472X", "٩٠٧٤٧٢٩"] {
            assert_eq!((check_digit(bad), is_valid(bad)), (None, false), "{bad}");
        }
    }
}
