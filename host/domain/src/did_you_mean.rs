//! Finds the known name that a mistyped one was probably meant to be.

/// The known name that is nearest to a mistyped one, if it is near enough.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = typed.chars().count().div_ceil(3).min(MAX_DISTANCE);
    known
        .into_iter()
        .map(|name| (distance(&typed.to_ascii_lowercase(), &name.to_ascii_lowercase()), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// A sentence for an unknown name: the name that was probably meant, or the names that exist.
pub fn did_you_mean(typed: &str, known: &[&str]) -> String {
    match nearest(typed, known.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("known are: {}", known.join(", ")),
    }
}

/// The edit distance: insertions, deletions, changes (Levenshtein) and swaps of neighbouring characters.
fn distance(a: &str, b: &str) -> usize {
    // Longer texts are not typing mistakes, and comparing them must not cost anything.
    if a.len() > MAX_COMPARED || b.len() > MAX_COMPARED {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut previous = None;
    for (row, x) in a.chars().enumerate() {
        let mut this = Vec::with_capacity(last.len());
        this.push(row + 1);
        for (column, y) in b.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX - 1);
            let mut best = (at(&last, column) + usize::from(x != *y)).min(at(&last, column + 1) + 1);
            best = best.min(at(&this, column) + 1);
            let swapped = column > 0 && previous == Some(*y) && b.get(column - 1) == Some(&x);
            if swapped {
                best = best.min(at(&before_last, column - 1) + 1);
            }
            this.push(best);
        }
        previous = Some(x);
        before_last = std::mem::replace(&mut last, this);
    }
    last.last().copied().unwrap_or(usize::MAX)
}

/// With more edits than this, it is another name.
const MAX_DISTANCE: usize = 4;

/// Longer texts (in bytes) are not compared.
const MAX_COMPARED: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_its_name() {
        let known = ["handshake_seconds", "header_seconds", "connections"];
        assert_eq!(nearest("handshake_secnds", known), Some("handshake_seconds"));
        assert_eq!(nearest("hedaer_seconds", known), Some("header_seconds"));
        assert_eq!(nearest("Connections", known), Some("connections"));
        assert_eq!(nearest("fuel", known), None);
        assert_eq!(nearest(&"x".repeat(100_000), known), None);
    }

    #[test]
    fn a_swap_of_neighbours_is_one_change() {
        assert_eq!(distance("hub", "hbu"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
