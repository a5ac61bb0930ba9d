//! IMO ship identification numbers (IMO Resolution A.1117(30)).

/// Whether seven digits end in their check digit: the first six weighted 7 to 2.
pub fn is_valid(number: &str) -> bool {
    let digits: Option<Vec<u32>> = number.chars().map(|c| c.to_digit(10)).collect();
    match digits.as_deref() {
        Some([first @ .., check]) if first.len() == 6 => {
            let sum: u32 = first.iter().zip((2..=7).rev()).map(|(digit, weight)| digit * weight).sum();
            sum % 10 == *check
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    /// Vectors of the design catalogue, section 2.
    #[test]
    fn vectors() {
        for valid in ["9074729", "8814275", "9176187", "9319466"] {
            assert!(is_valid(valid), "{valid}");
        }
        for bad in ["9074720", "907472", "90747290", "", "907472X", "٩٠٧٤٧٢٩"] {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}
