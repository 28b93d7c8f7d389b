//! Medians.

/// The middle one. Of an even number, the upper.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median of the rounds' own ratios: rounds in which the machine was busy
/// with something else were so for both.
pub fn ratio(values: &[f64], base: &[f64]) -> f64 {
    let ratios: Vec<f64> = values.iter().zip(base).map(|(v, b)| v / b).collect();
    median(&ratios)
}
