//! "Did you mean": the nearest of the names that exist.

/// The candidate most like `name`, if one is like it at all (Jaro-Winkler of 0.8 or more).
pub fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_typos_and_nothing_else() {
        let names = ["machine_id", "orchestrator", "redis.maxlen"];
        assert_eq!(closest("machineid", names), Some("machine_id"));
        assert_eq!(closest("zzz", names), None);
    }
}
